"""Calibrated probabilities and an operating point, fitted on validation. numpy and scipy only."""

from scanwright.trust.operating import RULES
from scanwright.trust.trust import Trust, fit_trust

__all__ = ["RULES", "Trust", "fit_trust"]
