"""The stages of a run that learns label maps."""
