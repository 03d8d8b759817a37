"""What training leaves behind, and the network that it makes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import load_file, save
from torch import Tensor, nn

from scanwright.core import ModelFileError, Plan
from scanwright.io.atomic import atomic_write, write_json
from scanwright.models import Averaged, Explainable, Flipped, build

RESULT = "trained.json"
WEIGHTS = "weights.safetensors"
BASELINE_WEIGHTS = "baseline.safetensors"
BASELINE = "linear"


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Args:
        weights: ``weights.safetensors``: the chosen models' weights, those of member k under ``k.``.
        baseline_weights: The same for the linear baseline.
        chosen: Names of the candidates that the network is made of.
        shares: Weight of each one's logits.
        race: One row a candidate: ``candidate, steps, score, clean, shifted, seconds, parameters, rung``.
        history: One row a look at validation: ``candidate, step, train_loss, val_loss, val_accuracy,
            val_auroc, shifted_auroc, score, learning_rate``.
        tta_flips: Axes (without channel) whose mirror images are averaged in.
        scores: Figures of the final network on validation: ``clean, shifted, auroc, shifted_auroc,
            accuracy, score``.
        seconds: Time spent in all, runs before an interruption included.
        peak_memory_mb: Highest resident memory of the process.
        notes: What was said, for the report.
        stopped_early: Whether patience ran out before the steps did.
        device: Where it was trained, in words.
    """

    weights: Path
    baseline_weights: Path
    chosen: tuple[str, ...]
    shares: tuple[float, ...]
    race: tuple[dict[str, Any], ...]
    history: tuple[dict[str, Any], ...]
    tta_flips: tuple[int, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    notes: tuple[str, ...] = ()
    stopped_early: bool = False
    device: str = "cpu"

    def save(self, work: Path, *, key: str) -> None:
        """Write ``trained.json`` (paths relative to the folder); ``key`` says what it belongs to."""
        values = asdict(self) | {"weights": self.weights.name, "baseline_weights": self.baseline_weights.name}
        write_json(work / RESULT, values | {"key": key})


def load_trained(work: Path, *, key: str | None = None) -> Trained | None:
    """Read a finished training.

    Args:
        work: Folder that training worked in.
        key: What it must belong to; None to take what is there.

    Returns:
        The result; None if training has not finished there, or for something else.
    """
    path = Path(work) / RESULT
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    found = values.pop("key", None)
    if key is not None and found != key:
        return None
    for name in ("weights", "baseline_weights"):
        values[name] = Path(work) / values[name]
        if not values[name].exists():
            return None
    for name in ("chosen", "shares", "race", "history", "tta_flips", "notes"):
        values[name] = tuple(values[name])
    return Trained(**values)


def network(trained: Trained, plan: Plan, *, which: Literal["model", "baseline"] = "model") -> Explainable:
    """Build the network with its trained weights.

    Args:
        trained: Result of training.
        plan: The plan it was trained with.
        which: The chosen model (members averaged, mirror images inside) or the linear baseline.

    Returns:
        A module in evaluation mode; a regression answers in its own unit.

    Raises:
        ModelFileError: The weights do not fit the plan.
    """
    shape: dict[str, Any] = {
        "dimension": plan.preprocessing.n_axes,
        "in_channels": plan.preprocessing.shape[0],
        "n_outputs": plan.n_outputs,
    }
    if which == "baseline":
        net: Explainable = build(BASELINE, **shape)
        _fill(net, load_file(trained.baseline_weights), trained.baseline_weights)
        return net.eval()
    candidates = {c.name: c for c in plan.candidates}
    missing = [name for name in trained.chosen if name not in candidates]
    if missing:
        raise ModelFileError(
            f"The weights are of a candidate {missing[0]!r} that the plan does not have.",
            "Weights and plan must come from one run.",
            "Train again with `scanwright run`.",
        )
    members = [build(candidates[n].model, **(shape | candidates[n].arguments)) for n in trained.chosen]
    _fill(nn.ModuleList(members), load_file(trained.weights), trained.weights)
    net = members[0] if len(members) == 1 and trained.shares[0] == 1 else Averaged(members, trained.shares)
    if trained.tta_flips:
        net = Flipped(net, trained.tta_flips)
    return net.eval()


def write_weights(path: Path, states: list[dict[str, Tensor]] | dict[str, Tensor]) -> Path:
    """Write weights as safetensors, atomically; of several models under ``0.``, ``1.`` ..."""
    if isinstance(states, list):
        states = {f"{k}.{name}": value for k, state in enumerate(states) for name, value in state.items()}
    return atomic_write(path, save({k: v.detach().cpu().contiguous() for k, v in states.items()}))


def _fill(module: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ModelFileError(
            f"{path.name} does not fit the plan's network.",
            "Weights and plan must come from one run.",
            "Train again with `scanwright run`.",
        ) from error
