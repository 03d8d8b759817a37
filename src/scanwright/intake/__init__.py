"""A folder of anything becomes a cohort; what is wrong with it is found, ranked and repaired; public cohorts are fetched."""

from __future__ import annotations

from scanwright.intake.checks import CHECKS, KINDS, check, groups_of_duplicates, strata_of, survey
from scanwright.intake.fetch import fetch
from scanwright.intake.layouts import LAYOUTS
from scanwright.intake.public_cohorts import PUBLIC_COHORTS, PublicCohort
from scanwright.intake.repair import repair
from scanwright.intake.scan import scan

__all__ = [
    "CHECKS",
    "KINDS",
    "LAYOUTS",
    "PUBLIC_COHORTS",
    "PublicCohort",
    "check",
    "fetch",
    "groups_of_duplicates",
    "repair",
    "scan",
    "strata_of",
    "survey",
]
