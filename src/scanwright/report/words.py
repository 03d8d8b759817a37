"""Plain sentences about figures: what a clinician reads first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from scanwright.core import Evaluation, Interval, Task
from scanwright.report.contents import ReportContents
from scanwright.report.detect_words import detect_lights, detect_limits, detect_sentences
from scanwright.report.phrases import (
    PART_WORDS,
    RESEARCH_USE,
    Light,
    bounds,
    hundredths,
    number,
    of_hundred,
    with_interval,
)
from scanwright.report.segment_words import segment_lights, segment_limits, segment_sentences

_GRAVE = ("no better than guessing", "no better than the floor", "cannot be judged", "answering the mean")


def verdict(contents: ReportContents) -> str:
    """The first paragraph, as one text.

    Args:
        contents: What the report shows.

    Returns:
        Three to five plain sentences.
    """
    return " ".join(verdict_sentences(contents))


def verdict_sentences(contents: ReportContents) -> list[str]:
    """The sentences of :func:`verdict`; the first can stand alone."""
    judged = contents.judged()
    if judged is None:
        return ["There are no labelled cases to judge the model by, so nothing can be said about how good it is."]
    if judged.task in _OWN_SENTENCES:
        return list(_OWN_SENTENCES[judged.task](contents, judged))
    say = {"binary": _binary, "multilabel": _multilabel, "regress": _regress}.get(judged.task, _multiclass)
    return [*say(judged), *_compared(contents, judged)]


def _opening(judged: Evaluation) -> str:
    images = f"{judged.n_cases:,} {PART_WORDS[judged.part]} image{'s' if judged.n_cases != 1 else ''}"
    if judged.n_patients != judged.n_cases:
        images += f" of {judged.n_patients:,} patients"
    return f"On {images},"


def _binary(judged: Evaluation) -> Iterator[str]:
    no, yes = judged.classes
    auroc = with_interval(judged.metrics["auroc"])
    yield f"{_opening(judged)} the model tells “{yes}” from “{no}” with AUROC {auroc}; 0.5 would be guessing, 1 perfect."
    share = _share(judged, 1)
    called = f"Of 100 images that it calls “{yes}”, about {_about(judged.per_class[yes]['precision'])} are"
    free = f"of 100 that it calls “{no}”, about {_about(judged.per_class[no]['precision'])} are"
    yield f"{called}; {free} – where {share:.0f} of 100 are “{yes}”, as here."
    missed = judged.metrics["recall"]
    if math.isfinite(missed.value):
        yield f"It finds {of_hundred(missed)} “{yes}” cases, and clears {of_hundred(judged.metrics['specificity'])} of the others."


def _multiclass(judged: Evaluation) -> Iterator[str]:
    k, accuracy = len(judged.classes), judged.metrics["accuracy"]
    yield f"{_opening(judged)} the model names the right one of {k} classes in {of_hundred(accuracy)} cases."
    yield f"Averaged over the classes its AUROC is {with_interval(judged.metrics['auroc'])}; 0.5 would be guessing, 1 perfect."
    found = {
        c: judged.per_class[c]["recall"] for c in judged.classes if math.isfinite(judged.per_class[c]["recall"].value)
    }
    if len(found) > 1:
        best, worst = (f(found, key=lambda c: found[c].value) for f in (max, min))
        yield f"It finds “{best}” best, in {of_hundred(found[best])} cases, and “{worst}” worst, in {of_hundred(found[worst])}."
    if judged.task == "ordinal":
        steps = with_interval(judged.metrics["mae"], 2)
        yield f"Its answer lies {steps} steps from the truth on average; quadratic kappa {with_interval(judged.metrics['quadratic_kappa'])}."


def _multilabel(judged: Evaluation) -> Iterator[str]:
    yield f"{_opening(judged)} the model looks for {len(judged.classes)} findings, with a mean AUROC of {with_interval(judged.metrics['auroc'])}; 0.5 would be guessing, 1 perfect."
    areas = {
        c: judged.per_class[c]["auroc"] for c in judged.classes if math.isfinite(judged.per_class[c]["auroc"].value)
    }
    if len(areas) > 1:
        best, worst = (f(areas, key=lambda c: areas[c].value) for f in (max, min))
        yield f"It does best on “{best}” ({number(areas[best].value)}) and worst on “{worst}” ({number(areas[worst].value)})."
    yield f"Averaged over the findings it detects {of_hundred(judged.metrics['recall'])} that are there."


def _regress(judged: Evaluation) -> Iterator[str]:
    name = judged.classes[0] if judged.classes else "the value"
    yield f"{_opening(judged)} the model’s “{name}” is off by {with_interval(judged.metrics['mae'], 2)} on average."
    yield f"It explains {_percent(judged.metrics['r2'])} of the spread (R²); the correlation with the truth is {with_interval(judged.metrics['pearson'])}."


def _percent(interval: Interval) -> str:
    if not math.isfinite(interval.value):
        return "an unknown share"
    inner = bounds(Interval(*(100 * v for v in (interval.value, interval.low, interval.high))), 0)
    return f"{number(100 * interval.value, 0)} %" + (f" ({inner})" if inner else "")


def _compared(contents: ReportContents, judged: Evaluation) -> Iterator[str]:
    name, word = ("mae", "off by") if judged.task == "regress" else ("accuracy", "right in")
    others = {"majority": "looking at no image at all", "linear": "a linear baseline"}
    said = []
    for who, words in others.items():
        other = contents.judged(who, judged.part)
        if other is None or name not in other.metrics:
            continue
        value = other.metrics[name].value
        if math.isfinite(value):
            amount = number(value, 2) if name == "mae" else f"{hundredths(value)} of 100"
            said.append(f"{words} is {word} {amount}")
    if said:
        own = judged.metrics[name].value
        mine = number(own, 2) if name == "mae" else f"{hundredths(own)} of 100"
        yield f"For comparison: {' and '.join(said)}, this model {mine}."


def _about(interval: Interval) -> str:
    return hundredths(interval.value) if math.isfinite(interval.value) else "an unknown number"


def _share(judged: Evaluation, k: int) -> float:
    return 100 * sum(judged.confusion[k]) / max(sum(map(sum, judged.confusion)), 1)


def lights(contents: ReportContents) -> list[Light]:
    """The traffic light: what to know before believing, gravest first.

    Args:
        contents: What the report shows.

    Returns:
        Red, amber and green lines; at least one.
    """
    found = list(_lights(contents))
    order = {"red": 0, "amber": 1, "green": 2}
    return sorted(dict.fromkeys(found), key=lambda light: order[light.colour])


def _lights(contents: ReportContents) -> Iterator[Light]:
    judged = contents.judged()
    if judged is None:
        yield Light("red", "There is no labelled case to judge the model by.")
    else:
        for text in judged.warnings:
            yield Light("red" if any(words in text for words in _GRAVE) else "amber", text)
        if judged.part in ("val", "train"):
            yield Light(
                "amber",
                f"Judged on the {PART_WORDS[judged.part]} part, which took part in making the model: expect less elsewhere.",
            )
        yield from _OWN_LIGHTS.get(judged.task, _answer_lights)(contents, judged)
    open_ones = [f for f in contents.findings if not contents.repaired(f)]
    mended = [f for f in contents.findings if contents.repaired(f) and f.severity != "info"]
    stops = [f for f in open_ones if f.severity == "stop"]
    warns = [f for f in open_ones if f.severity == "warn"]
    for finding in stops:
        yield Light("red", finding.text)
    for finding in warns:
        yield Light("amber", finding.text)
    for finding in mended:
        yield Light("green", f"Repaired before training: {finding.text}")
    if contents.checked and not stops and not warns and not mended:
        yield Light(
            "green", "The check of the images found no leak between parts, no damaged file and no contradiction."
        )
    if contents.examination is not None:
        passed = contents.examination.get("passed")
        yield Light("green" if passed else "amber", str(contents.examination.get("sentence") or examined(passed)))


def _answer_lights(contents: ReportContents, judged: Evaluation) -> Iterator[Light]:
    if not judged.warnings:
        yield Light(
            "green",
            f"{judged.n_cases:,} {PART_WORDS[judged.part]} cases: enough for narrow intervals, and better than the floor.",
        )
    yield from _calibration(judged, contents.judged("uncalibrated", judged.part))
    yield from _beaten(contents, judged)


_OWN_LIGHTS: Mapping[Task, Callable[[ReportContents, Evaluation], Iterator[Light]]] = {
    "segment": segment_lights,
    "detect": detect_lights,
}
_OWN_SENTENCES: Mapping[Task, Callable[[ReportContents, Evaluation], Iterator[str]]] = {
    "segment": segment_sentences,
    "detect": detect_sentences,
}


def _calibration(judged: Evaluation, before: Evaluation | None) -> Iterator[Light]:
    error = judged.metrics.get("ece")
    if error is None or not math.isfinite(error.value):
        return
    old = before.metrics.get("ece") if before is not None else None
    if old is not None and error.value > max(old.high, 0.05):
        yield Light(
            "amber",
            f"Calibration on validation did not carry over: the error is {number(error.value)}, {number(old.value)} without it.",
        )
    if error.value <= 0.05:
        yield Light(
            "green",
            f"Stated probabilities can be taken at face value here: they are off by {error.value * 100:.0f} in 100 on average.",
        )
    elif error.value > 0.1:
        yield Light(
            "amber",
            f"Stated probabilities are off by {error.value * 100:.0f} in 100 on average: read them as a ranking.",
        )


def _beaten(contents: ReportContents, judged: Evaluation) -> Iterator[Light]:
    """Whether a linear model does as well: then the network has earned nothing."""
    linear = contents.judged("linear", judged.part)
    if linear is None:
        return
    names = {"r2": "R²"} if judged.task == "regress" else {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy"}
    for name, word in names.items():
        own, other = judged.metrics.get(name), linear.metrics.get(name)
        if own is not None and other is not None and other.value >= own.value:
            yield Light(
                "amber", f"A linear baseline is as good: {word} {number(other.value)} against {number(own.value)}."
            )
            return


def examined(passed: bool | None) -> str:
    """The outcome of the examination of the heat maps, where it does not speak for itself."""
    if passed is None:
        return "Too few cases to tell whether the heat maps can be believed."
    return "The heat maps passed their examination." if passed else "The heat maps failed their examination."


def faithfulness(examination: Mapping[str, Any]) -> str:
    """Score and controls of the examination in a sentence or two; empty if there are none."""
    score, chance = _as_interval(examination.get("score")), _as_interval(examination.get("random"))
    if score is None:
        return ""
    beside = "0 is chance" if chance is None else f"a random map of the same kind scores {number(chance.value)}"
    said = f"Method: {examination.get('method') or 'heat map'}. Faithfulness {with_interval(score)}; {beside}."
    controls = {k: _as_interval(v) for k, v in dict(examination.get("controls") or {}).items()}
    others = ", ".join(f"{name} {number(value.value)}" for name, value in controls.items() if value is not None)
    return said + (f" Lead over maps that cannot know the answer: {others}." if others else "")


def _as_interval(value: Any) -> Interval | None:
    if isinstance(value, Mapping):
        ends = [float(value[k]) if _is_number(value.get(k)) else math.nan for k in ("value", "low", "high")]
        return Interval(*ends) if math.isfinite(ends[0]) else None
    return Interval(float(value), math.nan, math.nan) if _is_number(value) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def limits(contents: ReportContents) -> list[str]:
    """What the results do not show.

    Args:
        contents: What the report shows.

    Returns:
        Plain sentences.
    """
    cohort, judged = contents.cohort, contents.judged()
    said = [f"{RESEARCH_USE} Nobody should be treated, or left untreated, because of these answers."]
    if judged is not None and judged.part != "external":
        said.append(
            "Test and training images come from the same source. On other scanners, hospitals or patients the model may do worse: judge it there with `scanwright evaluate`."
        )
    if judged is not None:
        kind = "patient" if any(c.patient is not None for c in cohort.cases) else "image"
        said.append(
            f"Intervals come from {judged.n_patients:,} {kind}s and cover chance in drawing them, not differences between hospitals."
        )
        if kind == "image":
            said.append(
                "No patient is named in the data, so every image counts as a patient of its own. If patients have several images, the intervals are too narrow and parts may share patients."
            )
    if cohort.modality:
        said.append(f"It has seen {cohort.modality} images only; anything else gets an answer that means nothing.")
    if cohort.task == "segment":
        said += segment_limits(contents, judged)
    elif cohort.task == "detect":
        said += detect_limits(contents, judged)
    elif judged is not None and judged.task != "regress":
        said.append("It knows only the classes above: every image gets one of these answers, whatever it shows.")
    if not any(c.covariates for c in cohort.cases):
        said.append("Age, sex and scanner are not in the data, so nothing is known about how subgroups fare.")
    start = contents.plan.pretrained if contents.plan else None
    if start is not None and start.licence is None:
        said.append(f"Nobody knows under which licence its starting weights ({start.file}) are: ask before you use it.")
    if start is not None and start.seen:
        said.append(f"{start.seen} test images were seen when its starting weights were learnt.")
    if cohort.skipped:
        files = "1 file" if len(cohort.skipped) == 1 else f"{len(cohort.skipped)} files"
        said.append(f"{files} could not be used, and no figure counts what was in there.")
    said += [f.text for f in contents.findings if f.severity != "info" and not contents.repaired(f)]
    return list(dict.fromkeys([*said, *([] if contents.trained else contents.notes)]))
