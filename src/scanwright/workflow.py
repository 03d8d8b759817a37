"""The system on a page: one function for each verb, paths in, paths out.

    scan -> check -> plan -> prepare -> train -> evaluate -> explain -> pack -> predict -> serve

:func:`run` is the chain up to ``pack``; ``until`` stops it after a stage. Every stage enters
what it finished into the run's ledger, so that calling it again goes on from where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from scanwright.core import Cohort, Emit, Failure, Finding, InputError, Prediction, Stage, silent
from scanwright.journey.request import Request
from scanwright.journey.result import Run

if TYPE_CHECKING:
    from scanwright.inference import DetectPredictor, Predictor, SegmentPredictor
    from scanwright.journey.generating import Generated

STAGES: tuple[Stage, ...] = ("scan", "check", "plan", "prepare", "train", "evaluate", "explain", "pack")

_TRAIN = ("torch", "monai", "lightning-fabric", "scikit-learn", "safetensors", "onnx", "onnxscript")
_DECODERS = ("pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls", "python-gdcm")


def run(
    source: Path | str | Cohort,
    *,
    out: Path | str | None = None,
    until: str = "pack",
    emit: Emit = silent,
    **wishes: Any,
) -> Run:
    """Turn a folder of images into a tested, explained model.

    Args:
        source: Folder, file or archive; or a cohort that :func:`scan` gave.
        out: Run folder; ``runs/<name>`` by default. An unfinished run there goes on.
        until: Stage to stop after.
        emit: Receiver of events.
        **wishes: Other fields of :class:`Request`: ``budget="10m"``, ``seed=1``, ``task=...`` ...

    Returns:
        The run: its figures, its report and its model.

    Raises:
        ScanwrightError: What is wrong, what is needed and how to mend it.
    """
    from scanwright.io import RunFolder
    from scanwright.journey import learning, packing, planning, survey
    from scanwright.journey.roads import road_of

    request, started = Request.of(source, wishes), monotonic()
    folder = RunFolder(Path(out) if out else Path("runs") / request.name)
    done = STAGES[: _stage(until) + 1]
    if request.cohort is None:
        _refuse_missing(request.source)
    if request.rank:
        learning.join(folder)
        return Run(folder.path)
    with folder.opened(emit) as tell:
        learning.close_to_others(folder)
        cohort = survey.scan(folder, request, tell)
        if "check" in done:
            cohort, findings = survey.check(folder, cohort, request, tell)
        road = road_of(cohort.task)
        if "plan" in done:
            plan = planning.make_plan(folder, cohort, request, tell)
        if "prepare" in done:
            store = planning.prepare(folder, cohort, plan, tell)
        if "train" in done:
            deadline = planning.training_deadline(request, plan, store, started=started)
            trained = learning.train(folder, plan, store, tell, deadline=deadline)
        if "evaluate" in done:
            evaluations = road.judge(folder, cohort, plan, store, trained, tell)
        if "explain" in done and not packing.is_packed(folder, plan, store):
            explained = road.explain(folder, cohort, plan, store, tell)
            if "pack" in done:
                packing.pack(folder, request, plan, store, trained, (explained, evaluations, findings), tell)
    return Run(folder.path)


def scan(source: Path | str, *, emit: Emit = silent, **wishes: Any) -> Cohort:
    """Understand a folder of images; nothing is written.

    Args:
        source: Folder, file or archive.
        emit: Receiver of events.
        **wishes: ``task``, ``labels``, ``patient``, ``layout``, ``modality``, ``sequence``.

    Returns:
        The cohort, with every guess that was made.

    Raises:
        InputError: The path or an option is wrong.
        CohortError: No labelled cohort could be made out.
    """
    from scanwright.intake import scan as look

    _refuse_missing(Path(source))
    return look(Path(source), emit=emit, **wishes)


def check(cohort: Cohort, *, emit: Emit = silent) -> list[Finding]:
    """Look for leaks, duplicates, damaged files and contradicting labels.

    Args:
        cohort: What :func:`scan` gave.
        emit: Receiver of events.

    Returns:
        Findings, worst first.
    """
    from scanwright.intake import check as look

    return look(cohort, emit=emit)


def evaluate(
    model: Path | str,
    source: Path | str,
    *,
    out: Path | str | None = None,
    emit: Emit = silent,
    seed: int = 0,
    **wishes: Any,
) -> Run:
    """Judge a model on another cohort: ``metrics.json``, ``predictions.csv``, ``report.html``.

    Args:
        model: Model file.
        source: Folder, file or archive of labelled images.
        out: Where to write; ``runs/<model>-on-<name>`` by default.
        emit: Receiver of events.
        seed: Seed of the bootstrap.
        **wishes: ``labels``, ``patient``, ``layout``, ``structures``, ``sequence`` of the cohort.

    Returns:
        The figures and the report.

    Raises:
        ModelFileError: The model file is damaged.
        CohortError: The cohort's classes are not the model's.
    """
    from scanwright.io import RunFolder, read_model_file
    from scanwright.journey.roads import road_of
    from scanwright.journey.survey import scan as survey_scan

    file = read_model_file(Path(model))
    frames = file.plan.preprocessing.frames
    asked = wishes.pop("sequence", None) or ((frames.column or frames.by) if frames else "no")
    wishes = {"task": file.plan.task, "sequence": asked, **wishes}
    request = Request.of(source, {**wishes, "seed": seed})
    _refuse_missing(request.source)
    folder = RunFolder(Path(out) if out else Path("runs") / f"{file.name}-on-{request.name}")
    with folder.opened(emit) as tell:
        road_of(file.plan.task).judge_elsewhere(folder, file, survey_scan(folder, request, tell), tell)
    return Run(folder.path)


def adopt(
    network: Path | str,
    classes: Sequence[str],
    *,
    cohort: Path | str | None = None,
    out: Path | str | None = None,
    emit: Emit = silent,
    labels: str | None = None,
    patient: str | None = None,
    layout: str | None = None,
    seed: int = 0,
    **said: Any,
) -> Run:
    """Bring a network that was trained elsewhere into a model file.

    Args:
        network: ONNX file of a classifier (Keras, PyTorch and others export it).
        classes: Names of its classes, in the order of its outputs.
        cohort: Labelled images to calibrate, examine and judge it on; None makes a model file without figures.
        out: Where to write; ``runs/<network>`` by default.
        emit: Receiver of events.
        labels: Label column of the cohort.
        patient: Patient column of the cohort.
        layout: Layout of the cohort.
        seed: Seed of the split and the bootstrap.
        **said: What is known of the network, see :class:`~scanwright.journey.adopting.Adoption`: ``values``,
            ``window``, ``size``, ``order``, ``task``, ``modality``, ``licence``, ``name``.

    Returns:
        The model file, and with a cohort the figures and the report.

    Raises:
        InputError: The network cannot be adopted, or does not fit what is said of it.
        CohortError: The cohort's classes are not the network's.
    """
    from scanwright.io import RunFolder
    from scanwright.journey.adopting import Adoption
    from scanwright.journey.adopting import adopt as bring_in
    from scanwright.journey.request import Request

    wish = Adoption(Path(network), tuple(classes), **said)
    request = None
    if cohort is not None:
        wishes = {"labels": labels, "patient": patient, "layout": layout, "seed": seed, "modality": wish.modality}
        request = Request.of(cohort, wishes)
        _refuse_missing(request.source)
    folder = RunFolder(Path(out) if out else Path("runs") / wish.network.stem)
    with folder.opened(emit) as tell:
        bring_in(folder, wish, request, tell)
    return Run(folder.path)


def predict(
    model: Path | str,
    images: Sequence[Path | str] | Path | str,
    *,
    out: Path | str | None = None,
    heatmap: bool = True,
    write: Sequence[str] | None = None,
    table: Path | str | None = None,
    emit: Emit = silent,
) -> list[Prediction | Failure]:
    """Ask a model about images. Needs no torch.

    Args:
        model: Model file.
        images: Files and folders; a DICOM folder gives one case for each series.
        out: Folder for JSON, heat maps and ``predictions.csv``; None writes nothing.
        heatmap: Whether heat maps are wanted.
        write: What to write of a segmentation, such as ``("nifti", "seg", "sr")``; the usual files if None.
        table: Table of the cases' columns, for a model that learnt them; a column of it names the cases.
        emit: Receiver of progress.

    Returns:
        A prediction, or a failure with its reason, for each case.

    Raises:
        InputError: A path does not exist or holds no image.
        ModelFileError: The model file is damaged.
    """
    from scanwright.io.run_folder import stage_events
    from scanwright.journey.answering import answer, asked_cases

    paths = [images] if isinstance(images, str | Path) else list(images)
    with stage_events("predict", emit):
        cases = asked_cases([Path(p) for p in paths])
        where, beside = Path(out) if out else None, Path(table) if table else None
        return answer(Path(model), cases, out=where, heatmap=heatmap, write=write, table=beside, emit=emit)


def open_model(
    path: Path | str, *, engine: str = "auto", threads: int | None = None
) -> Predictor | SegmentPredictor | DetectPredictor:
    """Open a model for many questions, as the service does.

    Args:
        path: Model file.
        engine: ``"auto"``, ``"openvino"`` or ``"onnxruntime"``.
        threads: CPU threads; all that the process may use if None.

    Returns:
        A predictor.
    """
    from scanwright.inference import open_predictor

    return open_predictor(Path(path), engine=engine, threads=threads)


def phantom(
    kind: str, out: Path | str, *, patients: int | None = None, seed: int = 0, faults: bool = True, emit: Emit = silent
) -> Path:
    """Make a cohort of synthetic patients as real DICOM files, with known truth.

    Args:
        kind: ``"chest-xray"``, ``"chest-ct"``, or, of sequences, ``"chest-followup"`` or ``"heart-clip"``.
        out: Folder to make.
        patients: How many; the kind's usual number (400 radiographs, 24 CT) if None.
        seed: Seed; the same one makes the same pixels.
        faults: Whether to plant a duplicate and a damaged file.
        emit: Receiver of progress.

    Returns:
        The folder.
    """
    from scanwright.phantom import write_phantom

    return write_phantom(kind, Path(out), patients=patients, seed=seed, faults=faults, emit=emit)


def generate(source: Path | str, *, out: Path | str | None = None, emit: Emit = silent, **wishes: Any) -> Generated:
    """Learn to draw images like those of a folder, and draw some; or draw from a generator that was learnt.

    Args:
        source: Folder, file or archive of images; or a ``generator.scanwright``.
        out: Folder for the images; ``synthetic/<name>`` by default. An unfinished learning there goes on.
        emit: Receiver of events.
        **wishes: ``count=64``, ``classes=("pneumonia",)``, ``format="dicom"``, ``seed``, ``steps``, ``size``, ``mark``,
            ``keep_copies``, ``budget="20m"``, and what the scan takes: ``task``, ``labels``, ``patient``, ``layout``.

    Returns:
        The images, the generator's file, its figures and its report.

    Raises:
        InputError: An option is wrong, or a class was never seen.
        CohortError: There are too few images.
        ModelFileError: The file is damaged, or a model that is no generator.
    """
    from scanwright.journey.generate.asking import Wish
    from scanwright.journey.generating import generate as story

    _refuse_missing(Path(source))
    name = Path(source).absolute().name.split(".")[0]
    return story(Wish.of(source, Path(out) if out else Path("synthetic") / name, wishes), emit)


def fetch(name: str, out: Path | str, *, base_url: str | None = None, emit: Emit = silent) -> Path:
    """Download a public cohort: resumed downloads, checksum, licence shown.

    Args:
        name: A name of :func:`public_cohorts`.
        out: Folder to download to.
        base_url: A mirror.
        emit: Receiver of progress.

    Returns:
        Path of the cohort.
    """
    from scanwright.intake import fetch as download
    from scanwright.io.run_folder import stage_events

    with stage_events("fetch", emit):
        return download(name, Path(out), base_url=base_url, emit=emit)


def public_cohorts() -> list[dict[str, str]]:
    """Public cohorts that :func:`fetch` knows: name, what it is, licence."""
    from scanwright.intake import PUBLIC_COHORTS

    return [{"name": name, "what": row.title, "licence": row.licence} for name, row in PUBLIC_COHORTS.items()]


def pretrain(
    source: Path | str, out: Path | str, *, model: str | None = None, emit: Emit = silent, **wishes: Any
) -> Path:
    """Learn weights from images without their labels, for other runs to begin from.

    Args:
        source: Folder, file or archive of images; where it has labels they are not used, and only
            the train part is looked at.
        out: File to write, ``*.safetensors``; ``run(..., pretrained=out)`` begins from it.
        model: Network, such as ``"resnet18"``; chosen by the images if None.
        emit: Receiver of events.
        **wishes: Other fields of :class:`Request`: ``budget="10m"``, ``seed=1``, ``layout=...`` ...

    Returns:
        ``out``.

    Raises:
        InputError: A path or an option is wrong.
        CohortError: There are too few images.
    """
    from scanwright.journey.pretraining import pretrain as learn

    request = Request.of(source, wishes)
    _refuse_missing(request.source)
    return learn(request, Path(out), model=model, emit=emit)


def public_weights() -> list[dict[str, str]]:
    """Weights that ``run(..., pretrained=NAME)`` knows: name, what they learnt from, licence."""
    from scanwright.intake.public_weights import PUBLIC_WEIGHTS

    return [{"name": n, "what": row.trained_on, "licence": row.licence} for n, row in PUBLIC_WEIGHTS.items()]


def doctor() -> dict[str, Any]:
    """What this machine can do, and what is missing.

    Returns:
        Name to text: processor, memory, disk, devices; what training and prediction have.
    """
    from importlib.metadata import PackageNotFoundError, version

    from scanwright.inference import ENGINES
    from scanwright.plan import machine

    def has(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return ""

    missing = [name for name in _TRAIN if not has(name)]
    engines = [f"{name} {has(name)}" for name in ENGINES if has(name)]
    return {
        **machine().describe(),
        "training": f"missing {', '.join(missing)}: run pip install 'scanwright[train]'" if missing else "ready",
        "prediction": ", ".join(engines) or "no engine: run pip install openvino",
        "DICOM decoders": ", ".join(name for name in _DECODERS if has(name)),
    }


def _stage(name: str) -> int:
    if name not in STAGES:
        raise InputError(
            f"There is no stage {name!r}.", f"A run goes through {', '.join(STAGES)}.", "Name one of them with --until."
        )
    return STAGES.index(name)


def _refuse_missing(source: Path) -> None:
    if source.exists():
        return
    from difflib import get_close_matches

    folder = source.absolute().parent
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    near = get_close_matches(source.name, names, n=1)
    raise InputError(
        f"{source} does not exist.",
        "A run starts from a folder, file or archive of images.",
        f"Did you mean {source.parent / near[0]}?" if near else "Check the path.",
    )
