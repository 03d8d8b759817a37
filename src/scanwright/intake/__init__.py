"""A folder of anything becomes a cohort; what is wrong with it is found, ranked and repaired; public cohorts are fetched."""

from __future__ import annotations

from scanwright.intake.layouts import LAYOUTS
from scanwright.intake.public_cohorts import PUBLIC_COHORTS, PublicCohort
from scanwright.intake.scan import scan

__all__ = ["LAYOUTS", "PUBLIC_COHORTS", "PublicCohort", "scan"]
