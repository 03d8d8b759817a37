"""From a model file and images to answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os.path import commonpath
from pathlib import Path

from scanwright.core import Emit, Failure, Frames, InputError, Prediction, ScanwrightError, Volume, silent
from scanwright.io import list_series, open_array, probe, read_volume
from scanwright.io.clip import frames_together
from scanwright.io.locator import CHANNELS, FRAMES
from scanwright.io.probing import is_picture

Asked = tuple[str, Callable[[], Volume], Path]
"""Name of a case, how to read it, and the file or folder that it lies in."""

_KEPT_WHOLE = 32
"""Up to so many answers keep their pictures in memory once they are written."""

_ARRAY_NAMES = ("test_images", "x_test", "images", "val_images", "train_images")


def asked_cases(paths: Sequence[Path]) -> list[Asked]:
    """Every case that a person points at.

    A folder of DICOM files gives one case for each series, another folder one for each
    image in it; an npy, npz or idx file gives its rows.

    Args:
        paths: Files and folders.

    Returns:
        The cases in order; a file that cannot be probed is kept, so that its failure is named.

    Raises:
        InputError: A path does not exist, or nothing that looks like an image was found.
    """
    found: list[Asked] = []
    for path in paths:
        if not path.exists() and "::" not in str(path) and not str(path).endswith("]"):
            raise InputError(f"{path} does not exist.", "predict takes images or folders of images.", "Check the path.")
        found.extend(_in_folder(path) if path.is_dir() else _in_file(path))
    if not found:
        raise InputError(
            f"No image was found in {', '.join(map(str, paths))}.",
            "predict takes DICOM, NIfTI, NRRD, MHA, PNG, JPEG, TIFF and npy files or folders of them.",
            "Name the folder or file that holds the images.",
        )
    names = [name for name, _, _ in found]
    if len(set(names)) < len(names):  # the same name in two folders
        return [(str(place if name == place.name else name), read, place) for name, read, place in found]
    return found


def _in_folder(folder: Path) -> Iterator[Asked]:
    series = list_series(folder)
    taken = {Path(file).resolve() for one in series for file in one.files}
    for one in series:
        files = [Path(f) for f in one.files]
        name = files[0].name if len(files) == 1 else f"{files[0].parent.name or folder.name}"
        if sum(Path(f).parent == files[0].parent for other in series for f in other.files[:1]) > 1 and len(files) > 1:
            name = f"{name}-{series.index(one) + 1}"
        yield name, lambda files=files: _read_files(files), files[0] if len(files) == 1 else files[0].parent  # type: ignore[misc]
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and path.resolve() not in taken and _may_be_image(path):
            yield from _in_file(path)


def _in_file(path: Path) -> Iterator[Asked]:
    try:
        facts = probe(path) if path.is_file() else None
    except ScanwrightError:
        facts = None
    if facts is not None and facts.kind in ("npy", "npz", "idx") and (facts.n_items or 1) > 1:
        key = _array_key(path) if facts.kind == "npz" else ""
        n = len(open_array(f"{path}::{key}" if key else str(path)))
        for row in range(n):
            source = f"{path}::{key}[{row}]" if key else f"{path}[{row}]"
            yield f"{path.name}[{row}]", lambda source=source: read_volume(source), path  # type: ignore[misc]
        return
    yield path.name, lambda: read_volume(path), path


def _array_key(path: Path) -> str:
    import numpy as np

    with np.load(path, allow_pickle=False) as content:
        names = [n for n in _ARRAY_NAMES if n in content.files] or list(content.files)
    return names[0]


def _read_files(files: list[Path]) -> Volume:
    from scanwright.io import read_series

    return read_volume(files[0]) if len(files) == 1 else read_series(files)


_NOT_IMAGES = {
    ".csv",
    ".tsv",
    ".txt",
    ".md",
    ".json",
    ".xlsx",
    ".xml",
    ".html",
    ".pdf",
    ".yaml",
    ".py",
    ".scanwright",
    ".log",
    ".jsonl",
}


def _may_be_image(path: Path) -> bool:
    return path.suffix.lower() not in _NOT_IMAGES and path.name not in ("DICOMDIR", "Thumbs.db", "LICENSE", "README")


def with_channels(asked: Iterable[Asked], n: int) -> list[Asked]:
    """Files that are the channels of one case, as one case.

    Args:
        asked: Cases of one file each, or of several.
        n: Channels that the model takes.

    Returns:
        The cases: ``x_0000.nii.gz`` and ``x_0001.nii.gz``, or ``x_t1.nii.gz`` and ``x_flair.nii.gz``, are one
        for a model of two channels.
    """
    from scanwright.io.channel_names import groups_of_channels

    cases = list(asked)
    groups = groups_of_channels([place for _, _, place in cases], n) if n > 1 else {}
    taken = {file for _, files in groups.values() for file in files}
    names = [case for case, _ in groups.values()]
    found: list[Asked] = []
    for name, read, place in cases:
        if place in groups:
            case, files = groups[place]
            source = CHANNELS.join(map(str, files))
            case = case if names.count(case) == 1 else str(place.parent / case)  # the same name in two folders
            found.append((case, lambda source=source: read_volume(source), place))  # type: ignore[misc]
        elif place not in taken:
            found.append((name, read, place))
    return found


def with_frames(asked: Iterable[Asked], frames: Frames) -> list[Asked]:
    """Single pictures that are the frames of one case, as one case.

    Args:
        asked: Cases of one file or series each.
        frames: What the model's frames are.

    Returns:
        The cases: stacks, clips and arrays as they are; pictures of one folder (of one patient, for visits)
        put together, in the order of their names (of their dates).
    """
    cases = list(asked)
    if frames.by == "slice":
        return cases
    single = {
        place: name for name, _, place in cases if place.is_file() and not name.endswith("]") and is_picture(place)
    }
    found: list[Asked] = [c for c in cases if single.get(c[2]) != c[0]]
    for files in frames_together(list(single), frames.by):
        if len(files) == 1:
            found.append((single[files[0]], lambda path=files[0]: read_volume(path), files[0]))  # type: ignore[misc]
            continue
        source = FRAMES.join(map(str, files))
        folder = Path(commonpath(files))
        found.append((folder.name, lambda source=source: read_volume(source), folder))  # type: ignore[misc]
    return found


def answer(
    model: Path,
    asked: Iterable[Asked],
    *,
    out: Path | None,
    heatmap: bool = True,
    write: Sequence[str] | None = None,
    table: Path | None = None,
    emit: Emit = silent,
) -> list[Prediction | Failure]:
    """Ask a model about cases, and write what it says.

    Args:
        model: Model file.
        asked: Cases.
        out: Folder for JSON, heat maps and ``predictions.csv``; None writes nothing.
        heatmap: Whether heat maps are wanted.
        write: What to write of a segmentation; the usual files if None.
        table: Table of the cases' columns; see :func:`cells_of`.
        emit: Receiver of progress.

    Returns:
        One prediction or failure for each case, in order.
    """
    from scanwright.inference import open_predictor, write_prediction

    predictor = open_predictor(model)
    spec = predictor.plan.preprocessing
    if table is not None and not predictor.plan.columns:
        raise InputError(
            f"--table {table} was given, and this model learnt from images alone.",
            "A table is asked of models that were trained with --columns.",
            "Leave --table out.",
        )
    cases = with_channels(asked, spec.channels) if spec.frames is None else with_frames(asked, spec.frames)
    places = {name: place for name, _, place in cases}
    answers: list[Prediction | Failure] = []
    items = [(name, read) for name, read, _ in cases]
    more = {} if table is None else {"columns": cells_of(table, places)}
    for one in predictor.predict_many(items, emit=emit, heatmap=heatmap, **more):  # type: ignore[arg-type]
        if out is not None and isinstance(one, Prediction):
            write_prediction(one, out, source=places[one.case], kinds=write)
            if len(cases) > _KEPT_WHOLE:
                one = replace(  # they are on the disk
                    one, heatmap=None, picture=None, overlay=None, label_map=None, regions=None, chances=None
                )
        answers.append(one)
    if out is not None:
        write_answers(answers, out)
    return answers


def cells_of(table: Path, places: Mapping[str, Path]) -> dict[str, dict[str, str | float | None]]:
    """What a table says of cases.

    Args:
        table: csv, tsv, xlsx or parquet.
        places: Case name to its file or folder.

    Returns:
        Case name to its cells, for the cases that a row names: by case name, file name with or without
        suffix, or folder.

    Raises:
        InputError: There is no such table, or none of its columns names a case.
    """
    from scanwright.intake.layouts.table_columns import value
    from scanwright.intake.layouts.table_file import read_sheet
    from scanwright.intake.place import stem_of

    if not table.is_file():
        raise InputError(
            f"There is no table at {table}.", "--table names a csv, tsv, xlsx or parquet file.", "Check the path."
        )
    sheet = read_sheet(table, table.name)
    known: dict[str, str] = {}
    for case, place in places.items():
        for name in (case, stem_of(case), place.name, stem_of(place.name), str(place)):
            known.setdefault(name.casefold(), case)

    def case_of(cell: str) -> str | None:
        text = cell.strip().replace("\\", "/").casefold()
        return known.get(text) or known.get(text.rsplit("/", 1)[-1]) or known.get(stem_of(text))

    named = {column: [case_of(cell) for cell in cells] for column, cells in sheet.columns.items()}
    best = max(named, key=lambda column: len({c for c in named[column] if c}), default="")
    if not best or not any(named[best]):
        first = next(iter(places), "")
        raise InputError(
            f"No column of {table.name} names a case such as {first!r}.",
            "A column must hold the case's name, file name or folder.",
            "Add such a column, or leave --table out: the images are then answered alone.",
        )
    rows: dict[str, dict[str, str | float | None]] = {}
    for line, one in enumerate(named[best]):
        if one is not None:
            rows[one] = {column: value(cells[line]) for column, cells in sheet.columns.items() if column != best}
    return rows


def write_answers(answers: Sequence[Prediction | Failure], out: Path) -> None:
    """Write ``predictions.json`` and ``predictions.csv``: every case, failures too.

    Args:
        answers: What the model said.
        out: Folder.
    """
    import csv
    import io

    from scanwright.io import atomic_write, write_json

    good = [a for a in answers if isinstance(a, Prediction)]
    bad = [a for a in answers if isinstance(a, Failure)]
    write_json(
        out / "predictions.json",
        {"predictions": [a.to_dict() for a in good], "failures": [{"case": f.case, "reason": f.reason} for f in bad]},
    )
    classes = list(good[0].classes) if good and good[0].probabilities else []
    structures = list(dict.fromkeys(name for a in good for name in a.amounts))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "case",
            "answer",
            "value",
            *[f"p:{name}" for name in classes],
            *[f"amount:{n}" for n in structures],
            "warnings",
            "failure",
        ]
    )
    for one in answers:
        if isinstance(one, Failure):
            writer.writerow([one.case, "", "", *[""] * (len(classes) + len(structures)), "", one.reason])
        else:
            chances = [f"{p:.6f}" for p in one.probabilities]
            chances += [f"{one.amounts[n]:.6g}" if n in one.amounts else "" for n in structures]
            writer.writerow(
                [one.case, one.label, one.value if one.value is not None else "", *chances, " ".join(one.warnings), ""]
            )
    atomic_write(out / "predictions.csv", text.getvalue())
