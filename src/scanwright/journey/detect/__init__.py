"""The stages of a detection that differ from those of other tasks."""
