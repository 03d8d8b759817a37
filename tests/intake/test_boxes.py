"""Boxes of every layout: places on a picture that is not square, parts, negatives, faults named."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanwright.core import Box, Cohort, CohortError, FormatError, InputError
from scanwright.intake import check, scan
from scanwright.intake.boxes import BoxSize
from scanwright.io import read_cohort, write_cohort

HEIGHT, WIDTH = 40, 64


def letter(folder: Path, name: str, *, shift: int = 0) -> None:
    """A letter F on rows 6 to 25 and columns 30 to 44 (shifted): a box that is mirrored or turned misses it."""
    picture = np.random.default_rng(shift).integers(60, 90, (HEIGHT, WIDTH)).astype(np.uint8)
    picture[6:26, 30 + shift : 34 + shift] = picture[6:10, 30 + shift : 45 + shift] = 250
    picture[14:18, 30 + shift : 41 + shift] = 250
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(folder / name)


def box_of(root: Path, name: str) -> Box:
    """The extent of the letter, as the pixels themselves say."""
    where = np.argwhere(np.asarray(Image.open(root / name)) > 200)
    (i0, j0), (i1, j1) = where.min(axis=0), where.max(axis=0)
    return Box(0, (i0 - 0.5, j0 - 0.5, -0.5), (i1 + 0.5, j1 + 0.5, 0.5))


def edges(cohort: Cohort, name: str) -> Box:
    case = next(c for c in cohort.cases if c.source.endswith(name))
    assert case.boxes is not None
    return case.boxes[0]


def xml(name: str, rows: list[tuple[str, int, int, int, int]]) -> str:
    things = "".join(
        f"<object><name>{kind}</name><difficult>0</difficult><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for kind, x0, y0, x1, y1 in rows
    )
    return f"<annotation><filename>{name}</filename>{things}</annotation>"


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Twelve letters; the last picture holds nothing, and two boxes are faulty."""
    root = tmp_path / "voc"
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    (root / "Annotations").mkdir(parents=True)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for n in range(12):
        letter(root / "JPEGImages", f"p{n:02d}.png", shift=n)
        rows = [("F", 31 + n, 7, 45 + n, 26)] if n < 11 else []
        if n == 2:
            rows += [("F", 5, 5, 4, 9), ("F", 60, 30, 70, 44), ("F", 80, 5, 90, 9)]
        (root / "Annotations" / f"p{n:02d}.xml").write_text(xml(f"p{n:02d}.png", rows))
        lists[("train", "train", "val", "test")[n % 4]].append(f"p{n:02d}")
    for part, names in lists.items():
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(names))
    return root


def test_voc_boxes_lie_on_the_letter(voc: Path) -> None:
    cohort = scan(voc)
    assert (cohort.task, cohort.layout, cohort.classes, cohort.parts_given) == ("detect", "voc", ("F",), True)
    for name in ("p00.png", "p10.png"):
        assert edges(cohort, name) == box_of(voc / "JPEGImages", name)
    assert next(c for c in cohort.cases if c.source.endswith("p11.png")).boxes == ()
    assert {part: len(cohort.of(part)) for part in ("train", "val", "test")} == {"train": 6, "val": 3, "test": 3}


def test_every_faulty_box_is_named_and_kept_as_it_was_written(voc: Path) -> None:
    cohort = scan(voc)
    found = {f.kind: f for f in check(cohort)}
    assert "box 2 (F) of 'p02'" in found["box-without-area"].text
    assert "box 4 (F) of 'p02'" in found["box-outside"].text
    assert "box 3 (F) of 'p02'" in found["box-over-edge"].text
    assert len(next(c for c in cohort.cases if c.id == "p02").boxes or ()) == 4


def test_a_damaged_annotation_is_refused_by_name(voc: Path) -> None:
    (voc / "Annotations" / "p03.xml").write_text("<annotation><object>")
    with pytest.raises(FormatError, match=r"p03\.xml cannot be read"):
        scan(voc)
    (voc / "Annotations" / "p03.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>')
    with pytest.raises(FormatError, match="defines entities"):
        scan(voc)


def test_coco_boxes_lie_on_the_letter_and_parts_are_those_of_the_files(tmp_path: Path) -> None:
    root = tmp_path / "coco"
    for k, part in enumerate(("train", "valid", "test")):
        images, annotations = [], []
        for n in range(3):
            name = f"c{k}{n}.png"
            letter(root / part, name, shift=3 * k + n)
            images.append({"id": n, "file_name": name, "width": WIDTH, "height": HEIGHT})
            box = box_of(root / part, name)
            left, top = box.low[1] + 0.5, box.low[0] + 0.5
            row = {"id": n, "image_id": n, "category_id": 7, "bbox": [left, top, box.size[1], box.size[0]]}
            annotations += [row] if n else []
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 7, "name": "F"}, {"id": 0, "name": "x"}],
        }
        (root / part / "_annotations.coco.json").write_text(json.dumps(content))
    cohort = scan(root)
    assert (cohort.task, cohort.layout, cohort.classes) == ("detect", "coco", ("F",))
    assert edges(cohort, "c11.png") == box_of(root / "valid", "c11.png")
    assert {c.part for c in cohort.cases} == {"train", "val", "test"}
    assert sum(c.boxes == () for c in cohort.cases) == 3, "an image without annotation holds nothing"
    assert any(g.what == "categories left out" and g.value == "x" for g in cohort.guesses)


def table(root: Path, head: list[str], rows: list[list[object]]) -> None:
    with (root / "boxes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])


def test_tables_of_corners_sides_and_circles_agree(tmp_path: Path) -> None:
    root = tmp_path / "table"
    for n in range(6):
        letter(root, f"t{n}.png", shift=n)
    boxes = [box_of(root, f"t{n}.png") for n in range(6)]
    ends = [(b.low[1] + 0.5, b.low[0] + 0.5, b.high[1] + 0.5, b.high[0] + 0.5) for b in boxes]
    table(root, ["image", "label", "xmin", "ymin", "xmax", "ymax"], [[f"t{n}.png", "F", *ends[n]] for n in range(6)])
    cohort = scan(root)  # two corners say it without --task
    assert cohort.task == "detect"
    assert [edges(cohort, f"t{n}.png") for n in range(6)] == boxes
    sides = [[f"t{n}.png", "F", x0, y0, x1 - x0, y1 - y0] for n, (x0, y0, x1, y1) in enumerate(ends)]
    table(root, ["image", "label", "x", "y", "width", "height"], sides)
    assert [edges(scan(root, task="detect"), f"t{n}.png") for n in range(6)] == boxes
    table(root, ["image", "label", "x", "y", "radius"], [[f"t{n}.png", "F", 37 + n, 15.5, 8] for n in range(6)])
    circle = edges(scan(root, task="detect"), "t2.png")
    assert circle == Box(0, (7.5, 31.0, -0.5), (23.5, 47.0, 0.5), round=True)
    table(
        root,
        ["image", "label", "x", "y_from_bottom", "radius"],
        [[f"t{n}.png", "F", 37 + n, 39 - 15.5, 8] for n in range(6)],
    )
    assert edges(scan(root, task="detect"), "t2.png") == circle


def test_balls_in_millimetres_lie_where_luna_says(tmp_path: Path) -> None:
    """Voxel (3, 4, 5) of a 2 mm grid that begins at RAS (10, 20, 30) lies at LPS (-16, -28, 40)."""
    import nibabel

    root, affine = tmp_path / "luna", np.diag([2.0, 2.0, 2.0, 1.0])
    root.mkdir()
    affine[:3, 3] = (10, 20, 30)
    for n in range(3):
        voxels = np.random.default_rng(n).normal(0, 50, (10, 12, 8)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(voxels, affine), root / f"scan{n}.nii.gz")
    rows = [[f"scan{n}", -16.0, -28.0, 40.0, 8.0] for n in range(3)]
    table(root, ["seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"], rows)
    cohort = scan(root, task="detect")
    assert (cohort.dimension, cohort.classes) == (3, ("object",))
    assert edges(cohort, "scan1.nii.gz") == Box(0, (1.0, 2.0, 3.0), (5.0, 6.0, 7.0), round=True)


def test_every_form_of_the_table_has_a_reference() -> None:
    from scanwright.intake.layouts.box_table import FORMS

    page = (Path(__file__).parents[2] / "docs" / "reference" / "layouts.md").read_text(encoding="utf-8")
    for needs, _, words in FORMS.values():
        assert needs
        assert words
    for columns in (
        "xmin ymin xmax ymax",
        "x y width height",
        "x y radius",
        "| points | `x y`",
        "coordX coordY coordZ",
    ):
        assert columns in page


def test_points_need_a_size(tmp_path: Path) -> None:
    root = tmp_path / "points"
    for n in range(4):
        letter(root, f"t{n}.png", shift=n)
    table(root, ["image", "label", "x", "y"], [[f"t{n}.png", "F", 20, 10] for n in range(4)])
    with pytest.raises(InputError, match="--box-size 24px"):
        scan(root, task="detect")
    with pytest.raises(InputError, match="has no spacing"):
        scan(root, task="detect", box_size="8mm")
    cohort = scan(root, task="detect", box_size="12px")
    assert edges(cohort, "t1.png") == Box(0, (4.0, 14.0, -0.5), (16.0, 26.0, 0.5))
    with pytest.raises(InputError, match="positive length"):
        BoxSize.of("large")


def test_negatives_and_places_that_nobody_gave(tmp_path: Path) -> None:
    root = tmp_path / "mias"
    for n in range(4):
        letter(root, f"t{n}.png", shift=n)
    rows = [
        ["t0.png", "B", 20, 10, 5],
        ["t1.png", "", "", "", ""],
        ["t2.png", "M", "", "", ""],
        ["t3.png", "M", 9, 9, 4],
    ]
    table(root, ["image", "severity", "x", "y", "radius"], rows)
    cohort = scan(root, task="detect")
    assert cohort.classes == ("benign", "malignant")
    assert [None if c.boxes is None else len(c.boxes) for c in cohort.cases] == [1, 0, None, 1]


def test_pieces_of_masks_become_boxes(tmp_path: Path) -> None:
    root = tmp_path / "masks"
    for n in range(4):
        letter(root / "images", f"m{n}.png", shift=n)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[6:26, 30 + n : 45 + n] = mask[30:36, 4:10] = mask[0, 0] = 1
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(root / "masks" / f"m{n}.png")
    cohort = scan(root, task="detect")
    assert cohort.mask_code is None
    case = next(c for c in cohort.cases if c.source.endswith("m3.png"))
    assert case.masks == ()
    assert {(b.low, b.high) for b in case.boxes or ()} == {
        ((5.5, 32.5, -0.5), (25.5, 47.5, 0.5)),
        ((29.5, 3.5, -0.5), (35.5, 9.5, 0.5)),
    }
    assert any(g.what == "pieces left out" and g.value == "4" for g in cohort.guesses)
    assert scan(root).task == "segment", "without --task masks are segmented as before"


def test_a_cohort_keeps_its_boxes_on_disk(voc: Path, tmp_path: Path) -> None:
    cohort = scan(voc)
    write_cohort(tmp_path / "run", cohort)
    again = read_cohort(tmp_path / "run")
    assert again.cases == cohort.cases
    path = tmp_path / "run" / "boxes.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("p00,F", "p00,G"), encoding="utf-8")
    with pytest.raises(CohortError, match=r"Row 2 of boxes\.csv"):
        read_cohort(tmp_path / "run")


def test_a_folder_without_boxes_is_refused(tmp_path: Path) -> None:
    for n in range(3):
        letter(tmp_path / "plain", f"t{n}.png", shift=n)
    with pytest.raises(CohortError, match="no boxes and no masks"):
        scan(tmp_path / "plain", task="detect")


def test_the_task_of_boxes_cannot_be_another(voc: Path) -> None:
    with pytest.raises((InputError, CohortError), match="boxes|no labels|label"):
        scan(voc, task="multiclass", layout="voc")


def test_blood_cells_have_their_published_counts(kit: Path) -> None:
    cohort = scan(kit / "bccd")
    total: dict[str, int] = {}
    for row in cohort.counts().values():
        for name, n in row.items():
            total[name] = total.get(name, 0) + n
    assert total == {"RBC": 4155, "WBC": 372, "Platelets": 361}
    assert [len(cohort.of(part)) for part in ("train", "val", "test")] == [205, 87, 72]
    assert not any(b.is_empty for c in cohort.cases for b in c.boxes or ()), "two are one pixel wide"


def test_mammograms_have_their_circles_and_negatives(kit: Path) -> None:
    cohort = scan(kit / "mini_mias_256", task="detect")
    assert sum(c.boxes == () for c in cohort.cases) == 207
    assert sum(c.boxes is None for c in cohort.cases) == 4
    first = next(c for c in cohort.cases if c.id == "mdb001")
    assert first.boxes == (Box(0, (100.25, 84.5, -0.5), (198.75, 183.0, 0.5), round=True),)
    assert first.patient == "p001"


def test_patients_are_known_by_file_names(tmp_path: Path) -> None:
    names = [f"patient{p:03d}_{n}.png" for p in range(4) for n in range(3)]
    coco, voc = tmp_path / "coco", tmp_path / "voc"
    (voc / "Annotations").mkdir(parents=True)
    for n, name in enumerate(names):
        letter(coco, name, shift=n)
        letter(voc, name, shift=n)
        (voc / "Annotations" / name.replace("png", "xml")).write_text(xml(name, [("F", 31 + n, 7, 45 + n, 26)]))
    content = {
        "images": [{"id": n, "file_name": name} for n, name in enumerate(names)],
        "annotations": [{"image_id": n, "category_id": 1, "bbox": [30 + n, 6, 15, 20]} for n in range(12)],
        "categories": [{"id": 1, "name": "F"}],
    }
    (coco / "boxes.json").write_text(json.dumps(content))
    for root in (coco, voc):
        assert len({case.group for case in scan(root, task="detect").cases}) == 4


def test_a_class_called_0_is_a_class_and_its_placeholders_are_not(tmp_path: Path) -> None:
    for n in range(3):
        letter(tmp_path / "t", f"t{n}.png", shift=n)
    rows = [["t0.png", 0, 5, 5, 20, 20], ["t1.png", 1, 5, 5, 20, 20], ["t2.png", 0, 0, 0, 0, 0]]
    table(tmp_path / "t", ["image", "label", "xmin", "ymin", "xmax", "ymax"], [list(row) for row in rows])
    cohort = scan(tmp_path / "t")
    assert cohort.classes == ("0", "1")
    assert [len(c.boxes or ()) for c in cohort.cases] == [1, 1, 0]


def test_names_of_columns_say_what_is_counted(tmp_path: Path) -> None:
    root = tmp_path / "t"
    letter(root, "t0.png")
    letter(root, "t1.png", shift=1)
    wanted = Box(0, (9.5, 19.5, -0.5), (15.5, 29.5, 0.5))
    for head, row in (
        (["x0", "y0", "x1", "y1"], [20, 10, 30, 16]),
        (["x1", "y1", "x2", "y2"], [20, 10, 30, 16]),
        (["x_center", "y_center", "width", "height"], [25, 13, 10, 6]),
        (["cx", "cy", "w", "h"], [25, 13, 10, 6]),
    ):
        table(root, ["image", *head], [["t0.png", *row], ["t1.png", *row]])
        assert edges(scan(root, task="detect"), "t0.png") == wanted
    table(root, ["image", "cx", "cy", "radius"], [["t0.png", 25, 13, 4], ["t1.png", 25, 13, 4]])
    assert edges(scan(root, task="detect"), "t0.png").centre == (13, 25, 0)
    table(root, ["image", "cx", "cy", "w", "h"], [["t0.png", 0.5, 0.5, 0.1, 0.2], ["t1.png", 0.5, 0.5, 0.1, 0.2]])
    with pytest.raises(InputError, match="lie between 0 and 1"):
        scan(root, task="detect")


def test_boxes_of_a_volume_lie_on_their_slice(tmp_path: Path) -> None:
    import nibabel

    root = tmp_path / "t"
    root.mkdir()
    for n in range(2):
        nibabel.save(nibabel.Nifti1Image(np.ones((20, 24, 8), np.float32), np.eye(4)), root / f"v{n}.nii.gz")
    head = ["image", "xmin", "ymin", "xmax", "ymax"]
    table(root, [*head, "slice"], [[f"v{n}.nii.gz", 2, 3, 8, 9, 5] for n in range(2)])
    assert (edges(scan(root), "v1.nii.gz").low[2], edges(scan(root), "v1.nii.gz").high[2]) == (4.5, 5.5)
    table(root, head, [[f"v{n}.nii.gz", 2, 3, 8, 9] for n in range(2)])
    with pytest.raises(InputError, match="name no slice"):
        scan(root)


def test_a_voc_box_of_one_pixel_is_kept(voc: Path) -> None:
    (voc / "Annotations" / "p00.xml").write_text(xml("p00.png", [("F", 5, 5, 5, 9)]))
    assert edges(scan(voc), "p00.png").size == (5, 1, 1)


def test_two_coco_files_of_the_same_pictures_give_each_box_once(tmp_path: Path) -> None:
    letter(tmp_path / "c", "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png"}] + [{"id": n, "file_name": "x" * 5000} for n in range(2, 1000)],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [30, 6, 15, 20]}],
        "categories": [{"id": 1, "name": "F"}],
    }
    for name in ("instances.json", "person_keypoints.json"):
        (tmp_path / "c" / name).write_text(json.dumps(content))
    cohort = scan(tmp_path / "c")
    assert len(cohort.cases[0].boxes or ()) == 1
    assert any(g.what == "boxes left out" and g.value == "1" for g in cohort.guesses)


@pytest.mark.parametrize(("old", "new"), [("p00,F", "p11,F"), ("p00,F", "q00,F")])
def test_boxes_that_disagree_with_their_numbers_are_refused(voc: Path, tmp_path: Path, old: str, new: str) -> None:
    write_cohort(tmp_path / "run", scan(voc))
    path = tmp_path / "run" / "boxes.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(CohortError, match="of the case p00"):
        read_cohort(tmp_path / "run")
