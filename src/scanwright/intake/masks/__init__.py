"""Masks of a cohort: which belongs to which image, and what their values mean."""
