"""What a structure is called in SNOMED CT, and the colour that it is shown in.

One visible table. To add a structure, add a row: the test reads every code of it in the
dictionaries of the standard (PS3.16) that pydicom carries.
"""

from __future__ import annotations

import colorsys
import re
import zlib
from dataclasses import dataclass
from typing import NamedTuple


class Code(NamedTuple):
    """A coded concept.

    Args:
        value: Code value.
        scheme: Coding scheme, such as ``"SCT"``, ``"DCM"``, ``"99SCANWRIGHT"``.
        meaning: Words, at most 64 characters.
    """

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Structure:
    """How a structure is coded and shown.

    Args:
        name: Name that it was asked for by.
        category: Segmented property category (CID 7150).
        type: Segmented property type (CID 7151 and others).
        rgb: Recommended colour, 0 .. 255.
        sided: Whether there is one on the left and one on the right.
        side: ``"left"`` or ``"right"`` when the name says so, else ``""``.
        site: Where it is, for a finding of one organ; None if that is not known.
    """

    name: str
    category: Code
    type: Code
    rgb: tuple[int, int, int]
    sided: bool = False
    side: str = ""
    site: Code | None = None

    @property
    def is_finding(self) -> bool:
        """Whether it is a change (lesion, tumour, ...) and no part of a healthy body."""
        return self.category == ABNORMAL

    @property
    def laterality(self) -> Code | None:
        """Left or right as a code, None if the name does not say."""
        return SIDES.get(self.side)


ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
TISSUE = Code("85756007", "SCT", "Tissue")
SUBSTANCE = Code("91720002", "SCT", "Body Substance")
SIDES = {"left": Code("7771000", "SCT", "Left"), "right": Code("24028007", "SCT", "Right")}

OUTSIDE_PYDICOM: dict[str, str] = {}
"""SNOMED CT codes of the table that are not in pydicom's dictionaries, and where they were read. None so far."""

_ORGAN, _BRAIN, _FINDING = (221, 130, 101), (250, 250, 225), (255, 80, 40)
_BONE, _VEIN, _ARTERY = (241, 214, 145), (0, 151, 206), (216, 101, 79)
_SITES = {
    "brain": Code("12738006", "SCT", "Brain"),
    "breast": Code("76752008", "SCT", "Breast"),
    "colon": Code("71854001", "SCT", "Colon"),
    "kidney": Code("64033007", "SCT", "Kidney"),
    "liver": Code("10200004", "SCT", "Liver"),
    "lung": Code("39607008", "SCT", "Lung"),
    "pancreas": Code("15776009", "SCT", "Pancreas"),
    "prostate": Code("41216001", "SCT", "Prostate"),
    "skin": Code("39937001", "SCT", "Skin"),
    "thyroid": Code("69748006", "SCT", "Thyroid"),
}

# names (the first is shown, the others are synonyms), category, SCT code, meaning, colour, sided
_ANATOMY: tuple[tuple[str, str, str, tuple[int, int, int], bool], ...] = (
    # abdomen and pelvis
    ("liver", "10200004", "Liver", (221, 130, 101), False),
    ("spleen|lien", "78961009", "Spleen", (157, 108, 162), False),
    ("kidney|ren", "64033007", "Kidney", (185, 102, 83), True),
    ("pancreas", "15776009", "Pancreas", (249, 180, 111), False),
    ("gallbladder|gall bladder", "28231008", "Gallbladder", (139, 150, 98), False),
    ("stomach", "69695003", "Stomach", (216, 132, 105), False),
    ("duodenum", "38848004", "Duodenum", (255, 253, 229), False),
    ("small bowel|small intestine", "30315005", "Small intestine", (205, 167, 142), False),
    ("colon|large bowel|large intestine", "71854001", "Colon", (204, 168, 143), False),
    ("rectum", "34402009", "Rectum", (255, 224, 199), False),
    ("adrenal gland|adrenal|suprarenal gland", "23451007", "Adrenal gland", (249, 186, 150), True),
    ("urinary bladder|bladder", "89837001", "Bladder", (222, 154, 132), False),
    ("ureter", "87953007", "Ureter", (200, 140, 120), True),
    ("prostate", "41216001", "Prostate", (230, 158, 140), False),
    (
        "peripheral zone|prostate peripheral zone",
        "279706003",
        "Peripheral zone of the prostate",
        (230, 190, 120),
        False,
    ),
    (
        "transition zone|prostate transition zone",
        "399384005",
        "Transition zone of the prostate",
        (190, 120, 160),
        False,
    ),
    ("uterus", "35039007", "Uterus", (255, 181, 158), False),
    ("ovary", "15497006", "Ovary", (213, 141, 113), True),
    ("testis|testicle", "40689003", "Testis", (193, 123, 103), True),
    # chest
    ("lung", "39607008", "Lung", (197, 165, 145), True),
    ("lobe of lung|lung lobe", "31094006", "Lobe of lung", (202, 164, 140), True),
    ("upper lobe of lung|upper lobe|lung upper lobe", "45653009", "Upper lobe of lung", (224, 186, 162), True),
    (
        "middle lobe of right lung|middle lobe|lung middle lobe",
        "72481006",
        "Middle lobe of right lung",
        (202, 164, 140),
        False,
    ),
    ("lower lobe of lung|lower lobe|lung lower lobe", "90572001", "Lower lobe of lung", (172, 138, 115), True),
    ("trachea", "44567001", "Trachea", (182, 228, 255), False),
    ("esophagus|oesophagus", "32849002", "Esophagus", (211, 171, 143), False),
    ("thyroid gland|thyroid", "69748006", "Thyroid", (62, 162, 114), False),
    ("breast", "76752008", "Breast", (255, 210, 190), True),
    # heart and vessels
    ("heart", "80891009", "Heart", (206, 110, 84), False),
    (
        "left ventricle|left ventricle blood pool|left ventricular cavity|lv cavity|lv",
        "87878005",
        "Left ventricle",
        (152, 55, 13),
        False,
    ),
    (
        "right ventricle|right ventricle blood pool|right ventricular cavity|rv cavity|rv",
        "53085002",
        "Right ventricle",
        (181, 85, 57),
        False,
    ),
    (
        "left ventricular myocardium|left ventricle myocardium|myocardium|myo",
        "49848007",
        "Left Ventricle Myocardium",
        (192, 104, 88),
        False,
    ),
    ("left atrium|la cavity", "82471001", "Left atrium", (203, 108, 81), False),
    ("right atrium|ra cavity", "73829009", "Right atrium", (210, 115, 89), False),
    ("aorta", "15825003", "Aorta", (224, 97, 76), False),
    ("pulmonary artery", "81040000", "Pulmonary artery", (0, 122, 171), False),
    ("portal vein", "32764006", "Portal vein", (0, 151, 206), False),
    ("inferior vena cava|ivc", "64131007", "Inferior vena cava", (0, 112, 165), False),
    ("superior vena cava|svc", "48345005", "Superior vena cava", (0, 106, 155), False),
    ("artery", "51114001", "Artery", _ARTERY, False),
    ("blood vessel|vessel", "59820001", "Blood Vessel", (214, 70, 70), False),
    # brain
    ("brain", "12738006", "Brain", _BRAIN, False),
    ("hippocampus", "5366008", "Hippocampus", (208, 168, 90), True),
    ("amygdala", "4958002", "Amygdala", (98, 153, 112), True),
    ("thalamus", "42695009", "Thalamus", (58, 190, 176), True),
    ("putamen", "89278009", "Putamen", (225, 158, 120), True),
    ("caudate nucleus|caudate", "11000004", "Caudate Nucleus", (122, 140, 200), True),
    ("globus pallidus|pallidum", "14738005", "Globus Pallidus", (120, 110, 170), True),
    ("cerebellum", "113305005", "Cerebellum", (194, 195, 164), False),
    ("brain stem|brainstem", "119238007", "Brain Stem", (150, 160, 130), False),
    ("brain ventricle|ventricle|cerebral ventricle", "35764002", "Brain ventricle", (88, 106, 215), False),
    ("lateral ventricle", "66720007", "Lateral Ventricle", (88, 106, 215), True),
    ("third ventricle", "49841001", "Third ventricle", (88, 126, 215), False),
    ("fourth ventricle", "35918002", "Fourth Ventricle", (88, 146, 215), False),
    ("spinal cord", "2748008", "Spinal cord", (244, 214, 49), False),
    # eye
    ("eye|eyeball", "81745001", "Eye", (194, 200, 220), True),
    ("retina", "5665001", "Retina", (255, 190, 130), True),
    ("optic disc|optic disk|optic nerve head", "81016008", "Optic nerve head", (250, 220, 110), True),
    ("retinal vessel|retinal blood vessel", "59820001", "Blood Vessel", (214, 60, 60), True),
    ("optic nerve", "18234004", "Optic nerve", (244, 214, 120), True),
    ("lens", "78076003", "Lens", (180, 220, 240), True),
    # bones and what moves them
    ("bone", "272673000", "Bone", _BONE, False),
    ("skull", "89546000", "Skull", _BONE, False),
    ("mandible", "91609006", "Mandible", (222, 198, 101), False),
    ("tooth|teeth", "38199008", "Tooth", (255, 250, 220), False),
    ("vertebra|vertebral body", "51282000", "Vertebra", (226, 202, 134), False),
    ("sacrum", "54735007", "Sacrum", (212, 188, 102), False),
    ("rib", "113197003", "Rib", (253, 232, 158), True),
    ("sternum", "56873002", "Sternum", (244, 217, 154), False),
    ("clavicle", "51299004", "Clavicle", (205, 179, 108), True),
    ("scapula", "79601000", "Scapula", (212, 188, 102), True),
    ("humerus", "85050009", "Humerus", (205, 179, 108), True),
    ("femur", "71341001", "Femur", (255, 238, 170), True),
    ("parotid gland|parotid", "45289007", "Parotid gland", (60, 143, 83), True),
    ("submandibular gland", "54019009", "Submandibular gland", (50, 150, 110), True),
    ("lymph node", "59441001", "Lymph Node", (68, 172, 100), False),
    # cells
    ("nucleus|cell nucleus", "84640000", "Nucleus", (90, 120, 230), False),
    ("cell", "4421005", "Cell", (120, 200, 230), False),
)

_TISSUES: tuple[tuple[str, str, str, tuple[int, int, int]], ...] = (
    ("white matter", "389080008", "White Matter", (250, 250, 225)),
    ("grey matter|gray matter", "389081007", "Gray Matter", (200, 200, 215)),
    ("muscle", "71616004", "Muscle", (192, 104, 88)),
    ("fat|adipose tissue", "55603005", "Fat", (230, 220, 70)),
    ("skin", "39937001", "Skin", (177, 122, 101)),
    ("cartilage", "309312004", "Cartilage", (111, 184, 210)),
    ("soft tissue", "87784001", "Soft tissue", (220, 160, 140)),
)

_FINDINGS: tuple[tuple[str, str, str, tuple[int, int, int], str, bool], ...] = (
    ("lesion|finding", "52988006", "Lesion", (255, 90, 50), "", False),
    ("mass", "4147007", "Mass", (144, 238, 144), "", False),
    ("nodule", "27925004", "Nodule", (255, 120, 0), "", False),
    ("lung nodule|pulmonary nodule", "27925004", "Nodule", (255, 120, 0), "lung", True),
    ("thyroid nodule", "237495005", "Thyroid Nodule", (255, 150, 0), "thyroid", True),
    ("neoplasm|tumour|tumor|cancer", "108369006", "Neoplasm", (255, 60, 60), "", False),
    ("primary tumour|primary tumor|neoplasm primary|gtv|gtvp", "372087000", "Neoplasm, Primary", (230, 60, 60), "", False),
    ("metastasis|metastases", "128462008", "Metastasis", (200, 30, 90), "", False),
    ("brain tumour|brain tumor|whole tumour|whole tumor", "108369006", "Neoplasm", (240, 70, 70), "brain", False),
    ("tumour core|tumor core", "108369006", "Neoplasm", (255, 60, 60), "brain", False),
    ("enhancing tumour|enhancing tumor|contrast enhancing tumour|contrast enhancing tumor", "108369006", "Neoplasm", (255, 200, 60), "brain", False),
    ("necrosis|necrotic core|necrotic tumour core|necrotic tumor core", "6574001", "Necrosis", (110, 80, 160), "", False),
    ("edema|oedema|peritumoral edema|peritumoral oedema|peritumoural oedema", "79654002", "Edema", (140, 224, 228), "", False),
    ("liver tumour|liver tumor|liver lesion", "52988006", "Lesion", (255, 70, 60), "liver", False),
    ("kidney tumour|kidney tumor|renal tumour|renal tumor", "108369006", "Neoplasm", (255, 70, 90), "kidney", True),
    ("pancreas tumour|pancreas tumor|pancreatic tumour|pancreatic tumor", "108369006", "Neoplasm", (255, 90, 60), "pancreas", False),
    ("prostate lesion|prostate tumour|prostate tumor", "52988006", "Lesion", (255, 100, 60), "prostate", False),
    ("breast lesion|breast tumour|breast tumor|breast mass", "52988006", "Lesion", (255, 90, 120), "breast", True),
    ("brain lesion", "52988006", "Lesion", (255, 110, 70), "brain", False),
    ("skin lesion", "95324001", "Skin lesion", (200, 80, 60), "skin", False),
    ("colon polyp|colonic polyp|polyp of colon", "68496003", "Polyp of colon", (255, 130, 90), "colon", False),
    ("cyst", "367643001", "Cyst", (205, 205, 100), "", False),
    ("kidney cyst|renal cyst", "367643001", "Cyst", (205, 205, 100), "kidney", True),
    ("hemorrhage|haemorrhage|bleeding", "50960005", "Hemorrhage", (170, 10, 30), "", False),
    ("aneurysm", "85659009", "Aneurysm", (220, 60, 120), "", False),
    ("thrombus", "396339007", "Thrombus", (120, 40, 60), "", False),
    ("effusion", "41699000", "Effusion", (80, 160, 220), "", False),
    ("pleural effusion", "60046008", "Pleural effusion", (80, 160, 220), "lung", True),
    ("pneumothorax", "36118008", "Pneumothorax", (60, 60, 200), "lung", True),
    ("ulcer", "56208002", "Ulcer", (200, 90, 40), "", False),
)  # fmt: skip

_PARTS: dict[str, str] = {"anterior": "Anterior", "posterior": "Posterior"}
_CHANGE = re.compile(
    r"lesion|tumou?r|cancer|carcinoma|metasta|nodul|polyp|mass\b|cyst\b|infarct|plaque|abnormal|defect"
)


def _words(name: str) -> str:
    """Lower case, one blank between words, no number at the end."""
    plain = re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).lower().strip()
    return re.sub(r"\s+\d+$", "", plain)


def _table() -> dict[str, Structure]:
    made: dict[str, Structure] = {}
    for names, value, meaning, rgb, sided in _ANATOMY:
        for name in names.split("|"):
            made[name] = Structure(name, ANATOMY, Code(value, "SCT", meaning), rgb, sided)
    for names, value, meaning, rgb in _TISSUES:
        for name in names.split("|"):
            made[name] = Structure(name, TISSUE, Code(value, "SCT", meaning), rgb)
    for names, value, meaning, rgb, site, sided in _FINDINGS:
        for name in names.split("|"):
            made[name] = Structure(
                name, ABNORMAL, Code(value, "SCT", meaning), rgb, sided, site=_SITES[site] if site else None
            )
    return made


STRUCTURES: dict[str, Structure] = _table()
"""Name or synonym, in lower case, to how it is coded."""


def structure(name: str) -> Structure:
    """How a structure is coded and shown.

    Names are matched without regard to case, plural, ``_`` or ``-``, a number at the end, and
    a side (``"Left_Kidneys"`` is the left kidney). An unknown name gets a local code with the
    name as its meaning: as an abnormal structure when it says so (lesion, tumour ...), else as tissue.

    Args:
        name: Name of a structure.

    Returns:
        Codes, colour and side; ``name`` is kept as it was given.

    Source:
        PS3.16 CID 7150 (categories), CID 7151 and anatomic CIDs (types), CID 244 (laterality).

    Example:
        >>> found = structure("Left_Kidneys")
        >>> found.type.meaning, found.side, structure("blob").type.scheme
        ('Kidney', 'left', '99SCANWRIGHT')
    """
    words = _words(name)
    whole = _known(words)
    if whole is not None:
        return Structure(name, whole.category, whole.type, whole.rgb, whole.sided, "", whole.site)
    sides = [side for side in SIDES if re.search(rf"\b{side}\b", words)]
    bare = re.sub(r"\s+", " ", re.sub(r"\b(left|right)\b", " ", words)).strip()
    found = _known(bare)
    side = sides[0] if len(sides) == 1 else ""
    if found is not None:
        return Structure(name, found.category, found.type, found.rgb, True, side, found.site)
    part = next((p for p in _PARTS if re.search(rf"\b{p}\b", bare)), None)
    base = _known(re.sub(r"\s+", " ", re.sub(rf"\b{part}\b", " ", bare)).strip()) if part else None
    if base is not None:  # a part of a known structure, which has no code of its own here
        shade = tuple(min(255, max(0, v + (25 if part == "anterior" else -25))) for v in base.rgb)
        return Structure(name, base.category, _local(name), shade, base.sided, side, base.type)  # type: ignore[arg-type]
    category = ABNORMAL if _CHANGE.search(words) else TISSUE
    return Structure(name, category, _local(name), _own_colour(words), bool(side), side)


def _known(words: str) -> Structure | None:
    if words in STRUCTURES:
        return STRUCTURES[words]
    for end, other in (("ies", "y"), ("es", ""), ("es", "is"), ("s", ""), ("ae", "a")):
        if words.endswith(end) and words[: -len(end)] + other in STRUCTURES:
            return STRUCTURES[words[: -len(end)] + other]
    return None


def _local(name: str) -> Code:
    value = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "structure"
    if len(value) > 16:  # SH: two long names that start alike must not share a code
        value = f"{value[:11]}-{zlib.crc32(name.encode()) & 0xFFFF:04x}"
    return Code(value, "99SCANWRIGHT", " ".join(name.replace("\\", "/").replace("_", " ").split())[:64] or "Structure")


def _own_colour(words: str) -> tuple[int, int, int]:
    """A bright colour that a name always gets."""
    red, green, blue = colorsys.hsv_to_rgb((zlib.crc32(words.encode()) % 360) / 360, 0.65, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)
