"""The chest X-ray: line integrals, scatter, photons, detector, display curve.

The beam is parallel and runs back to front (PA). Magnification is uniform, that of the
plane through the middle of the chest, and is stated in the header.

Source:
    Beer-Lambert law; water and bone after NIST XCOM at the mean energy of the beam;
    scatter as a blurred fraction of the primary image (Boone & Seibert 1988).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanwright.core.errors import InputError
from scanwright.core.grid import Grid
from scanwright.core.volume import Volume
from scanwright.phantom.anatomy import Interval, union_length
from scanwright.phantom.clouds import Cloud, splat
from scanwright.phantom.lesions import lesion_cloud
from scanwright.phantom.patient import SCANNERS, ChestPatient, Scanner
from scanwright.phantom.skeleton import skeleton
from scanwright.phantom.vessels import airways, vessel_tree

Array = NDArray[np.float64]

FIELD_MM = 392.0
MAGNIFICATION = 1.06
MAX_VALUE = 4095

_SOFT_HU, _FAT_HU, _BREAST_HU = 45.0, -100.0, -45.0
_ENERGY_KEV = (40.0, 50.0, 60.0, 70.0, 80.0, 100.0)
_WATER_PER_MM = (0.02683, 0.02269, 0.02059, 0.01929, 0.01837, 0.01707)


def attenuation_per_mm(hu: NDArray[np.floating] | float, kvp: float = 120.0) -> NDArray[np.float64]:
    """Linear attenuation of tissue at the mean energy of a tube voltage.

    Args:
        hu: CT numbers.
        kvp: Tube voltage in kV, 60 .. 150; the mean energy is taken as 0.55 keV per kV.

    Returns:
        Attenuation per mm. Water follows NIST XCOM; above 100 HU the excess grows as the
        photoelectric effect does when the energy falls.

    Source:
        NIST XCOM mass attenuation of water: 0.2059 cm²/g at 60 keV, 0.1929 at 70 keV.
    """
    energy = 0.55 * kvp
    water = float(np.interp(energy, _ENERGY_KEV, _WATER_PER_MM))
    values = np.asarray(hu, dtype=np.float64)
    bone = (66.0 / energy) ** 1.3
    excess = np.where(values > 100, 100 + (values - 100) * bone, values)
    return np.asarray(water * np.maximum(1 + excess / 1000, 0))


def project(volume: Volume, kvp: float = 120.0) -> NDArray[np.float64]:
    """Line integrals of a CT along the front-back axis.

    Args:
        volume: CT in HU, any axis order; the axis nearest to anterior-posterior is summed.
        kvp: Tube voltage in kV.

    Returns:
        Sum of attenuation times step, without unit, over the other two axes in their order.

    Raises:
        InputError: The volume is not in HU.
    """
    if volume.unit != "HU":
        raise InputError(
            f"The volume is in {volume.unit!r}.",
            "A projection needs CT numbers.",
            "Read a CT series, or set unit='HU'.",
        )
    axis = next(n for n, letter in enumerate(volume.grid.orientation) if letter in "AP")
    return np.asarray(attenuation_per_mm(volume.array[0], kvp).sum(axis=axis) * volume.grid.spacing[axis])


def xray_grid(patient: ChestPatient, size: int) -> Grid:
    """Place of the X-ray's pixels in the patient.

    Args:
        patient: The patient.
        size: Rows and columns.

    Returns:
        Grid of one slice: rows run down, columns to the patient's left, in mm of the plane
        through the middle of the chest.
    """
    step = FIELD_MM / size
    right = (size - 1) / 2 * step + patient.offset_mm[0]
    top = -8 * patient.anatomy.scale[2] + (size - 1) / 2 * step + patient.offset_mm[1]
    affine = np.array([[0, -step, 0, right], [0, 0, 1.0, 0], [-step, 0, 0, top], [0, 0, 0, 1]])
    return Grid((size, size, 1), affine)


def line_integrals(patient: ChestPatient, grid: Grid, kvp: float = 120.0) -> NDArray[np.float64]:
    """Attenuation along the beam, straight from the organs' surfaces.

    Args:
        patient: The patient.
        grid: Pixels, from :func:`xray_grid`.
        kvp: Tube voltage in kV.

    Returns:
        ``(rows, columns)`` sums of attenuation times path, without unit.
    """
    mu = {
        name: float(attenuation_per_mm(hu, kvp))
        for name, hu in {"soft": _SOFT_HU, "fat": _FAT_HU, "breast": _BREAST_HU, "lung": patient.lung_hu}.items()
    }
    paths = organ_paths(patient, grid)
    total = sum(mu[name] * paths[name] for name in ("soft", "fat", "breast", "lung"))
    total = total - paths["gas"] * (mu["soft"] - float(attenuation_per_mm(-1000.0, kvp)))
    clouds = structures(patient, step_mm=max(grid.spacing[0], 0.7))
    extra = [c.volume_mm3 * (float(attenuation_per_mm(c.hu, kvp)) - mu[c.base]) for c in clouds]
    total = total + _drop(np.concatenate([c.points for c in clouds]), np.concatenate(extra), grid)
    total = total * _lung_texture(patient, paths["lung"], grid)
    return np.asarray(np.maximum(total, 0))


def organ_paths(patient: ChestPatient, grid: Grid) -> dict[str, NDArray[np.float64]]:
    """Length of the beam's path in each large tissue.

    Args:
        patient: The patient.
        grid: Pixels, from :func:`xray_grid`.

    Returns:
        ``"soft"``, ``"fat"``, ``"breast"``, ``"lung"`` and ``"gas"`` (already in ``"soft"``) to
        ``(rows, columns)`` in mm.
    """
    anatomy = patient.anatomy
    rows, columns = grid.shape[:2]
    deep = anatomy.scale[1]
    x = (
        grid.world(np.stack([np.zeros(columns), np.arange(columns), np.zeros(columns)], axis=1))[:, 0][None, :]
        / anatomy.scale[0]
    )
    z = (
        grid.world(np.stack([np.arange(rows), np.zeros(rows), np.zeros(rows)], axis=1))[:, 2][:, None]
        / anatomy.scale[2]
    )
    skin, inner, cavity = anatomy.body(x, z, fat=True), anatomy.body(x, z, fat=False), anatomy.cavity(x, z)
    organs = [i for group in anatomy.organs(x, z).values() for i in group]
    column = anatomy.mediastinum(x, z)
    chord = _length(cavity)
    solid, filled = np.zeros_like(chord), np.zeros_like(chord)
    here = chord > 0

    def at(interval: Interval) -> Interval:
        return np.broadcast_to(interval[0], chord.shape)[here], np.broadcast_to(interval[1], chord.shape)[here]

    touched = [back < front for back, front in (*organs, column)]
    here &= np.logical_or.reduce([np.broadcast_to(t, chord.shape) for t in touched])
    inner_organs = [at(i) for i in organs]
    solid[here] = union_length(inner_organs, at(cavity))
    filled[here] = union_length([*inner_organs, at(column)], at(cavity))
    whole = np.maximum(_length(inner), chord + 14 * (chord > 0))
    breast = anatomy.breasts(x, z)
    gas = _length(anatomy.gas(x, z))
    return {
        "soft": (whole - chord + solid) * deep,
        "fat": (np.maximum(_length(skin) - whole, 0) + filled - solid) * deep,
        "breast": np.broadcast_to(breast, chord.shape) * deep,
        "lung": (chord - filled) * deep,
        "gas": np.broadcast_to(gas, chord.shape) * deep,
    }


def structures(patient: ChestPatient, *, step_mm: float) -> list[Cloud]:
    """Bones, vessels, airways and lesions of a patient.

    Args:
        patient: The patient.
        step_mm: Distance between points.

    Returns:
        Clouds, in the order in which a CT paints them.
    """
    anatomy = patient.anatomy
    mineral = 1.08 - 0.0045 * max(patient.age - 40, 0) - (0.05 if patient.sex == "F" else 0)
    clouds = [
        vessel_tree(anatomy, np.random.default_rng((patient.seed, 6)), step_mm=step_mm),
        airways(anatomy, step_mm=step_mm),
    ]
    clouds += skeleton(anatomy, mineral=mineral, step_mm=step_mm)
    clouds += [lesion_cloud(n, "granuloma", step_mm=min(step_mm, 1.2)) for n in patient.granulomas]
    clouds += [lesion_cloud(n, "nodule", step_mm=min(step_mm, 1.2)) for n in patient.nodules]
    return clouds


def shadow(cloud: Cloud, grid: Grid) -> NDArray[np.float64]:
    """Path length through a cloud.

    Args:
        cloud: Structure in patient mm.
        grid: Pixels of an X-ray.

    Returns:
        ``(rows, columns)`` mm.
    """
    return _drop(cloud.points, cloud.volume_mm3, grid)


def _drop(points: Array, weights: Array, grid: Grid) -> Array:
    step = grid.spacing[0]
    origin = np.array([grid.affine[2, 3], grid.affine[0, 3]])
    return splat(points[:, [2, 0]], weights, origin, np.array([-step, -step]), grid.shape[:2]) / step**2


def render_xray(
    patient: ChestPatient, *, size: int = 256, scanner: Scanner | None = None
) -> tuple[Volume, NDArray[np.bool_]]:
    """Take the chest X-ray of a patient.

    Args:
        patient: The patient.
        size: Rows and columns, 32 or more.
        scanner: The unit; the patient's own if None.

    Returns:
        The X-ray, ``(1, size, size, 1)`` uint16 of 12 bits, dense tissue bright, whose grid
        lies in patient mm; and the nodules' shadow, ``(size, size)``.

    Raises:
        InputError: The size is below 32.
    """
    if size < 32:
        raise InputError(f"An X-ray of {size} pixels was asked for.", "It needs at least 32.", "Write size=256.")
    unit = scanner or SCANNERS[patient.scanner]
    grid = xray_grid(patient, size)
    integrals = line_integrals(patient, grid, unit.kvp)
    film = develop(expose(integrals, unit, grid.spacing[0], patient), unit, grid.spacing[0])
    picture = np.rint(film * MAX_VALUE).astype(np.uint16)
    _marker(picture)
    mask = np.zeros(grid.shape[:2], dtype=bool)
    for nodule in patient.nodules:
        mask |= shadow(lesion_cloud(nodule, "nodule"), grid) > 1.0
    header = {"KVP": f"{unit.kvp:g}", "Manufacturer": unit.manufacturer, "ManufacturerModelName": unit.model}
    volume = Volume(
        picture[None, :, :, None],
        grid,
        modality=unit.modality,
        window=(MAX_VALUE / 2 + 0.5, float(MAX_VALUE)),
        header=header,
    )
    return volume, mask


def expose(integrals: Array, unit: Scanner, step_mm: float, patient: ChestPatient) -> Array:
    """What the detector counts.

    Args:
        integrals: ``(rows, columns)`` attenuation times path.
        unit: The X-ray unit.
        step_mm: Pixel size.
        patient: Dose and seed are taken from here.

    Returns:
        ``(rows, columns)`` minus the logarithm of the relative signal.
    """
    from scipy.ndimage import gaussian_filter

    generator = np.random.default_rng((patient.seed, 7, patient.exam))
    primary = np.exp(-integrals)
    small = primary[::4, ::4]
    haze = gaussian_filter(np.minimum(small, 0.35), 36 / (4 * step_mm), mode="nearest")
    haze = np.kron(haze, np.ones((4, 4)))[: primary.shape[0], : primary.shape[1]]
    haze = gaussian_filter(haze, 5.0) if haze.shape == primary.shape else np.full_like(primary, primary.mean())
    middle = primary[primary.shape[0] // 5 : -primary.shape[0] // 5, primary.shape[1] // 4 : -primary.shape[1] // 4]
    gain = 0.10 / max(float(middle.mean()), 1e-3)  # automatic exposure: large patients get more
    photons = unit.photons * patient.dose * step_mm**2 * gain
    counted = generator.poisson((primary + unit.scatter * haze) * photons).astype(np.float64)
    counted = gaussian_filter(counted, unit.blur_mm / step_mm) if unit.blur_mm else counted
    counted += generator.normal(0, 2.5, counted.shape)
    return np.asarray(-np.log(np.maximum(counted, 1.0) / photons))


def develop(signal: Array, unit: Scanner, step_mm: float) -> Array:
    """The display processing of an X-ray unit.

    Args:
        signal: ``(rows, columns)`` logarithmic signal.
        unit: Its latitude and sharpness are used.
        step_mm: Pixel size.

    Returns:
        ``(rows, columns)`` 0 .. 1, dense tissue bright.
    """
    from scipy.ndimage import gaussian_filter, zoom

    body = signal > 0.9
    middle = float(np.median(signal[body])) if body.any() else float(signal.mean())
    small = np.where(body, signal, middle)[::2, ::2]
    wide = zoom(gaussian_filter(small, 26 / (2 * step_mm), mode="nearest"), 2, order=1)[
        : signal.shape[0], : signal.shape[1]
    ]
    wide = np.pad(wide, [(0, signal.shape[n] - wide.shape[n]) for n in (0, 1)], mode="edge")
    even = signal - unit.latitude * (wide - middle) * np.clip(signal / 0.8, 0, 1)
    even = even + unit.sharpen * (even - gaussian_filter(even, 3.0 / step_mm))
    inside = even[body] if body.any() else even
    low, high = np.percentile(inside, (4, 98.5))
    centre, width = low + 0.51 * (high - low), max((high - low) / 3.4, 1e-3)
    return np.asarray(1 / (1 + np.exp(-np.clip((even - centre) / width, -30, 30))))


def _length(interval: Interval) -> Array:
    return np.asarray(np.maximum(interval[1] - interval[0], 0))


def _lung_texture(patient: ChestPatient, lung_mm: Array, grid: Grid) -> Array:
    """Vessels too small to be drawn: a faint mottle where there is lung."""
    from scipy.ndimage import gaussian_filter

    generator = np.random.default_rng((patient.seed, 8))
    step = grid.spacing[0]
    field = np.zeros(grid.shape[:2])
    for scale_mm, strength in ((2.0, 0.55), (5.0, 0.5), (14.0, 0.5)):
        layer = gaussian_filter(generator.standard_normal(grid.shape[:2]), scale_mm / step)
        field += strength * layer / (layer.std() + 1e-9)
    return 1 + 0.011 * field * np.clip(lung_mm / 120, 0, 1)


_GLYPH_R = ("1111.", "1...1", "1...1", "1111.", "1.1..", "1..1.", "1...1")


def _marker(picture: NDArray[np.uint16]) -> None:
    """The lead letter at the patient's right shoulder, in place."""
    glyph = np.array([[c == "1" for c in row] for row in _GLYPH_R])
    factor = max(picture.shape[0] // 128, 1)
    large = np.kron(glyph, np.ones((factor, factor), dtype=bool))
    row, column = picture.shape[0] // 22, picture.shape[1] // 22
    window = picture[row : row + large.shape[0], column : column + large.shape[1]]
    window[large] = np.maximum(window[large], int(MAX_VALUE * 0.93))
