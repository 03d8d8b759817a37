"""Where a model looks, and whether its heat maps can be believed."""

from scanwright.explain.examine import Examination, best_explainer, examine
from scanwright.inference.saliency import EXPLAINERS, cam, occlusion

__all__ = ["EXPLAINERS", "Examination", "best_explainer", "cam", "examine", "occlusion"]
