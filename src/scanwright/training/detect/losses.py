"""Losses of boxes: which cells are middles, and how well the boxes fit that are answered there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from scanwright.training.detect.targets import CellTargets

_FITTING = 3.0
"""Weight of the boxes beside the class maps."""
_LARGEST = 4.0


def detection_loss(answers: Tensor, targets: CellTargets, *, stride: Sequence[int], typical: Sequence[float]) -> Tensor:
    """Focal loss of the middles and distance-IoU loss of the boxes, a box.

    Args:
        answers: ``(B, K + 2 * D, *cells)``.
        targets: See :class:`CellTargets`.
        stride: Voxels of a cell.
        typical: Usual size of a box, in cells.

    Returns:
        A number.

    Source:
        Zhou et al., Objects as Points (2019), equation 1; Zheng et al., Distance-IoU Loss (AAAI 2020).
    """
    n_classes = targets.heat.shape[1]
    answers = answers.float()
    heat = middle_loss(answers[:, :n_classes], targets.heat, targets.known) / targets.n_boxes
    learnt = targets.weight > 0
    if not bool(learnt.any()):
        return heat + 0.0 * answers[:, n_classes:].mean()
    boxes = boxes_of_cells(answers[:, n_classes:], stride=stride, typical=typical).movedim(1, -1)[learnt]
    true = targets.corners.movedim(1, -1)[learnt]
    fitting = (distance_iou_loss(boxes, true) * targets.weight[learnt]).sum() / targets.n_boxes
    return heat + _FITTING * fitting


def middle_loss(logits: Tensor, heat: Tensor, known: Tensor) -> Tensor:
    """Focal loss in which cells near a middle are held less against the network."""
    chance = logits.sigmoid()
    yes = -functional.logsigmoid(logits) * (1 - chance) ** 2 * (heat == 1)
    no = -functional.logsigmoid(-logits) * chance**2 * (1 - heat) ** 4 * (heat < 1)
    return ((yes + no) * known).sum()


def boxes_of_cells(told: Tensor, *, stride: Sequence[int], typical: Sequence[float]) -> Tensor:
    """Edges of the box that each cell answers, ``(B, 2 * D, *cells)`` in voxels of the window.

    The same as :func:`scanwright.inference.detect.decode` (tests/training/detect).
    """
    d = len(stride)
    step = torch.tensor([float(s) for s in stride]).to(told).reshape(1, d, *(1,) * d)
    usual = torch.tensor([float(t) for t in typical]).to(told).reshape(1, d, *(1,) * d)
    axes = [torch.arange(n, device=told.device, dtype=told.dtype) for n in told.shape[2:]]
    cell = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
    middle = (cell + told[:, :d]) * step + (step - 1) / 2
    size = told[:, d:].clamp(-_LARGEST, _LARGEST).exp() * usual * step
    return torch.cat([middle - size / 2, middle + size / 2], dim=1)


def distance_iou_loss(boxes: Tensor, true: Tensor) -> Tensor:
    """1 less the overlap, and the squared distance of the middles as a share of the enclosing box's diagonal.

    Args:
        boxes: ``(N, 2 * D)``.
        true: ``(N, 2 * D)``.

    Returns:
        ``(N,)``, 0 for equal boxes.
    """
    d = boxes.shape[1] // 2
    low, high = torch.maximum(boxes[:, :d], true[:, :d]), torch.minimum(boxes[:, d:], true[:, d:])
    common = (high - low).clamp_min(0).prod(1)
    sizes = (boxes[:, d:] - boxes[:, :d]).prod(1) + (true[:, d:] - true[:, :d]).prod(1)
    overlap = common / (sizes - common).clamp_min(1e-6)
    apart = ((boxes[:, :d] + boxes[:, d:] - true[:, :d] - true[:, d:]) / 2).square().sum(1)
    around = torch.maximum(boxes[:, d:], true[:, d:]) - torch.minimum(boxes[:, :d], true[:, :d])
    return 1 - overlap + apart / around.square().sum(1).clamp_min(1e-6)
