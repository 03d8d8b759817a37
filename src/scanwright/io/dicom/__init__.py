"""DICOM: headers, frames, geometry, pixels, series, segmentations and what is written."""
