"""The model card of a network that was made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scanwright.core import Evaluation
from scanwright.evaluation import metrics_of
from scanwright.report.card import figure, plain, table
from scanwright.report.phrases import RESEARCH_USE
from scanwright.report.views import WHO


def adopted_card(
    title: str,
    facts: Mapping[str, str],
    notes: Sequence[str],
    evaluations: Sequence[Evaluation],
    warnings: Sequence[str],
) -> str:
    """Write the card of an adopted network: what is known, and what is not.

    Args:
        title: Name of the model.
        facts: Where it comes from, its licence, how images are prepared.
        notes: What was done to its ends.
        evaluations: Of the test part of a cohort, empty if it was judged on none.
        warnings: What a reader must know before trusting it.

    Returns:
        Markdown.

    Source:
        Mitchell et al., Model Cards for Model Reporting, 2019.
    """
    blocks = [f"# Model card: {plain(title)}", f"**{RESEARCH_USE}**"]
    blocks.append("This network was trained elsewhere and adopted. Scanwright has not seen how.")
    blocks += ["## Where it comes from", "\n".join(f"- {plain(k)}: {plain(v)}" for k, v in facts.items())]
    blocks += ["## What was done to it", "\n".join(f"- {plain(text)}" for text in notes)]
    blocks.append("## Figures")
    judged = [e for e in evaluations if e.part == "test"]
    if judged:
        rows = [[m.title, *(figure(e, name) for e in judged)] for name, m in metrics_of(judged[0].task).items()]
        blocks.append(
            f"{judged[0].n_cases} cases of {judged[0].n_patients} patients; 95 % intervals by patient bootstrap."
        )
        blocks.append(table(["", *(WHO[e.who] for e in judged)], rows))
    else:
        blocks.append("None: it was judged on no labelled images here.")
    blocks += ["## Limits", "\n".join(f"- {plain(text)}" for text in warnings)]
    return "\n\n".join(blocks) + "\n"
