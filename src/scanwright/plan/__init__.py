"""Cohort to fingerprint to plan, and the splits. Everyone reads a plan; only this room makes one."""

from scanwright.plan.fingerprint import measure
from scanwright.plan.kinds import KINDS, kind_of
from scanwright.plan.machine import Device, Machine, machine
from scanwright.plan.planner import make_plan
from scanwright.plan.problems import check_plan, replan_problems
from scanwright.plan.recipes import RECIPES
from scanwright.plan.speed import Job, Speed
from scanwright.plan.splits import split
from scanwright.plan.timetable import Sizes, planned_s, reserve_s
from scanwright.plan.unlabelled import plan_unlabelled

__all__ = [
    "KINDS",
    "RECIPES",
    "Device",
    "Job",
    "Machine",
    "Sizes",
    "Speed",
    "check_plan",
    "kind_of",
    "machine",
    "make_plan",
    "measure",
    "plan_unlabelled",
    "planned_s",
    "replan_problems",
    "reserve_s",
    "split",
]
