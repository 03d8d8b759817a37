"""Weights of elsewhere, recognised by their names and shapes and turned into those of our own networks."""

from scanwright.models.bases.recognise import FAMILIES, Base, recognise
from scanwright.models.bases.start import begin_from, enlargement

__all__ = ["FAMILIES", "Base", "begin_from", "enlargement", "recognise"]
