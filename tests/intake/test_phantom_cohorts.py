"""The phantom's folders are read as what they are: volumes by folder, pictures by file."""

from __future__ import annotations

from pathlib import Path

from scanwright.intake import scan
from scanwright.io import read_volume
from scanwright.phantom import write_phantom


def test_ct_series_named_by_their_folder_are_volumes(tmp_path: Path) -> None:
    folder = write_phantom("chest-ct", tmp_path / "ct", patients=6, seed=0, size=64)
    cohort = scan(folder)
    assert cohort.dimension == 3
    assert len({c.patient for c in cohort.cases}) == 6
    assert not any("::" in c.id or "2.25" in c.id for c in cohort.cases)
    whole = [c for c in cohort.cases if not c.id.startswith("IM9002")]
    volume = read_volume(whole[0].source, root=cohort.root)
    assert volume.unit == "HU"
    assert volume.grid.shape[2] > 10


def test_a_stray_copy_of_a_slice_does_not_break_up_its_series(tmp_path: Path) -> None:
    folder = write_phantom("chest-ct", tmp_path / "ct", patients=6, seed=0, size=64, faults=True)
    truncated = next(folder.rglob("IM9002.dcm"))
    patient = truncated.relative_to(folder).parts[1]
    own = [c for c in scan(folder).cases if f"/{patient}/" in c.source]
    assert len(own) == 2, own  # the volume, and the damaged copy that `check` then finds
