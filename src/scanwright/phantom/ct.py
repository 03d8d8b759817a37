"""The CT of a phantom chest: HU volume and label map, painted organ by organ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import InputError
from scanwright.core.grid import Grid
from scanwright.core.volume import LabelMap, Volume
from scanwright.phantom.anatomy import Interval
from scanwright.phantom.clouds import Cloud, splat
from scanwright.phantom.lesions import inside
from scanwright.phantom.patient import CT_SCANNERS, ChestPatient, Nodule, Scanner
from scanwright.phantom.xray import structures

LABELS: dict[str, int] = {
    "lung-right": 1,
    "lung-left": 2,
    "heart": 3,
    "aorta": 4,
    "liver": 5,
    "spine": 6,
    "rib": 7,
    "sternum": 8,
    "clavicle": 9,
    "scapula": 10,
    "humerus": 11,
    "airway": 12,
    "vessel": 13,
    "granuloma": 14,
    "nodule": 15,
}
"""Structures of the label map."""

ORGAN_HU: dict[str, float] = {
    "heart": 42.0,
    "aorta": 44.0,
    "vessel": 42.0,
    "spine": 50.0,
    "liver": 58.0,
    "abdomen": 46.0,
}

FIELD_MM = 384.0
_BOTTOM, _TOP = -158.0, 142.0


def ct_grid(patient: ChestPatient, spacing_mm: tuple[float, float, float]) -> Grid:
    """Place of the CT's voxels.

    Args:
        patient: The patient.
        spacing_mm: Distance between rows, columns and slices.

    Returns:
        Grid: rows run backwards, columns to the left, slices upwards. It covers the lungs.
    """
    rows, columns = (round(FIELD_MM / s) for s in spacing_mm[:2])
    height = patient.anatomy.scale[2]
    slices = max(round((_TOP - _BOTTOM) * height / spacing_mm[2]), 1)
    front = (rows - 1) / 2 * spacing_mm[0] - 12.0
    right = (columns - 1) / 2 * spacing_mm[1]
    affine = np.diag([1.0, 1, 1, 1])
    affine[:3] = [[0, -spacing_mm[1], 0, right], [-spacing_mm[0], 0, 0, front], [0, 0, spacing_mm[2], _BOTTOM * height]]
    return Grid((rows, columns, slices), affine)


def render_ct(
    patient: ChestPatient,
    spacing_mm: float | tuple[float, float, float] = (1.5, 1.5, 2.5),
    *,
    scanner: Scanner | None = None,
    noise: bool = True,
) -> tuple[Volume, LabelMap]:
    """Scan a patient.

    Args:
        patient: The patient.
        spacing_mm: Distance between rows, columns and slices; one number for all three.
        scanner: The CT; the patient's own if None.
        noise: Whether to add the scanner's blur and noise.

    Returns:
        Volume in HU, ``(1, I, J, K)`` int16, and its label map on the same grid.

    Raises:
        InputError: A spacing is not between 0.4 and 12 mm.
    """
    spacing = (spacing_mm,) * 3 if isinstance(spacing_mm, int | float) else tuple(spacing_mm)
    if len(spacing) != 3 or not all(0.4 <= s <= 12 for s in spacing):
        raise InputError(
            f"A spacing of {spacing_mm} mm was asked for.", "It must lie between 0.4 and 12 mm.", "Write spacing_mm=2."
        )
    step = (float(spacing[0]), float(spacing[1]), float(spacing[2]))
    unit = scanner or CT_SCANNERS[patient.ct_scanner]
    grid = ct_grid(patient, step)
    canvas = _Canvas(patient, grid)
    canvas.paint_organs()
    for cloud in structures(patient, step_mm=0.75 * min(step)):
        if cloud.label not in ("nodule", "granuloma"):
            canvas.paint_cloud(_arms_up(cloud, patient))
    for label, lumps in (("granuloma", patient.granulomas), ("nodule", patient.nodules)):
        for lump in lumps:
            canvas.paint_lump(lump, label)
    hu = _acquire(canvas.hu, unit, grid, patient) if noise else canvas.hu
    array = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
    header = {"KVP": f"{unit.kvp:g}", "Manufacturer": unit.manufacturer, "ManufacturerModelName": unit.model}
    names = {value: name for name, value in LABELS.items()}
    volume = Volume(array[None], grid, unit="HU", modality="CT", window=(40.0, 400.0), header=header)
    return volume, LabelMap(canvas.labels, grid, names)


class _Canvas:
    """HU and labels while they are painted, axes I (backwards), J (left), K (up)."""

    def __init__(self, patient: ChestPatient, grid: Grid) -> None:
        self.patient, self.grid, self.anatomy = patient, grid, patient.anatomy
        rows, columns, slices = grid.shape
        scale = self.anatomy.scale
        step = grid.spacing
        self.y = (grid.affine[1, 3] - np.arange(rows) * step[0]) / scale[1]
        self.x = ((grid.affine[0, 3] - np.arange(columns) * step[1]) / scale[0])[:, None]
        self.z = ((grid.affine[2, 3] + np.arange(slices) * step[2]) / scale[2])[None, :]
        self.soft_edge = step[0] / scale[1]
        self.hu = np.full(grid.shape, -1000.0, dtype=np.float32)
        self.labels = np.zeros(grid.shape, dtype=np.uint8)

    def share(self, interval: Interval) -> tuple[tuple[slice, slice, slice], NDArray[np.float32]]:
        """The box that an interval touches, and how much of each voxel it fills."""
        low, high = (np.broadcast_to(v, (self.x.shape[0], self.z.shape[1])) for v in interval)
        some = high > low
        if not some.any():
            return (slice(0, 0),) * 3, np.zeros((0, 0, 0), dtype=np.float32)
        j, k = np.flatnonzero(some.any(axis=1)), np.flatnonzero(some.any(axis=0))
        touched = (self.y > low[some].min() - 2 * self.soft_edge) & (self.y < high[some].max() + 2 * self.soft_edge)
        i = np.flatnonzero(touched)
        if not i.size:
            return (slice(0, 0),) * 3, np.zeros((0, 0, 0), dtype=np.float32)
        box = (slice(i[0], i[-1] + 1), slice(j[0], j[-1] + 1), slice(k[0], k[-1] + 1))
        back, front = (v[box[1], box[2]].astype(np.float32)[None] / self.soft_edge for v in (low, high))
        y = (self.y[box[0]].astype(np.float32) / self.soft_edge)[:, None, None]
        part = np.clip(np.minimum(front, y + 0.5) - np.maximum(back, y - 0.5), 0, 1)
        return box, part

    def fill(
        self, interval: Interval, hu: float, label: int | None = None, *, clip: NDArray[np.float32] | None = None
    ) -> None:
        """Paint an interval over what is there."""
        box, part = self.share(interval)
        if clip is not None:
            part = part * clip[box]
        self.hu[box] += part * (hu - self.hu[box])
        if label is not None:
            self.labels[box][part > 0.5] = label

    def paint_organs(self) -> None:
        """Skin, fat, muscle, lungs, mediastinum, heart, vessels, liver and stomach gas."""
        anatomy, x, z = self.anatomy, self.x, self.z
        skin = anatomy.body(x, z, fat=True, arms=False)
        breast = anatomy.breasts(x, z)
        self.fill((skin[0], skin[1] + breast * (skin[1] > skin[0])), -95.0)
        self.fill((skin[1] + 0.35 * breast - 2, skin[1] + 0.62 * breast - 2), 20.0)
        self.fill(anatomy.body(x, z, fat=False, arms=False), 48.0)
        box, part = self.share(anatomy.cavity(x, z))
        clip = np.zeros(self.grid.shape, dtype=np.float32)
        clip[box] = part
        self.hu += clip * (self.patient.lung_hu - self.hu)
        lung = clip > 0.5
        self.labels[lung] = (
            np.where(np.broadcast_to(x > 0, x.shape)[None, :, :1], LABELS["lung-right"], LABELS["lung-left"])
            .repeat(self.grid.shape[2], axis=2)
            .repeat(self.grid.shape[0], axis=0)[lung]
        )
        self.fill(anatomy.mediastinum(x, z), -85.0, 0, clip=clip)
        for name, intervals in anatomy.organs(x, z).items():
            for interval in intervals:
                whole = name in ("liver", "abdomen")
                self.fill(
                    interval,
                    ORGAN_HU[name],
                    LABELS.get(name, 0) if name != "vessel" and name != "spine" else 0,
                    clip=None if whole else clip,
                )
        self.fill(anatomy.gas(x, z, supine=True), -1000.0, 0)

    def paint_cloud(self, cloud: Cloud) -> None:
        """Paint a cloud by the share of each voxel that it fills."""
        grid = self.grid
        step = np.array(grid.spacing)
        place = cloud.points[:, [1, 0, 2]]
        origin = np.array([grid.affine[1, 3], grid.affine[0, 3], grid.affine[2, 3]])
        signed = step * (-1, -1, 1)
        index = (place - origin) / signed
        low = np.maximum(np.floor(index.min(axis=0)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 2, grid.shape)
        if (high - low < 2).any():
            return
        shape = tuple(int(n) for n in high - low)
        share = splat(place, cloud.volume_mm3, origin + low * signed, signed, shape) / float(np.prod(step))
        share = np.minimum(share, 1).astype(np.float32)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        self.hu[box] += share * (cloud.hu - self.hu[box])
        self.labels[box][share > 0.35] = LABELS[cloud.label]

    def paint_lump(self, lump: Nodule, label: str) -> None:
        """Paint a nodule from its surface."""
        centre = self.grid.index(np.array(lump.centre))
        reach = (lump.diameter_mm * 0.95 + 2) / np.array(self.grid.spacing)
        low = np.maximum(np.floor(centre - reach), 0).astype(int)
        high = np.minimum(np.ceil(centre + reach) + 1, self.grid.shape).astype(int)
        if (high <= low).any():
            return
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        index = np.stack(
            np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1
        )
        depth = inside(lump, self.grid.world(index))
        edge = float(np.mean(self.grid.spacing))
        share = np.clip(depth / edge + 0.5, 0, 1).astype(np.float32)
        self.hu[box] += share * (lump.hu - self.hu[box])
        self.labels[box][depth > 0] = LABELS[label]


def _arms_up(cloud: Cloud, patient: ChestPatient) -> Cloud:
    """A CT is taken with raised arms: the shafts leave the picture."""
    if cloud.label != "humerus":
        return cloud
    keep = cloud.points[:, 2] > 80 * patient.anatomy.scale[2]
    return replace(cloud, points=cloud.points[keep], volume_mm3=cloud.volume_mm3[keep])


def _acquire(hu: NDArray[np.float32], unit: Scanner, grid: Grid, patient: ChestPatient) -> NDArray[np.float32]:
    """Blur, kernel and noise of a scanner, and the mottle of the lungs."""
    from scipy.ndimage import gaussian_filter

    generator = np.random.default_rng((patient.seed, 9, patient.exam))
    in_plane = unit.blur_mm / grid.spacing[0]
    seen = gaussian_filter(hu, (in_plane, in_plane, 0))
    if unit.sharpen:
        seen += unit.sharpen * (seen - gaussian_filter(seen, (2 * in_plane, 2 * in_plane, 0)))
    lung = np.clip((-hu - 600) / 200, 0, 1) * (hu > -980)
    mottle = gaussian_filter(generator.standard_normal(hu.shape, dtype=np.float32), 2.5)
    seen += lung * mottle * (16 / max(float(mottle.std()), 1e-6))
    grain = gaussian_filter(generator.standard_normal(hu.shape, dtype=np.float32), (0.7, 0.7, 0))
    level = unit.photons * np.sqrt(5.0 / grid.spacing[2]) / np.sqrt(patient.dose) * (1 + 0.03 * (patient.bmi - 25))
    seen += grain * (min(level, 60.0) / max(float(grain.std()), 1e-6)) * np.where(hu < -950, 0.5, 1.0)
    return np.asarray(seen, dtype=np.float32)
