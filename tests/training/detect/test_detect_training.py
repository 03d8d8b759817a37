"""Boxes through augmentation on a letter F, targets, losses, and the same places as numpy decodes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scanwright.core import Augmentation  # noqa: E402
from scanwright.inference.detect import decode  # noqa: E402
from scanwright.training import augment  # noqa: E402
from scanwright.training.detect.losses import boxes_of_cells, detection_loss, distance_iou_loss  # noqa: E402
from scanwright.training.detect.targets import draw_targets  # noqa: E402


def _letter() -> torch.Tensor:
    letter = torch.zeros(1, 1, 48, 64)
    letter[..., 8:30, 14:19] = letter[..., 8:13, 14:34] = letter[..., 18:22, 14:28] = 1
    return letter


def _extent(image: torch.Tensor) -> list[float]:
    where = torch.argwhere(image[0, 0] > 0.5)
    return [*(where.min(0).values - 0.5).tolist(), *(where.max(0).values + 0.5).tolist()]


@pytest.mark.parametrize(
    ("change", "slack"),
    [
        ({"flip_axes": (0, 1)}, 0.01),
        ({"scale": 0.25}, 0.8),
        ({"shift": 0.1}, 0.8),
        ({"scale": 0.2, "flip_axes": (1,), "shift": 0.05}, 0.8),
    ],
)
def test_a_box_goes_with_its_letter(change: dict[str, object], slack: float) -> None:
    letter = _letter()
    corners = torch.tensor([_extent(letter)])
    for seed in range(6):
        spec = Augmentation(probability=1.0, **change)  # type: ignore[arg-type]
        drawn = augment.draw(spec, 1, dimension=2, generator=torch.Generator().manual_seed(seed))
        image, _ = augment.warp(letter, drawn, size=(40, 56))
        moved = augment.warp_boxes(corners, drawn, 0, size=(40, 56), whole=(48, 64))[0]
        seen = torch.cat([moved[:2].clamp_min(-0.5), torch.minimum(moved[2:], torch.tensor([39.5, 55.5]))])
        np.testing.assert_allclose(_extent(image), seen, atol=slack)


def test_without_changes_the_middle_is_cut_out() -> None:
    moved = augment.warp_boxes(torch.tensor([[8.0, 10, 20, 30]]), {}, 0, size=(40, 56), whole=(48, 64))
    assert moved.tolist() == [[4, 6, 16, 26]]


def test_quarter_turns_swap_the_sides_and_small_turns_keep_a_disc() -> None:
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = (((rows - 20) / 10) ** 2 + ((columns - 36) / 6) ** 2 <= 1).float()[None, None]
    corners = torch.tensor([[10.0, 30.0, 30.0, 42.0]])
    for spec in (Augmentation(rotate90=True), Augmentation(rotate_deg=30.0, probability=1.0)):
        for seed in range(5):
            drawn = augment.draw(spec, 1, dimension=2, generator=torch.Generator().manual_seed(seed))
            image, _ = augment.warp(disc, drawn, size=(64, 64))
            moved = augment.warp_boxes(corners, drawn, 0, size=(64, 64), whole=(64, 64))[0]
            np.testing.assert_allclose(_extent(image), moved, atol=1.3)


def test_turns_in_a_volume_follow_its_spacing() -> None:
    volume = torch.zeros(1, 1, 32, 32, 16)
    volume[..., 10:18, 8:24, 5:9] = 1
    spec = Augmentation(flip_axes=(0, 2), scale=0.2, probability=1.0)
    drawn = augment.draw(spec, 1, dimension=3, generator=torch.Generator().manual_seed(3))
    image, _ = augment.warp(volume, drawn, spacing=(1.0, 1.0, 3.0))
    corners = torch.tensor([[9.5, 7.5, 4.5, 17.5, 23.5, 8.5]])
    moved = augment.warp_boxes(corners, drawn, 0, size=(32, 32, 16), whole=(32, 32, 16), spacing=(1.0, 1.0, 3.0))
    np.testing.assert_allclose(_extent(image), moved[0], atol=0.8)


def _targets(size: tuple[int, ...] = (32, 48), hidden: np.ndarray | None = None) -> object:
    boxes = (np.array([[4.0, 8.0, 20.0, 24.0], [6.0, 30.0, 14.0, 38.0]]), np.array([0, 1]))
    nothing = np.zeros((0, 4)) if hidden is None else hidden
    return draw_targets([boxes], [nothing], n_classes=2, size=size, stride=(4, 4), device=torch.device("cpu"))


def test_targets_have_one_top_for_each_box_and_its_edges_there() -> None:
    made = _targets()
    assert torch.argwhere(made.heat == 1).tolist() == [[0, 0, 3, 4], [0, 1, 2, 8]]
    assert made.corners[0, :, 3, 4].tolist() == [4, 8, 20, 24]
    assert made.corners[0, :, 2, 8].tolist() == [6, 30, 14, 38]
    assert float(made.weight.sum()) == pytest.approx(2, abs=0.01)
    assert made.known.min() == 1
    hidden = _targets(hidden=np.array([[24.0, 0.0, 31.5, 10.0]]))
    assert hidden.known[0, 0, 6:, :3].max() == 0
    assert hidden.known[0, 0, :5].min() == 1


def test_torch_and_numpy_read_the_same_box() -> None:
    rng = np.random.default_rng(0)
    answers = rng.normal(0, 0.5, (3 + 4, 8, 12)).astype(np.float32)
    answers[:3] -= 9
    answers[1, 5, 7] = 4
    one = decode(answers, n_classes=3, stride=(4, 2), typical=(2.5, 3.0), least=0.5)
    edges = boxes_of_cells(torch.from_numpy(answers[None, 3:]), stride=(4, 2), typical=(2.5, 3.0))
    np.testing.assert_allclose(one.corners[0], edges[0, :, 5, 7], rtol=1e-4, atol=1e-4)


def test_the_loss_falls_to_nothing_for_the_right_answer() -> None:
    made = _targets()
    answers = torch.zeros(1, 6, 8, 12)
    answers[:, :2] = torch.where(made.heat == 1, 12.0, -12.0)
    middle = (made.corners[:, :2] + made.corners[:, 2:]) / 2
    cells = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(12.0), indexing="ij"))[None]
    answers[:, 2:4] = (middle - 1.5) / 4 - cells
    answers[:, 4:] = ((made.corners[:, 2:] - made.corners[:, :2]).clamp_min(0.1) / 4 / 2.0).log()
    right = float(detection_loss(answers, made, stride=(4, 4), typical=(2.0, 2.0)))
    assert right < 0.01
    answers[:, 2:4] += 1.0
    assert float(detection_loss(answers, made, stride=(4, 4), typical=(2.0, 2.0))) > right + 0.3


def test_distance_iou_of_boxes_worked_out_by_hand() -> None:
    same = torch.tensor([[0.0, 0, 2, 2]])
    apart = torch.tensor([[3.0, 0, 5, 2]])  # no overlap; middles 3 apart; enclosing 5 x 2
    assert float(distance_iou_loss(same, same)) == pytest.approx(0)
    assert float(distance_iou_loss(same, apart)) == pytest.approx(1 + 9 / 29)
