"""The model card: what a person must know before using a model file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scanwright.core import Evaluation
from scanwright.evaluation import metrics_of
from scanwright.report.contents import ReportContents
from scanwright.report.detect_words import DETECT_FIGURES, say_figure
from scanwright.report.page import counts_table
from scanwright.report.phrases import PART_WORDS, RESEARCH_USE, bounds, number
from scanwright.report.segment_figures import SEGMENT_FIGURES, column_names, say, title_of
from scanwright.report.views import WHO
from scanwright.report.words import limits, verdict

_LICENCE = re.compile(r"licen[cs]e", re.IGNORECASE)


def model_card(contents: ReportContents) -> str:
    """Write the model card.

    Args:
        contents: What the report shows.

    Returns:
        Markdown: intended use, data and population, figures with intervals, subgroups,
        limits, licences of every ingredient, provenance.

    Source:
        Mitchell et al., Model Cards for Model Reporting, 2019.
    """
    blocks = [
        f"# Model card: {plain(contents.title)}",
        f"**{RESEARCH_USE}**",
        plain(verdict(contents)),
        *_use(contents),
        *_data(contents),
        *_figures(contents),
        *_subgroups(contents),
        "## Limits",
        "\n".join(f"- {plain(text)}" for text in limits(contents)),
        *_licences(contents),
        *_provenance(contents),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def plain(text: object) -> str:
    """Text that cannot turn into markup: Markdown's and HTML's signs are escaped."""
    return re.sub(r"([\\*_\[\]<>|#])", r"\\\1", " ".join(str(text).split()))


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _use(contents: ReportContents) -> Iterator[str]:
    cohort = contents.cohort
    before = {"regress": "the number ", "segment": "the outlines of ", "detect": "boxes around "}.get(cohort.task, "")
    answer = before + plain(", ".join(cohort.classes))
    yield "## Intended use"
    yield f"Research on {plain(cohort.modality or 'images of unknown modality')} {cohort.dimension}-D images like those below. Task: {cohort.task}; answers: {answer}."
    yield "Not for diagnosis, treatment or triage, not for other modalities, body parts, views or age groups than those it was trained on, and not without a person who looks at the image."
    if cohort.task == "segment":
        yield from _structures(contents)


def _structures(contents: ReportContents) -> Iterator[str]:
    """What is outlined, with its number in the answers, its values in the masks and its code."""
    cohort = contents.cohort
    kind = cohort.mask_code.kind if cohort.mask_code is not None else "labels"
    values = cohort.mask_code.values if cohort.mask_code is not None else ()
    said = (
        ["every value but 0, one for each object"] if kind == "instances" else [", ".join(map(str, v)) for v in values]
    )
    rows = [
        [str(k + 1), plain(name), said[k] if k < len(said) else "–", plain(contents.codes.get(name, "none"))]
        for k, name in enumerate(cohort.classes)
    ]
    yield "Structures:"
    yield table(["number in the answer", "structure", "values in the masks", "code"], rows)
    if cohort.mask_code is not None and cohort.mask_code.are_regions:
        yield "Structures may overlap; each is answered on its own."


def _data(contents: ReportContents) -> Iterator[str]:
    cohort = contents.cohort
    counts = counts_table(cohort)
    yield "## Data and population"
    split = "came with the data" if cohort.parts_given else "were drawn by Scanwright, patients kept together"
    yield f"Cohort {plain(cohort.name)}: {len(cohort)} cases, layout {plain(cohort.layout)}. The parts {split}."
    rows = [[plain(row["name"]), *(str(c["n"]) for c in row["cells"])] for row in counts["rows"]]
    rows.append(["all cases", *map(str, counts["cases"])])
    if counts["patients"]:
        rows.append(["patients", *map(str, counts["patients"])])
    yield table(["", *counts["parts"]], rows)
    facts = [f"- {plain(k)}: {plain(v)}" for k, v in cohort.facts.items() if not _LICENCE.search(k)]
    if facts:
        yield "\n".join(facts)
    if contents.findings:
        yield "Found by the check:"
        yield "\n".join(f"- {f.severity}: {plain(f.text)}" for f in contents.findings)


def _figures(contents: ReportContents) -> Iterator[str]:
    yield "## Figures"
    judged = contents.judged()
    if judged is None:
        yield "No labelled cases: there are no figures."
        return
    patients = "" if judged.n_patients == judged.n_cases else f" of {judged.n_patients} patients"
    known = [contents.judged(who, judged.part) for who in ("model", "linear", "majority", "floor")]
    beside = [e for e in known if e is not None]
    yield f"{PART_WORDS[judged.part].capitalize()} part: {judged.n_cases} cases{patients}; 95 % intervals by patient bootstrap."
    tables = _TABLES.get(judged.task, _answer_tables)
    yield from tables(contents, judged, beside)
    if judged.warnings:
        yield "\n".join(f"- {plain(text)}" for text in judged.warnings)


def _outline_tables(contents: ReportContents, judged: Evaluation, beside: list[Evaluation]) -> Iterator[str]:
    measured = [n for n in SEGMENT_FIGURES if any(n in e.metrics for e in beside)]
    rows = [
        [plain(title_of(contents, n)), *(say(n, e.metrics[n]) if n in e.metrics else "–" for e in beside), SEGMENT_FIGURES[n].meaning]
        for n in measured
    ]  # fmt: skip
    yield table(["", *(WHO[e.who] for e in beside), "meaning"], rows)
    names = column_names(contents, judged)
    if names and len(judged.classes) > 1:
        rows = [
            [plain(c), *(say(n, row[n]) if n in row else "–" for n in names)] for c, row in judged.per_class.items()
        ]
        yield table(["structure", *(plain(title_of(contents, n)) for n in names)], rows)


def _box_tables(_: ReportContents, judged: Evaluation, beside: list[Evaluation]) -> Iterator[str]:
    rows = [
        [facts.title, *(say_figure(n, e.metrics[n]) if n in e.metrics else "–" for e in beside), facts.meaning]
        for n, facts in DETECT_FIGURES.items()
    ]
    yield table(["", *(WHO[e.who] for e in beside), "meaning"], rows)
    if len(judged.classes) > 1:
        names = ("ap50", "ap75", "cpm", "sensitivity", "precision")
        rows = [
            [plain(c), *(say_figure(n, row[n]) if n in row else "–" for n in names)]
            for c, row in judged.per_class.items()
        ]
        yield table(["class", *(DETECT_FIGURES[n].title for n in names)], rows)


def _answer_tables(_: ReportContents, judged: Evaluation, beside: list[Evaluation]) -> Iterator[str]:
    rows = [[m.title, *(figure(e, name) for e in beside)] for name, m in metrics_of(judged.task).items()]
    yield table(["", *(WHO[e.who] for e in beside)], rows)
    if judged.per_class:
        names = ("auroc", "recall", "specificity", "precision")
        titles = [metrics_of(judged.task)[n].title for n in names]
        rows = [[plain(c), *(_one(row[n].value, bounds(row[n])) for n in names)] for c, row in judged.per_class.items()]
        yield table(["class", *titles], rows)


_TABLES = {"segment": _outline_tables, "detect": _box_tables}


def figure(judged: Evaluation, name: str) -> str:
    found = judged.metrics.get(name)
    return "–" if found is None else _one(found.value, bounds(found))


def _one(value: float, interval: str) -> str:
    return number(value) + (f" ({interval})" if interval else "")


def _subgroups(contents: ReportContents) -> Iterator[str]:
    columns = sorted({name for c in contents.cohort.cases for name in c.covariates})
    yield "## Subgroups"
    if columns:
        yield f"The table has {plain(', '.join(columns))}; the figures above are not broken down by them."
    else:
        yield "Age, sex, scanner and site are not in the data: nothing is known about subgroups."


def _licences(contents: ReportContents) -> Iterator[str]:
    found = {**contents.cohort.facts, **contents.provenance}
    rows = [f"- {plain(k)}: {plain(v)}" for k, v in found.items() if _LICENCE.search(k)]
    yield "## Licences"
    if not any(_LICENCE.search(k) for k in contents.cohort.facts):
        rows.insert(0, "- images: not stated by the source. Settle it before you share the model.")
    if not any("weight" in k.lower() for k in found):
        rows.append("- starting weights: none from elsewhere unless named here or in the plan")
    rows.append("- software: Scanwright, Apache-2.0")
    yield "\n".join(rows)


def _provenance(contents: ReportContents) -> Iterator[str]:
    rows = [f"- {plain(k)}: {plain(v)}" for k, v in contents.provenance.items() if not _LICENCE.search(k)]
    if contents.command:
        fence = "~~~"
        rows.append(f"\n{fence}\n{contents.command.replace(fence, '')}\n{fence}")
    if rows:
        yield "## Provenance"
        yield "\n".join(rows)
