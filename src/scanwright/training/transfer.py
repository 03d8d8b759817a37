"""From the weights of a base to networks that begin from it: filled, and with a head that was fitted first.

A head that is still random would spoil the base's features in the first steps, so it is fitted on the
frozen features before anything is trained (linear probing, then fine-tuning: Kumar et al., ICLR 2022). The fit is
that of the classical candidates, exact and without steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from scanwright.core import ON_A_BASE, Candidate, Plan, PlanError
from scanwright.io.weights import read_weights
from scanwright.models import Explainable, Frozen, build
from scanwright.models.bases import begin_from
from scanwright.training.classical import features_of, fit_classical, rows_to_fit
from scanwright.training.trained import write_weights

if TYPE_CHECKING:
    from scanwright.training.data import Data
    from scanwright.training.fit import Run

BeginFrom = Mapping[str, NDArray[np.float32]]
_SPREAD = 2.0
_ONLY_TUNED = ("lowest", "head_drop")


def base_tensors(plan: Plan, path: Path | None) -> BeginFrom | None:
    """The base's tensors under our names.

    Args:
        plan: Its ``pretrained`` says what they are.
        path: Where the journey put them.

    Returns:
        Name to array; None if no candidate begins from a base.

    Raises:
        PlanError: The plan names a base and there is no file.
    """
    if plan.pretrained is None or not any(c.model in ON_A_BASE for c in plan.candidates):
        return None
    if path is None or not path.exists():
        raise PlanError(
            f"The plan begins from the weights {plan.pretrained.file}, and they are not there.",
            "A plan names its weights; the file is given beside it.",
            "Give it with --pretrained FILE.",
        )
    return read_weights(path).tensors


def fill(net: Explainable, plan: Plan, tensors: BeginFrom | None) -> None:
    """Give a tuned or frozen network the base's weights."""
    start = plan.pretrained
    if start is None or tensors is None:
        raise PlanError(
            "A candidate begins from weights, and the plan names none.",
            "`pretrained` says where they come from.",
            "Make the plan anew with --pretrained FILE.",
        )
    values = plan.preprocessing.intensity
    begin_from(net, tensors, mean=start.mean, std=start.std, image_mean=values.mean, image_std=values.std)


def probed_head(
    run: Run[Data], candidate: Candidate, fitted: Sequence[tuple[Candidate, Explainable]]
) -> dict[str, Tensor]:
    """The head that a tuned candidate begins with: a linear model on the base's features as they are.

    Args:
        run: What all candidates share.
        candidate: A tuned one.
        fitted: Classical candidates with their fitted models; one on the same base is taken as it is.

    Returns:
        ``head.weight`` and ``head.bias`` of pooled features.
    """
    wanted = {k: v for k, v in candidate.arguments.items() if k not in _ONLY_TUNED}
    for other, module in fitted:
        if isinstance(module, Frozen) and other.arguments == wanted:
            return _calm(_folded(module), module, run)
    from safetensors.torch import load_file

    path = run.work / f"probe-{hashlib.sha256(candidate.name.encode()).hexdigest()[:12]}.safetensors"
    if run.fabric.global_rank == 0 and not path.exists():
        spec = run.plan.preprocessing
        n_outputs = run.plan.n_outputs
        net = build("frozen", dimension=spec.n_axes, in_channels=spec.shape[0], n_outputs=n_outputs, **wanted)
        fill(net, run.plan, run.data.base)
        if isinstance(net, Frozen):
            fit_classical(net, run.data, seed=run.plan.seed)
            write_weights(path, _calm(_folded(net), net, run))
    run.fabric.barrier()
    return load_file(path)


def _calm(head: dict[str, Tensor], net: Frozen, run: Run[Data]) -> dict[str, Tensor]:
    """The same decisions with smaller logits.

    A head fitted on few cases tells them apart with logits so large that the first changed image it gets wrong
    would tear the base apart: they are shrunk to a spread of 2 at most over the training cases.
    """
    if run.plan.task == "regress":
        return head
    features = features_of(net, run.data, rows_to_fit(run.data, run.plan.seed)[0])
    spread = float((features @ head["head.weight"].numpy().T.astype(np.float64)).std(0).max())
    return {name: value * min(1.0, _SPREAD / max(spread, 1e-6)) for name, value in head.items()}


def _folded(net: Frozen) -> dict[str, Tensor]:
    """The head on features as they come, their standardisation folded in."""
    weight = net.head.weight.detach() / net.std
    bias = net.head.bias.detach() - weight @ net.mean
    return {"head.weight": weight.cpu().clone(), "head.bias": bias.cpu().clone()}
