"""Results in, one self-contained page and a model card out."""

from scanwright.report.card import model_card
from scanwright.report.contents import ReportContents
from scanwright.report.page import write_report

__all__ = ["ReportContents", "model_card", "write_report"]
