"""Header parts that every DICOM object we write has in common."""

from __future__ import annotations

import copy
from typing import Any

PATIENT_AND_STUDY = (
    # Patient module (C.7.1.1)
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "OtherPatientIDsSequence",
    "EthnicGroup",
    "PatientSpeciesDescription",
    "PatientBreedDescription",
    "ResponsiblePerson",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    # General Study module (C.7.2.1)
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "StudyDescription",
    "PhysiciansOfRecord",
    "ProcedureCodeSequence",
    # Patient Study module (C.7.2.2)
    "AdmittingDiagnosesDescription",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientSexNeutered",
)
"""Attributes that an object takes over from its source unchanged."""

_NEVER_ABSENT = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
"""Type 2: present, empty when unknown."""

BODY_PARTS: dict[str, tuple[str, str]] = {
    "ABDOMEN": ("818981001", "Abdomen"),
    "BRAIN": ("12738006", "Brain"),
    "BREAST": ("76752008", "Breast"),
    "CHEST": ("816094009", "Chest"),
    "CSPINE": ("122494005", "Cervical spine"),
    "EXTREMITY": ("66019005", "Extremity"),
    "EYE": ("81745001", "Eye"),
    "FOOT": ("56459004", "Foot"),
    "HAND": ("85562004", "Hand"),
    "HEAD": ("69536005", "Head"),
    "HEART": ("80891009", "Heart"),
    "HIP": ("29836001", "Hip"),
    "KIDNEY": ("64033007", "Kidney"),
    "KNEE": ("72696002", "Knee"),
    "LIVER": ("10200004", "Liver"),
    "LUNG": ("39607008", "Lung"),
    "NECK": ("45048000", "Neck"),
    "PELVIS": ("816092008", "Pelvis"),
    "PROSTATE": ("41216001", "Prostate"),
    "SHOULDER": ("16982005", "Shoulder"),
    "SKULL": ("89546000", "Skull"),
    "SPINE": ("421060004", "Spine"),
    "WHOLEBODY": ("38266002", "Entire body"),
}
"""BodyPartExamined to SNOMED CT code and meaning (PS3.16 Annex L)."""

UNPAIRED = {
    *("ABDOMEN", "BRAIN", "CHEST", "CSPINE", "HEAD", "HEART", "LIVER", "NECK", "PELVIS", "PROSTATE", "SKULL", "SPINE"),
    *(
        "WHOLEBODY",
        "LSPINE",
        "TSPINE",
        "SSPINE",
        "COCCYX",
        "UTERUS",
        "BLADDER",
        "COLON",
        "PANCREAS",
        "SPLEEN",
        "STOMACH",
    ),
}
"""Values of BodyPartExamined that have no left and right."""

_SOME_BODY_PART = ("38866009", "Body part structure")


def copy_patient_and_study(source: Any, target: Any) -> None:
    """Take over patient and study; what must not be absent is present and empty.

    Args:
        source: Dataset of an image.
        target: Dataset to fill; its text will be written as UTF-8.
    """
    for keyword in PATIENT_AND_STUDY:
        element = source.get_item(keyword) if keyword in source else None
        if element is None:
            if keyword in _NEVER_ABSENT:
                setattr(target, keyword, None)
            continue
        value = source[keyword].value  # decoded with the source's own character set
        if source[keyword].VR == "PN":
            value = [str(v) for v in value] if source[keyword].VM > 1 else str(value or "")
        setattr(target, keyword, copy.deepcopy(value))


def stand_in(source: Any) -> Any | None:
    """A copy of a source's header with the person taken out, for libraries that log what they see.

    Args:
        source: Dataset of an image.

    Returns:
        The copy with empty patient attributes and every type 2 attribute present; None where
        the object is of a class that the standard does not know.
    """
    from pydicom.datadict import tag_for_keyword
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

    if not source.get("SOPInstanceUID") or UID(source.get("SOPClassUID") or "0").type != "SOP Class":
        return None
    made = Dataset()
    person = {tag_for_keyword(keyword) for keyword in PATIENT_AND_STUDY if keyword != "StudyInstanceUID"}
    for tag in source.keys() - person:
        made[tag] = source.get_item(tag)
    for keyword in _NEVER_ABSENT:
        setattr(made, keyword, "")
    return made


def anatomy(source: Any) -> list[Any]:
    """Frame Anatomy (C.7.6.16.2.8): the source's own region, or that of BodyPartExamined; laterality U.

    Args:
        source: Dataset of an image.

    Returns:
        The items of FrameAnatomySequence.
    """
    from pydicom.dataset import Dataset

    item = Dataset()
    own = source.get("AnatomicRegionSequence")
    if own:
        item.AnatomicRegionSequence = [code_item(own[0].CodeValue, own[0].CodingSchemeDesignator, own[0].CodeMeaning)]
    else:
        part = str(source.get("BodyPartExamined") or "").upper().replace(" ", "")
        value, meaning = BODY_PARTS.get(part, _SOME_BODY_PART)
        item.AnatomicRegionSequence = [code_item(value, "SCT", meaning)]
    item.FrameLaterality = "U"
    return [item]


def code_item(value: str, scheme: str, meaning: str) -> Any:
    """One item of a code sequence."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def long_string(text: str, most: int) -> str:
    """Text as DICOM holds it: one line, no backslash, cut at a number of characters."""
    words = " ".join(text.replace("\\", "/").split())
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"
