"""Time per epoch and time to a given validation AUROC, beside two networks that people start from.

    pip install keras
    python benchmarks/speed/train_side_by_side.py [--data ../shared/data] [--target 0.99] [--limit 180]

One after the other in one process group, on PneumoniaMNIST, validation only (the test part is not read):

* ours: the candidate that the plan's recipe gives for 28-pixel pictures, with augmentation, schedule and looks at
  validation under shifts, as `scanwright run` trains it;
* the articles' Keras CNN: two convolutions (32, 64) with pooling, a dense layer of 128, dropout 0.5, Adam, batches of
  32, on the torch backend of Keras;
* the MedMNIST reference: ResNet-18 with a 3 x 3 first layer and no first pooling, Adam 1e-3, batches of 128, float32.

The time to the target counts everything from the first step: looks at validation too. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

ROOT = Path(__file__).resolve().parents[2]
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    parser.add_argument("--target", type=float, default=0.99)
    parser.add_argument("--limit", type=float, default=180.0, help="seconds for each")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    with np.load(words.data / "pneumoniamnist" / "pneumoniamnist.npz") as content:
        arrays = tuple(content[f"{part}_{kind}"] for part in ("train", "val") for kind in ("images", "labels"))
    print(
        f"PneumoniaMNIST, {len(arrays[0])} training pictures, {torch.get_num_threads()} threads, target AUROC {words.target}"
    )
    print(f"{'':34}{'s/epoch':>9}{'s to target':>13}{'best AUROC':>12}{'parameters':>12}")
    for name, run in (
        ("Scanwright resnet9", ours),
        ("articles' Keras CNN", keras_cnn),
        ("MedMNIST reference ResNet-18", resnet18),
    ):
        epoch_s, target_s, best, parameters = run(arrays, words.target, words.limit, words.seed)  # type: ignore[arg-type]
        reached = f"{target_s:.1f}" if target_s is not None else f"> {words.limit:.0f}"
        print(f"{name:34}{epoch_s:9.2f}{reached:>13}{best:12.4f}{parameters:12,}", flush=True)


def until(
    epoch: Callable[[], None], score: Callable[[], float], target: float, limit: float
) -> tuple[float, float | None, float]:
    """Train epoch by epoch until the target or the limit: seconds an epoch, to the target, best AUROC."""
    began, spent, best, reached = time.monotonic(), [], 0.0, None
    while time.monotonic() - began < limit and reached is None:
        start = time.monotonic()
        epoch()
        spent.append(time.monotonic() - start)
        best = max(best, score())
        if best >= target:
            reached = time.monotonic() - began
    return float(np.median(spent)), reached, best


def ours(arrays: Arrays, target: float, limit: float, seed: int) -> tuple[float, float | None, float, int]:
    from scanwright.core import Augmentation, Candidate, Intensity, Measured, Memory, Plan, Preprocessing, Training
    from scanwright.io import Store
    from scanwright.models import build, count_parameters
    from scanwright.plan import KINDS, RECIPES
    from scanwright.training import train

    images, labels, val_images, val_labels = arrays
    both = np.concatenate([images, val_images])[:, None].astype(np.float16) / 255
    n, m = len(images), len(val_images)
    store = Store(
        ((both - 0.5) / 0.25).astype(np.float16),
        [str(i) for i in range(n + m)],
        np.array(["train"] * n + ["val"] * m),
        np.concatenate([labels, val_labels]).ravel().astype(np.float32),
        [str(i) for i in range(n + m)],
        "benchmark",
        [],
    )
    recipe, steps = RECIPES["resnet9"], 12 * n // 128
    augmentation: Augmentation = KINDS["radiograph"].augmentation
    plan = Plan(
        task="binary",
        classes=("normal", "pneumonia"),
        preprocessing=Preprocessing(dimension=2, size=(28, 28), intensity=Intensity(method="range", low=0, high=255)),
        augmentation=augmentation,
        training=Training(
            budget_s=limit, precision="bf16-mixed", channels_last=True, evaluations=12, schedule="one_cycle"
        ),
        candidates=(
            Candidate(
                name="resnet9",
                model="resnet9",
                arguments=recipe.arguments,
                batch_size=128,
                learning_rate=recipe.learning_rate,
                final_steps=steps,
            ),
        ),
        memory=Memory(predicted_mb=0, limit_mb=0),
        seed=seed,
    )
    looks: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as work:
        began = time.monotonic()

        def emit(event: object) -> None:
            if isinstance(event, Measured) and "val_auroc" in event.values:
                looks.append((time.monotonic() - began, event.values["val_auroc"]))

        train(plan, store, work=Path(work), emit=emit)
    reached = next((t for t, auroc in looks if auroc >= target), None)
    epoch_s = float(np.median(np.diff([t for t, _ in looks]))) * len(looks) / 12
    net = build("resnet9", dimension=2, in_channels=1, n_outputs=1, **recipe.arguments)
    return epoch_s, reached, max(a for _, a in looks), count_parameters(net)


def keras_cnn(arrays: Arrays, target: float, limit: float, seed: int) -> tuple[float, float | None, float, int]:
    import keras

    keras.utils.set_random_seed(seed)
    images, labels, val_images, val_labels = arrays
    x, v = (a[..., None].astype("float32") / 255 for a in (images, val_images))
    net = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    net.compile(optimizer="adam", loss="binary_crossentropy")
    return *until(
        lambda: net.fit(x, labels, batch_size=32, epochs=1, verbose=0) and None,
        lambda: float(roc_auc_score(val_labels, net.predict(v, batch_size=256, verbose=0))),
        target,
        limit,
    ), net.count_params()


def resnet18(arrays: Arrays, target: float, limit: float, seed: int) -> tuple[float, float | None, float, int]:
    from monai.networks.nets import resnet18 as build

    torch.manual_seed(seed)
    images, labels, val_images, val_labels = (torch.from_numpy(np.asarray(a)) for a in arrays)
    x, v = ((a[:, None].float() / 255 - 0.5) / 0.5 for a in (images, val_images))
    y = labels.float()
    net = build(spatial_dims=2, n_input_channels=1, num_classes=1, conv1_t_size=3, conv1_t_stride=1, no_max_pool=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    loss = torch.nn.BCEWithLogitsLoss()

    def epoch() -> None:
        net.train()
        for rows in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            loss(net(x[rows]), y[rows]).backward()
            optimizer.step()

    def score() -> float:
        net.eval()
        with torch.inference_mode():
            return float(roc_auc_score(val_labels, torch.cat([net(part) for part in v.split(256)])))

    return *until(epoch, score, target, limit), sum(p.numel() for p in net.parameters())


if __name__ == "__main__":
    main()
