"""What every DICOM object that we write says of where it comes from."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass

from scanwright.io.dicom.header import long_string

MANUFACTURER = "Scanwright"
"""Manufacturer of every object that we write."""


@dataclass(frozen=True)
class DicomNote:
    """What every written object says about where it comes from.

    Args:
        model: Name of the model.
        version: Version of the model.
        finding: Class that the heat map speaks for.
        notice: Text that every object carries.
        review: Review state, in words.
        series_number: Number of the new series.
        software: Version of Scanwright.
    """

    model: str
    version: str
    finding: str = ""
    notice: str = "Research use - not a medical device"
    review: str = "not reviewed"
    series_number: int = 9001
    software: str = ""

    @property
    def series_description(self) -> str:
        """Such as ``"AI lung-nodule 1.2.0 - not reviewed"``, at most 64 characters."""
        tail = f" {self.version} - {self.review}"
        return long_string(f"AI {self.model}", 64 - len(tail)) + tail

    @property
    def software_versions(self) -> str:
        """Version of the model, then of Scanwright, at most 64 characters."""
        return long_string(
            f"{self.version} (scanwright {self.software or importlib.metadata.version('scanwright')})", 64
        )

    @property
    def comment(self) -> str:
        """The notice, the model and the review state in one line."""
        return f"{self.notice}. AI {self.model} {self.version}, {self.review}."
