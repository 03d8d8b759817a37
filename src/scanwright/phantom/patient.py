"""Who is imaged: the parameters of one synthetic patient, drawn from a seed."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from scanwright.core.errors import InputError
from scanwright.phantom.anatomy import Anatomy


@dataclass(frozen=True)
class Scanner:
    """An X-ray unit, or a CT, with its own look.

    Args:
        manufacturer: Name in the header; invented.
        model: Model name in the header; invented.
        modality: ``"DX"``, ``"CR"`` or ``"CT"``.
        kvp: Tube voltage in kV.
        photons: Photons per mm² that reach the detector beside the patient (X-ray), or
            noise in HU at 1 mm² x 5 mm (CT).
        blur_mm: Standard deviation of the detector's blur.
        sharpen: Strength of the unsharp mask.
        latitude: 0 .. 1, share of the wide shadows that the display processing takes away.
        scatter: Haze behind the grid, as a share of the blurred primary image.
        photometric: ``"MONOCHROME2"`` or ``"MONOCHROME1"``.
        pixels: Rows and columns of the usual matrix, in this project's small format.
        naming: Pattern of its file names, with ``{n}``.
    """

    manufacturer: str
    model: str
    modality: Literal["DX", "CR", "CT"]
    kvp: float
    photons: float
    blur_mm: float
    sharpen: float
    latitude: float = 0.5
    scatter: float = 0.12
    photometric: Literal["MONOCHROME2", "MONOCHROME1"] = "MONOCHROME2"
    pixels: int = 256
    naming: str = "IM{n:04d}.dcm"


SCANNERS: dict[str, Scanner] = {
    "Aurelia DR-500": Scanner(
        "Aurelia Imaging", "DR-500", "DX", 125, 9000, 0.45, 0.9, 0.72, 0.08, naming="DX{n:06d}.dcm"
    ),
    "Aurelia Mobile": Scanner(
        "Aurelia Imaging", "Mobile 20", "DX", 100, 4000, 0.60, 0.6, 0.64, 0.16, naming="DX{n:06d}.dcm"
    ),
    "Borealis CR-2": Scanner(
        "Borealis Medical", "CR-2", "CR", 117, 3200, 0.95, 0.4, 0.52, 0.12, "MONOCHROME1", naming="CR.{n}.dcm"
    ),
    "Calder Rad One": Scanner(
        "Calder Systems", "Rad One", "DX", 133, 12000, 0.40, 1.3, 0.78, 0.09, naming="IM-0001-{n:04d}.dcm"
    ),
}
"""X-ray units of the phantom hospital: invented makers, each with its own noise, voltage and sharpness."""

CT_SCANNERS: dict[str, Scanner] = {
    "Aurelia Spiral 64": Scanner(
        "Aurelia Imaging", "Spiral 64", "CT", 120, 16, 0.70, 0.0, pixels=256, naming="CT{n:06d}.dcm"
    ),
    "Calder Volume 128": Scanner(
        "Calder Systems", "Volume 128", "CT", 110, 22, 0.50, 0.35, pixels=256, naming="IM-0002-{n:04d}.dcm"
    ),
    "Dunmore Axis": Scanner(
        "Dunmore Healthcare", "Axis 32", "CT", 130, 12, 1.00, 0.0, pixels=256, naming="{n:08d}.dcm"
    ),
}
"""CT units of the phantom hospital."""


@dataclass(frozen=True)
class Nodule:
    """A nodule or a granuloma.

    Args:
        centre: RAS+ mm.
        diameter_mm: Diameter of the equal sphere of its body.
        hu: CT number inside.
        margin: ``"smooth"`` or ``"spiculated"``.
        behind: What its shadow falls on: ``"open lung"``, ``"heart"``, ``"diaphragm"`` or ``"mediastinum"``.
        seed: Shape of its surface.
    """

    centre: tuple[float, float, float]
    diameter_mm: float
    hu: float
    margin: Literal["smooth", "spiculated"]
    behind: str
    seed: int


@dataclass(frozen=True)
class ChestPatient:
    """Everything that decides what a phantom chest looks like.

    Args:
        seed: Number that the rest was drawn from.
        sex: ``"F"`` or ``"M"``.
        age: Years.
        height_cm: Body height.
        bmi: Body mass index, kg/m².
        heart: Size of the heart, 1 is usual.
        inspiration: 0 shallow .. 1 full.
        rotation_deg: Rotation about the long axis.
        offset_mm: Sideways and upward shift in the beam.
        scanner: Key of :data:`SCANNERS`.
        ct_scanner: Key of :data:`CT_SCANNERS`.
        dose: Exposure, 1 is usual for the unit.
        lung_hu: Mean CT number of aerated lung.
        nodules: Nodules; the class is ``nodule`` when there are any.
        granulomas: Small calcified scars, in both classes.
        exam: Number of the examination; gives another noise of the same body.
    """

    seed: int
    sex: Literal["F", "M"]
    age: int
    height_cm: float
    bmi: float
    heart: float
    inspiration: float
    rotation_deg: float
    offset_mm: tuple[float, float]
    scanner: str
    ct_scanner: str
    dose: float
    lung_hu: float
    nodules: tuple[Nodule, ...] = ()
    granulomas: tuple[Nodule, ...] = ()
    exam: int = 0

    def __post_init__(self) -> None:
        _known("scanner", self.scanner, SCANNERS)
        _known("ct_scanner", self.ct_scanner, CT_SCANNERS)

    @property
    def label(self) -> Literal["normal", "nodule"]:
        """Class of the patient."""
        return "nodule" if self.nodules else "normal"

    @property
    def anatomy(self) -> Anatomy:
        """Organs of this patient."""
        size = self.height_cm / 172.0
        wide = size * (1 + 0.006 * (self.bmi - 25)) * (0.95 if self.sex == "F" else 1.02)
        deep = size * (1 + 0.010 * (self.bmi - 25)) * (0.92 if self.sex == "F" else 1.0)
        shape = np.random.default_rng((self.seed, 11))
        return Anatomy(
            scale=(float(np.clip(wide, 0.8, 1.15)), float(np.clip(deep, 0.75, 1.2)), size),
            fat_mm=float(np.clip(4 + 1.5 * (self.bmi - 19) * (1.25 if self.sex == "F" else 1.0), 4, 34)),
            heart=self.heart,
            aorta=0.88 + 0.0042 * (self.age - 30) + float(shape.normal(0, 0.04)),
            dome_mm=26 * (1 - self.inspiration),
            turn=float(np.tan(np.deg2rad(self.rotation_deg))),
            breast=float(np.clip(shape.normal(54, 8) + 0.9 * (self.bmi - 25), 34, 80)) if self.sex == "F" else 0.0,
            stomach=float(shape.uniform(0.35, 1.05)) if shape.random() < 0.75 else 0.0,
        )


def chest(seed: int, **overrides: Any) -> ChestPatient:
    """Draw a synthetic patient.

    Args:
        seed: Same seed, same patient.
        **overrides: Any field of :class:`ChestPatient`; the rest is drawn. ``label`` may be
            given as ``"normal"`` or ``"nodule"`` instead of ``nodules``.

    Returns:
        The patient. Whether there is a nodule is drawn apart from everything else, so it
        tells nothing of sex, age, size, scanner or dose.

    Raises:
        InputError: An override is no field; the nearest name is given.

    Example:
        >>> chest(3, sex="F").sex
        'F'
    """
    names = {f.name for f in fields(ChestPatient)} | {"label"}
    for name in overrides:
        _known("chest parameter", name, dict.fromkeys(names))
    generator = np.random.default_rng((seed, 1))
    sex = overrides.get("sex", "F" if generator.random() < 0.48 else "M")
    age = int(np.clip(generator.normal(56, 15), 20, 90))
    drawn = ChestPatient(
        seed=seed,
        sex=sex,
        age=age,
        height_cm=round(float(np.clip(generator.normal(165 if sex == "F" else 177, 6.5), 148, 198)), 1),
        bmi=round(float(np.clip(generator.gamma(28, 0.93), 17.5, 40)), 1),
        heart=round(float(np.clip(generator.normal(1.0 + 0.0015 * (age - 56), 0.07), 0.84, 1.25)), 3),
        inspiration=round(float(generator.beta(4, 1.8)), 3),
        rotation_deg=round(float(np.clip(generator.normal(0, 2.0), -5, 5)), 2),
        offset_mm=(round(float(generator.normal(0, 6)), 1), round(float(generator.normal(0, 7)), 1)),
        scanner=str(generator.choice(list(SCANNERS), p=_shares(len(SCANNERS)))),
        ct_scanner=str(generator.choice(list(CT_SCANNERS))),
        dose=round(float(np.exp(generator.normal(0, 0.25))), 3),
        lung_hu=round(float(generator.normal(-850, 18) - 0.25 * (age - 56)), 1),
    )
    wanted = overrides.pop("label", None)
    if wanted is None:
        wanted = "nodule" if np.random.default_rng((seed, 2)).random() < 0.5 else "normal"
    _known("label", wanted, {"normal": None, "nodule": None})
    drawn = replace(drawn, **overrides)
    if "nodules" not in overrides and wanted == "nodule":
        drawn = replace(drawn, nodules=_nodules(drawn))
    if "granulomas" not in overrides:
        drawn = replace(drawn, granulomas=_granulomas(drawn))
    return drawn


def _shares(n: int) -> np.ndarray[Any, Any]:
    weights = np.linspace(1.3, 0.7, n)
    return np.asarray(weights / weights.sum())


def _nodules(patient: ChestPatient) -> tuple[Nodule, ...]:
    """One to three nodules, the first the largest."""
    generator = np.random.default_rng((patient.seed, 3))
    count = int(generator.choice([1, 2, 3], p=[0.55, 0.27, 0.18]))
    margin: Literal["smooth", "spiculated"] = "spiculated" if generator.random() < 0.45 else "smooth"
    diameters = sorted((15 + 20 * generator.beta(2.0, 1.4, count)).tolist(), reverse=True)
    found: tuple[Nodule, ...] = ()
    for diameter in diameters:
        found += _place(patient, generator, (diameter, float(generator.normal(60, 12))), margin)
    return found


def _granulomas(patient: ChestPatient) -> tuple[Nodule, ...]:
    generator = np.random.default_rng((patient.seed, 4))
    count = int(generator.choice([0, 1, 2], p=[0.6, 0.28, 0.12]))
    found: tuple[Nodule, ...] = ()
    for _ in range(count):
        found += _place(
            patient, generator, (float(generator.uniform(3.0, 6.5)), float(generator.uniform(450, 900))), "smooth"
        )
    return found


def _place(
    patient: ChestPatient,
    generator: np.random.Generator,
    size_hu: tuple[float, float],
    margin: Literal["smooth", "spiculated"],
) -> tuple[Nodule, ...]:
    anatomy = patient.anatomy
    points = anatomy.lung_points(generator, 1, 0.58 * size_hu[0] + 2)
    if not len(points):
        points = anatomy.lung_points(generator, 1, 0.45 * size_hu[0])
    if not len(points):
        return ()
    point = points[0]
    centre = tuple(round(float(v), 2) for v in point * np.asarray(anatomy.scale))
    return (
        Nodule(
            (centre[0], centre[1], centre[2]),
            round(size_hu[0], 1),
            round(size_hu[1], 1),
            margin,
            _behind(anatomy, point),
            int(generator.integers(2**31)),
        ),
    )


def _behind(anatomy: Anatomy, point: np.ndarray[Any, Any]) -> str:
    x, z = point[0:1], point[2:3]
    organs = anatomy.organs(x, z)

    def covers(*names: str) -> bool:
        return any(bool((b > a + 1).any()) for name in names for a, b in organs[name])

    if covers("liver", "abdomen"):
        return "diaphragm"
    if covers("heart"):
        return "heart"
    return "mediastinum" if covers("aorta", "vessel", "spine") else "open lung"


def _known(what: str, name: str, table: dict[str, Any]) -> None:
    if name in table:
        return
    near = difflib.get_close_matches(str(name), list(table), n=1, cutoff=0.3)
    raise InputError(
        f"{name!r} is no {what}.",
        f"It must be one of {', '.join(sorted(table))}.",
        f"Did you mean {near[0]!r}?" if near else "Take one of these.",
    )
