"""The page of a generator: synthetic images beside real ones, how good they are, and what they are not for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scanwright.evaluation.synthetic import SYNTHETIC
from scanwright.io.atomic import atomic_write
from scanwright.report.contents import Picture
from scanwright.report.pictures import embed
from scanwright.report.views import learning_figures

NOT_FOR = (
    "They are not patients. No finding, measurement or frequency in them says anything about people.",
    "They are not for diagnosis, and not for judging a model: validation and test parts hold real images only. "
    "`scanwright check` names synthetic images that lie there.",
    "They are not anonymous by themselves. A generator may give back what it learnt; the figure of near-copies says how "
    "much of that was seen, and its absence proves nothing.",
    "They do not add knowledge. A classifier trained on them cannot know more of the disease than the real images that "
    "the generator learnt from.",
)
"""What synthetic images must not be used for."""

GOOD_FOR = (
    "teaching what images of a class look like, with the mark that they are synthetic",
    "trying out software, interfaces and workflows without patients",
    "filling up a rare class in the train part, where validation on real images shows that it helps",
)
"""What they may be used for."""


@dataclass(frozen=True, eq=False)
class GenerationContents:
    """Everything that the page shows.

    Args:
        title: Heading.
        synthetic: Class to synthetic pictures, drawn in no order; one class "" without classes.
        real: Class to pictures of the training part.
        pairs: Rows of ``synthetic``, ``real``, ``distance``, ``copy``: those nearest to training, nearest first.
        quality: Content of ``quality.json``.
        history: Learning curves.
        near_limit: Distance in pixels below which an image counts as near.
        notes: What happened.
        seconds: Time of each step, in words.
        provenance: Names and values.
        licence: Licence of the images that were learnt from.
        n_written: Images in the folder.
    """

    title: str
    synthetic: Mapping[str, Sequence[Picture]]
    real: Mapping[str, Sequence[Picture]]
    pairs: Sequence[Mapping[str, Any]]
    quality: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]] = ()
    near_limit: float = 0.0
    notes: Sequence[str] = ()
    seconds: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    n_written: int = 0


def write_generation_report(path: Path, contents: GenerationContents) -> Path:
    """Write the page of a generator: it holds all that it shows, and loads and runs nothing.

    Args:
        path: File to write; it appears whole or not at all.
        contents: What to show.

    Returns:
        ``path``.

    Raises:
        ResourceError: The disk is full.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from scanwright.report.page import code

    templates = Path(__file__).with_name("template")
    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = code
    view = generation_view(contents) | {"style": (templates / "style.css").read_text(encoding="utf-8")}
    return atomic_write(path, environment.get_template("generation.html.j2").render(**view))


def generation_view(contents: GenerationContents) -> dict[str, Any]:
    """All that the template needs, worked out.

    Args:
        contents: What to show.

    Returns:
        Names to plain values.
    """
    figures = dict(contents.quality.get("figures") or {})
    pictures = [p for side in (contents.synthetic, contents.real) for group in side.values() for p in group]
    pictures += [row[side] for row in contents.pairs for side in ("synthetic", "real")]
    uris = iter(embed(pictures))
    grids = {
        side: {name: [next(uris) for _ in group] for name, group in found.items()}
        for side, found in (("synthetic", contents.synthetic), ("real", contents.real))
    }
    pairs = [
        {"synthetic": next(uris), "real": next(uris), "distance": f"{row['distance']:.3f}", "copy": bool(row["copy"])}
        for row in contents.pairs
    ]
    tiny = all(max(p.shape[:2]) <= 64 for p in pictures)
    return {
        "contents": contents,
        "verdict": verdict(contents.quality),
        "alarm": bool(contents.quality.get("alarm")),
        "classes": [
            {"name": name, "synthetic": grids["synthetic"][name], "real": grids["real"].get(name, [])}
            for name in contents.synthetic
        ],
        "tiny": tiny,
        "pairs": pairs,
        "rows": [figure_row(name, figures[name]) for name in SYNTHETIC if name in figures],
        "facts": dict(contents.quality.get("facts") or {}),
        "learning": [f for name in ("autoencoder", "flow") for f in _curve(contents.history, name)],
        "not_for": NOT_FOR,
        "good_for": GOOD_FOR,
    }


def _curve(history: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    own = [row for row in history if row.get("candidate") == name]
    return learning_figures(own) if own else []


def figure_row(name: str, row: Mapping[str, float | None]) -> dict[str, str]:
    """One figure as words.

    Args:
        name: A key of ``evaluation.synthetic.SYNTHETIC``.
        row: ``value``, and what it is compared with.

    Returns:
        ``title``, ``meaning``, ``value`` and ``reference``.
    """
    known = {k: v for k, v in row.items() if v is not None and math.isfinite(v)}
    value = _number(name, known.get("value"))
    if "low" in known and "high" in known:
        value += f" ({_number(name, known['low'])} to {_number(name, known['high'])})"
    elif "spread" in known:
        value += f" ± {_number(name, known['spread'])}"
    reference = _number(name, known.get("reference"))
    if "reference_spread" in known:
        reference += f" ± {_number(name, known['reference_spread'])}"
    words = {"copies": f"alarm above {reference}", "auroc_real": "–"}
    figure = SYNTHETIC[name]
    better = "higher is better" if figure.better == "higher" else "lower is better"
    return {
        "title": figure.title,
        "meaning": f"{figure.meaning} ({better[0].upper()}{better[1:]}.)",
        "value": value,
        "reference": words.get(name, f"{reference} for real images"),
    }


def verdict(quality: Mapping[str, Any]) -> list[str]:
    """What the figures say, in sentences for everyone.

    Args:
        quality: Content of ``quality.json``.

    Returns:
        Sentences, the most important first.
    """
    figures = dict(quality.get("figures") or {})
    found = []
    synthetic, real = (figures.get(k, {}).get("value") for k in ("auroc_synthetic", "auroc_real"))
    if synthetic is not None and real is not None:
        found.append(
            f"A classifier that has seen synthetic images alone reaches an AUROC of {synthetic:.3f} on real, unseen images; "
            f"trained on the real ones it reaches {real:.3f}."
        )
    precision, recall = (figures.get(k, {}).get("value") for k in ("precision", "recall"))
    if precision is not None and recall is not None:
        real_p, real_r = (figures[k].get("reference") for k in ("precision", "recall"))
        found.append(
            f"{precision:.0%} of the synthetic images lie among the real ones ({real_p:.0%} of other real images do), and they "
            f"cover {recall:.0%} of the real variety ({real_r:.0%} for other real images)."
        )
    copies = figures.get("copies", {}).get("value")
    if copies is not None:
        found.append(
            f"Memorisation alarm: {copies:.1%} are nearly training images."
            if quality.get("alarm")
            else f"{copies:.1%} are nearly training images, no more than chance gives."
        )
    return found or ["There were too few unseen real images to judge the synthetic ones; look at them."]


def _number(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name in ("precision", "recall", "copies"):
        return f"{100 * value:.1f} %"
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return text.replace("-", "−")
