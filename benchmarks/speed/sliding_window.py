"""Sliding-window inference beside MONAI and nnU-Net: time, peak memory and agreement, same network, same volume.

    python benchmarks/speed/sliding_window.py [--shape 192 192 160] [--window 96] [--steps 40] [--threads 2]
    python benchmarks/speed/sliding_window.py --run runs/hippocampus     # the network that a run has trained, on a test case

Without ``--run`` a MONAI BasicUNet (three classes) is fitted for a few steps on a synthetic body, so that its borders
mean something, and exported as ONNX. Then each contender runs in a process of its own:

* MONAI: ``SlidingWindowInferer`` in torch float32, Gaussian weights, overlap .5;
* nnU-Net: ``nnUNetPredictor``'s sliding window in torch float32, where ``--nnunet PYTHON`` names a Python that
  has nnunetv2 (an environment of its own, made as ``benchmarks/quality/beside_nnunet.py`` says, and then
  ``pip install --no-deps monai`` for the network; it is no dependency);
* ours: ONNX on OpenVINO; float32 and bfloat16, overlap .5 and .25, without and with skipping air.

Time is that of the whole case, after one window that warms up; "faster" compares CPU seconds, which a busy
machine does not distort. Memory is the peak of the process (all its
libraries counted) and, beside it, what it grew by after the libraries and the network were loaded.
Agreement is the share of voxels with MONAI's label, of all voxels and of those that either calls foreground.
Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

OURS = {
    "ours f32 .5": ("f32", 0.5, "none"),
    "ours f32 .5 air skipped": ("f32", 0.5, "body"),
    "ours bf16 .5": ("bf16", 0.5, "none"),
    "ours bf16 .25": ("bf16", 0.25, "none"),
    "ours f32 .25 air skipped": ("f32", 0.25, "body"),
    "ours bf16 .25 air skipped": ("bf16", 0.25, "body"),
}
FEATURES = (16, 16, 32, 64, 128, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(192, 192, 160))
    parser.add_argument("--window", type=int, default=96)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--nnunet", help="a Python with nnunetv2")
    parser.add_argument("--only", nargs="*", choices=list(OURS), default=list(OURS))
    parser.add_argument("--run", type=Path, help="folder of a finished segmentation run")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(options, folder, "make", sys.executable)
        contenders = {"monai f32 .5": sys.executable}
        if options.nnunet:
            contenders["nnunet f32 .5"] = options.nnunet
        contenders |= dict.fromkeys(options.only, sys.executable)
        told = {who: run(options, folder, who, python) for who, python in contenders.items()}
        table(told, folder)


def run(options: argparse.Namespace, folder: Path, who: str, python: str) -> dict[str, float]:
    """One contender in a process of its own."""
    size = [str(n) for n in options.shape]
    command = [python, __file__, "--child", who, "--folder", str(folder), "--shape", *size]
    command += ["--window", str(options.window), "--steps", str(options.steps), "--threads", str(options.threads)]
    command += ["--run", str(options.run)] if options.run else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{who}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def child(options: argparse.Namespace) -> None:
    if options.child == "make":
        take(options) if options.run else make(options)
        print("{}")
        return
    volume = np.load(options.folder / "volume.npy")
    runner = {"monai": monai, "nnunet": nnunet, "ours": ours}[options.child.split()[0]]
    answer = runner(options, volume)
    before, began, cpu = peak_mb(), time.perf_counter(), time.process_time()
    labels = answer()
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    np.save(options.folder / f"{options.child}.npy", labels.astype(np.uint8))
    print(json.dumps({"seconds": seconds, "cpu": cpu_s, "peak": peak_mb(), "grown": peak_mb() - before}))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def network() -> Any:
    from monai.networks.nets import BasicUNet

    return BasicUNet(3, 1, 3, features=FEATURES)


def body(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Air, a body with texture, and two organs: 0 is air, values to about 1."""
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(seed)
    place = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")

    def ball(centre: Any, radii: Any) -> np.ndarray:
        return sum(((p - c) / r) ** 2 for p, c, r in zip(place, centre, radii, strict=True)) < 1

    values = np.where(ball((0, 0, 0), (0.75, 0.55, 1.2)), 0.5, 0.0)
    labels = np.zeros(shape, np.int64)
    for code, brightness in ((1, 0.65), (2, 0.38)):
        organ = ball(random.uniform(-0.25, 0.25, 3), random.uniform(0.12, 0.3, 3))
        labels[organ] = code
        values[organ] = brightness
    texture = gaussian_filter(random.standard_normal(shape), 1) * 0.25
    return (values + (values > 0) * texture).clip(0, 1).astype(np.float32), labels


def make(options: argparse.Namespace) -> None:
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    net, side = network(), min(48, options.window)
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3)
    random = np.random.default_rng(0)
    for step in range(options.steps):
        values, labels = body((side * 2,) * 3, step % 4)
        at = tuple(slice(s, s + side) for s in random.integers(side // 4, side, 3))
        logits = net(torch.from_numpy(values[at])[None, None])
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels[at])[None])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.eval()
    torch.save(net.state_dict(), options.folder / "network.pt")
    example = torch.zeros(2, 1, *[options.window] * 3)
    program = torch.onnx.export(
        net,
        (example,),
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=18,
        dynamo=True,
        verbose=False,
    )
    program.save(str(options.folder / "network.onnx"), external_data=False)
    np.save(options.folder / "volume.npy", body(tuple(options.shape), 7)[0][None].astype(np.float16).astype(np.float32))


def take(options: argparse.Namespace) -> None:
    """The exported network of a run, and its first test case as the network sees it."""
    from scanwright.io import read_cohort, read_volume
    from scanwright.preprocessing import lay_out

    (options.folder / "network.onnx").write_bytes((options.run / "work" / "network.onnx").read_bytes())
    cohort = read_cohort(options.run)
    volume = read_volume(cohort.of("test")[0].source, root=cohort.root)
    np.save(options.folder / "volume.npy", lay_out(volume, plan_of(options).preprocessing))


def plan_of(options: argparse.Namespace) -> Any:
    """The plan of the run, or one for the network that was fitted here."""
    from scanwright.core import Augmentation, Intensity, Memory, Plan, Preprocessing, Segmentation, Training

    if options.run:
        return Plan.from_json((options.run / "plan.json").read_text())
    return Plan(
        task="segment",
        classes=("one", "two"),
        preprocessing=Preprocessing(
            dimension=3, size=(options.window,) * 3, intensity=Intensity(method="window", low=0, high=1)
        ),
        segmentation=Segmentation(codes=((0,), (1,))),
        augmentation=Augmentation(),
        training=Training(budget_s=60),
        candidates=(),
        memory=Memory(predicted_mb=1, limit_mb=2),
    )


def window_of(options: argparse.Namespace) -> list[int]:
    return list(plan_of(options).preprocessing.size) if options.run else [options.window] * 3


def torch_network(options: argparse.Namespace) -> Any:
    import torch

    torch.set_num_threads(options.threads)
    if options.run:
        from scanwright.training import load_trained
        from scanwright.training.segment.train import load_segmenter

        trained = load_trained(next((options.run / "work").glob("train-*")))
        return load_segmenter(trained, plan_of(options))
    net = network()
    net.load_state_dict(torch.load(options.folder / "network.pt"))
    return net.eval()


def monai(options: argparse.Namespace, volume: np.ndarray) -> Any:
    import torch
    from monai.inferers import SlidingWindowInferer

    net = torch_network(options)
    window = window_of(options)
    inferer = SlidingWindowInferer(window, sw_batch_size=1, overlap=0.5, mode="gaussian")
    with torch.inference_mode():
        net(torch.zeros(1, len(volume), *window))

    def answer() -> np.ndarray:
        with torch.inference_mode():
            return inferer(torch.from_numpy(volume)[None], net)[0].argmax(dim=0).numpy()

    return answer


def nnunet(options: argparse.Namespace, volume: np.ndarray) -> Any:
    from types import SimpleNamespace

    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    device = torch.device("cpu")
    predictor = nnUNetPredictor(0.5, use_gaussian=True, use_mirroring=False, device=device, allow_tqdm=False)
    predictor.network = torch_network(options)
    predictor.configuration_manager = SimpleNamespace(patch_size=window_of(options))
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=3)
    predictor.allowed_mirroring_axes = None
    with torch.inference_mode():
        predictor.network(torch.zeros(1, len(volume), *window_of(options)))

    def answer() -> np.ndarray:
        return predictor.predict_sliding_window_return_logits(torch.from_numpy(volume)).argmax(dim=0).numpy()

    return answer


def ours(options: argparse.Namespace, volume: np.ndarray) -> Any:
    from scanwright.core import Grid
    from scanwright.inference.engines import open_engine
    from scanwright.inference.segment import Decision, on_source, slide_slabs
    from scanwright.preprocessing import lattice

    precision, overlap, crop = OURS[options.child]
    plan = plan_of(options)
    plan = plan.model_copy(
        update={"segmentation": plan.segmentation.model_copy(update={"overlap": overlap, "crop": crop})}
    )
    data = (options.folder / "network.onnx").read_bytes()
    engine = open_engine(data, threads=options.threads, precision=precision).engine
    engine.run(np.zeros((1, len(volume), *window_of(options)), np.float32))
    array = volume.astype(np.float16)
    place = lattice(
        Grid(volume.shape[1:]), plan.preprocessing.model_copy(update={"orientation": None, "spacing_mm": None})
    )

    def answer() -> np.ndarray:
        slabs = slide_slabs(engine, array, plan, batch=1)
        return on_source(slabs, place, Decision(chances=False), n_outputs=plan.n_outputs).labels

    return answer


def table(told: dict[str, dict[str, float]], folder: Path) -> None:
    first = next(iter(told))
    truth, base = np.load(folder / f"{first}.npy"), told[first]
    print(f"{'':28}{'time s':>9}{'CPU s':>9}{'faster':>8}{'peak MB':>9}{'grown MB':>10}{'equal':>10}{'foreground':>12}")
    for who, row in told.items():
        answer = np.load(folder / f"{who}.npy")
        front = (answer > 0) | (truth > 0)
        inner = (answer == truth)[front].mean() if front.any() else 1.0
        print(
            f"{who:28}{row['seconds']:9.1f}{row['cpu']:9.1f}{base['cpu'] / max(row['cpu'], 1e-9):8.2f}"
            f"{row['peak']:9.0f}{row['grown']:10.0f}{(answer == truth).mean():10.4%}{inner:12.3%}"
        )


if __name__ == "__main__":
    main()
