"""Codes of structures against the dictionaries of the standard that pydicom carries."""

from __future__ import annotations

import pytest
from pydicom.sr._concepts_dict import concepts

from scanwright.io.dicom.structures import OUTSIDE_PYDICOM, SIDES, STRUCTURES, structure

MEANINGS: dict[str, set[str]] = {}
for _items in concepts["SCT"].values():
    for _value, _about in _items.items():
        MEANINGS.setdefault(_value, set()).add(_about[0].lower())


@pytest.mark.parametrize("name", sorted(STRUCTURES))
def test_every_code_is_in_the_standard(name: str) -> None:
    row = STRUCTURES[name]
    for code in (row.category, row.type, *([row.site] if row.site else []), *SIDES.values()):
        assert code.scheme == "SCT"
        assert code.value in OUTSIDE_PYDICOM or code.meaning.lower() in MEANINGS[code.value]


def test_the_table_is_as_large_as_it_should_be() -> None:
    assert len({row.type.value for row in STRUCTURES.values()}) >= 60


@pytest.mark.parametrize(
    ("name", "value", "side", "finding"),
    [
        ("Liver", "10200004", "", False),
        ("kidney_left", "64033007", "left", False),
        ("Right Kidneys", "64033007", "right", False),
        ("left ventricle", "87878005", "", False),
        ("LV", "87878005", "", False),
        ("lung_upper_lobe_left", "45653009", "left", False),
        ("vertebrae", "51282000", "", False),
        ("ovaries", "15497006", "", False),
        ("Metastases", "128462008", "", True),
        ("lung nodule 12", "27925004", "", True),
        ("oedema", "79654002", "", True),
        ("optic disc", "81016008", "", False),
        ("hippocampus", "5366008", "", False),
        ("spleen", "78961009", "", False),
    ],
)
def test_names_find_their_codes(name: str, value: str, side: str, finding: bool) -> None:
    found = structure(name)
    assert (found.type.value, found.side, found.is_finding) == (value, side, finding)
    assert found.name == name


def test_unknown_names_get_local_codes() -> None:
    strange, change = structure("Membrane"), structure("weird_lesion_of_mine")
    assert strange.type == ("Membrane", "99SCANWRIGHT", "Membrane")
    assert strange.category.meaning == "Tissue"
    assert change.is_finding
    assert change.type.meaning == "weird lesion of mine"
    assert len(change.type.value) <= 16
    assert (
        structure("a very long name of something 1").type.value != structure("a very long name of another").type.value
    )
    front, back = structure("anterior hippocampus"), structure("posterior hippocampus")
    assert front.site is not None
    assert front.site.value == "5366008"
    assert front.type.scheme == "99SCANWRIGHT"
    assert front.rgb != back.rgb
