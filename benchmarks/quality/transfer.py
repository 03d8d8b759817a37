"""What are images without labels worth? Learn a base from one half of a cohort, fine-tune on few labels of the other half.

    python benchmarks/quality/transfer.py [--data ../shared/data] [--shares 0.05 0.1 0.25] [--seeds 0 1 2]
                                          [--pretrain 10m] [--budget 4m] [--picture docs/images/transfer.png]

The train part of PneumoniaMNIST is halved. One half, its labels taken away, goes to ``scanwright pretrain``; of the other half a share
keeps its labels, and the same share of the validation part. Then the same network, of the same steps, is trained alone three times: from fresh
weights, frozen on the base with a fitted head, and tuned from the base. The given test part is looked at once a run. Results go to
``benchmarks/LOG.md`` and into a picture of the learning curves; nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from statistics import mean

import numpy as np
from PIL import Image, ImageDraw
from running import ROOT, interval, metrics_of, timed, write

WAYS = {"fresh": (20, 20, 20), "frozen": (214, 120, 0), "tuned": (0, 100, 170)}
"""Ways to train, with the colours of their curves."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    parser.add_argument("--shares", nargs="*", type=float, default=[0.05, 0.1, 0.25])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--pretrain", default="10m")
    parser.add_argument("--budget", default="4m")
    parser.add_argument("--model", default="resnet9")
    parser.add_argument("--most", type=int, default=1_000_000, help="images to learn from without labels, at most")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "transfer")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "images" / "transfer.png")
    words = parser.parse_args()
    rows = []
    for seed in words.seeds:
        place = words.out / str(seed)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        base = learnt(words, place, seed)
        for share in words.shares:
            rows += few_labels(words, place, base, seed, share)
    write(rows, "benchmarks/quality/transfer.py")
    draw(rows, words.picture)


def halves(words: argparse.Namespace, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The cohort, and which rows of its train part are learnt from without and with labels."""
    with np.load(words.data / "pneumoniamnist" / "pneumoniamnist.npz") as file:
        content = dict(file)
    order = np.random.default_rng(seed).permutation(len(content["train_images"]))
    middle = len(order) // 2
    return content, order[:middle][: words.most], order[middle:]


def learnt(words: argparse.Namespace, place: Path, seed: int) -> Path:
    """A base from the half without labels."""
    content, without, _ = halves(words, seed)
    images, base = place / "unlabelled", place / "base.safetensors"
    images.mkdir()
    for row in without:
        Image.fromarray(content["train_images"][row]).save(images / f"{row:05d}.png")
    status, cost = timed(
        [
            "pretrain",
            str(images),
            "--out",
            str(base),
            "--budget",
            words.pretrain,
            "--model",
            words.model,
            "--seed",
            str(seed),
        ],
        place / "pretrain.log",
    )
    if status:
        raise SystemExit(f"pretrain failed, see {place / 'pretrain.log'}")
    print({"seed": seed, "unlabelled": len(without), **cost}, flush=True)
    return base


def few_labels(words: argparse.Namespace, place: Path, base: Path, seed: int, share: float) -> list[dict[str, str]]:
    """The three ways on a share of the labels of the other half."""
    content, _, labelled = halves(words, seed)
    rng = np.random.default_rng([seed, round(1000 * share)])
    small = {name: value for name, value in content.items() if name.startswith("test_")}
    for part, rows in (("train", labelled), ("val", np.arange(len(content["val_images"])))):
        kept = stratified(content[f"{part}_labels"].ravel(), rows, share, rng)
        small |= {f"{part}_{what}": content[f"{part}_{what}"][kept] for what in ("images", "labels")}
    name = f"few-{share:g}"
    cohort, log = place / f"{name}.npz", place / f"{name}.log"
    np.savez(cohort, **small)
    common = ["--budget", words.budget, "--seed", str(seed)]
    planned = place / f"{name}-plan"
    timed(["plan", str(cohort), "--out", str(planned), "--pretrained", str(base), *common], log)
    plan = json.loads((planned / "plan.json").read_text())
    found = []
    for way in WAYS:
        own = place / f"{name}-{way}.json"
        own.write_text(json.dumps(alone(plan, way)))
        out = place / f"{name}-{way}"
        more = [] if way == "fresh" else ["--pretrained", str(base)]
        status, cost = timed(["run", str(cohort), "--out", str(out), "--plan", str(own), *more, *common], log)
        figures = metrics_of(out)["test"] if status == 0 else {}
        row = {
            "weights": way,
            "labels": f"{share:.0%}",
            "train / val cases": f"{len(small['train_images'])} / {len(small['val_images'])}",
            "seed": str(seed),
            **cost,
        }
        row |= {figure: interval(figures.get(figure)) for figure in ("auroc", "balanced_accuracy")}
        print(row, flush=True)
        found.append(row)
    return found


def stratified(labels: np.ndarray, rows: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A share of the rows of each class, at least four."""
    kept = []
    for c in np.unique(labels[rows]):
        own = rng.permutation(rows[labels[rows] == c])
        kept.append(own[: max(4, round(share * len(own)))])
    return np.sort(np.concatenate(kept))


def alone(plan: dict, way: str) -> dict:
    """A plan of one candidate: the tuned one of the plan, its base frozen, or the same network from fresh weights."""
    tuned = next((c for c in plan["candidates"] if c["model"] == "tuned"), None)
    if tuned is None:
        raise SystemExit(f"The budget is too short here: {plan['reasons'].get('pretrained', '')}")
    steps = min(int(0.8 * plan["training"]["budget_s"] / tuned["seconds_per_step"]), max(400, tuned["final_steps"]))
    one = {**tuned, "race_steps": [], "final_steps": steps}
    changed = {**plan, "training": {**plan["training"], "ensemble": 1}}
    if way == "frozen":
        one = next(c for c in plan["candidates"] if c["model"] == "frozen")
    if way == "fresh":
        start = plan["pretrained"]
        one |= {"name": start["model"], "model": start["model"], "arguments": start["arguments"], "learning_rate": 5e-3}
        changed["pretrained"] = None
    return {**changed, "candidates": [one]}


def draw(rows: list[dict[str, str]], path: Path, size: tuple[int, int] = (900, 520)) -> None:
    """AUROC against the share of labels: a dot for each seed, a line through the means."""
    values = [float(r["auroc"].split(" ")[0]) for r in rows if r["auroc"] != "–"]
    if not values:
        return
    shares = sorted({r["labels"] for r in rows}, key=lambda text: float(text[:-1]))
    low = min(0.98, np.floor(min(values) * 50) / 50)
    picture = Image.new("RGB", size, "white")
    pen, (left, top, right, bottom) = ImageDraw.Draw(picture), (90, 30, size[0] - 190, size[1] - 70)

    def at(k: float, value: float) -> tuple[float, float]:
        x = left + 60 + k * (right - left - 120) / max(len(shares) - 1, 1)
        return x, bottom - (value - low) / (1 - low) * (bottom - top)

    for value in np.linspace(low, 1, 6):
        y = at(0, value)[1]
        pen.line([(left, y), (right, y)], fill=(225, 225, 225))
        pen.text((left - 55, y - 8), f"{value:.3f}", fill="black", font_size=16)
    for k, share in enumerate(shares):
        pen.text((at(k, low)[0] - 15, bottom + 10), share, fill="black", font_size=16)
    pen.text(
        (left, size[1] - 32), "share of the labels of one half; test AUROC, a dot a seed", fill="black", font_size=16
    )
    for place, (way, colour) in enumerate(WAYS.items()):
        line = []
        for k, share in enumerate(shares):
            own = [
                float(r["auroc"].split(" ")[0])
                for r in rows
                if (r["weights"], r["labels"]) == (way, share) and r["auroc"] != "–"
            ]
            for value in own:
                x, y = at(k + 0.04 * (place - 1), value)
                pen.ellipse([x - 4, y - 4, x + 4, y + 4], outline=colour, width=2)
            if own:
                line.append(at(k + 0.04 * (place - 1), mean(own)))
        if len(line) > 1:
            pen.line(line, fill=colour, width=3)
        pen.line([(right + 20, top + 20 + 30 * place), (right + 50, top + 20 + 30 * place)], fill=colour, width=4)
        pen.text((right + 60, top + 10 + 30 * place), way, fill="black", font_size=18)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


if __name__ == "__main__":
    main()
