"""A folder of ``train_images.npy``, ``train_labels.npy``, ``valid_images.npy`` ..."""

from __future__ import annotations

from scanwright.core import Part
from scanwright.intake.layouts.arrays import Pair, reading_of, role
from scanwright.intake.layouts.mask_arrays import MaskPair, are_masks, masked_reading
from scanwright.intake.layouts.reading import Fit, Layout, Reading, Wishes
from scanwright.intake.place import Place, stem_of, suffix_of
from scanwright.io import open_array
from scanwright.io.arrays import array_keys


def fits(place: Place, wishes: Wishes) -> Fit | None:
    """An npy file of images lies beside one of labels."""
    found = _roles(place)
    pairs = [p for p in found.values() if "images" in p and ("labels" in p or "masks" in p)]
    if not pairs or place.images:
        return None
    first = pairs[0]
    return Fit(f"{first['images']} lies beside {first.get('labels', first.get('masks'))}")


def read(place: Place, wishes: Wishes) -> Reading:
    """Pair the files by their names."""
    found = _roles(place)
    masked = _masked(place, found, wishes)
    if masked:
        return masked_reading(place.path, place, masked, wishes)
    pairs = []
    for part in ("train", "val", "test", None):
        names = found.get(part, {})
        if "images" in names:
            labels, people = (
                open_array(names[w], root=place.root) if w in names else None for w in ("labels", "patients")
            )
            shape = array_keys(place.root / names["images"])[""][0]
            pairs.append(Pair(part, names["images"], shape, labels, people))
    return reading_of(place.path, place.root, pairs, place.root.name)


def _masked(place: Place, found: dict[Part | None, dict[str, str]], wishes: Wishes) -> list[MaskPair]:
    """Pairs whose labels are masks; masks beside classes only where the task segment was asked for."""
    pairs = []
    for part in ("train", "val", "test", None):
        names = found.get(part, {})
        masks = names.get("masks") if wishes.task in ("segment", "detect") or "labels" not in names else None
        masks = masks or names.get("labels")
        if "images" not in names or masks is None:
            continue
        shape, mask_shape = (array_keys(place.root / file)[""][0] for file in (names["images"], masks))
        if are_masks(shape, mask_shape):
            people = open_array(names["patients"], root=place.root) if "patients" in names else None
            pairs.append(MaskPair(part, names["images"], shape, masks, mask_shape, people))
    return pairs


def _roles(place: Place) -> dict[Part | None, dict[str, str]]:
    """Part to what each file holds; the part may stand in the name or in the folder's name."""
    found: dict[Part | None, dict[str, str]] = {}
    folder = place.root
    if place.is_file:
        near = [p.name for p in sorted(folder.glob("*.npy"))] if role(stem_of(place.path.name)) else []
    else:
        near = [f for f in place.files if f.count("/") <= 1]
    for file in near:
        if suffix_of(file) != ".npy":
            continue
        said = role(stem_of(file)) or ((r := role(file.replace("/", "_").removesuffix(".npy"))) and r)
        if said:
            part = said[1] or (role(file.split("/")[0] + "_images") or ("", None))[1] if "/" in file else said[1]
            found.setdefault(part, {}).setdefault(said[0], file)
    return found


LAYOUT = Layout("a folder of npy arrays", fits, read)
