"""nnU-Net for a given number of seconds: its own trainer, loss, augmentation and schedule, stopped by a clock.

Called by ``beside_nnunet.py`` with a Python that has nnunetv2; it imports nothing of Scanwright.

The polynomial schedule takes the share of the time that has gone instead of the share of the epochs, so that it
ends when the time does. The clock runs from the first step on and stands still while validation is looked at
(whole cases, nnU-Net's sliding window, no mirror images), so that all the time goes into steps. Then nnU-Net's
predictor answers from ``checkpoint_final.pth``, without and with mirror images.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

CONFIGURATION, FOLD = "3d_fullres", 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="such as Dataset001_Hippocampus: planned, preprocessed, with splits_final.json")
    parser.add_argument("out", type=Path, help="for told.json and the answers")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--looks", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    random.seed(words.seed)
    np.random.seed(words.seed)  # noqa: NPY002 what nnU-Net draws from
    torch.manual_seed(words.seed)
    torch.set_num_threads(os.cpu_count() or 1)
    trainer = trainer_of(words.dataset)
    told = train(trainer, words.seconds, words.looks)
    told["predict_s"] = predict(trainer, words.dataset, words.out)
    (words.out / "told.json").write_text(json.dumps(told, indent=1))


def trainer_of(dataset: str) -> Any:
    """nnU-Net's default trainer with its default plan, on the CPU."""
    from nnunetv2.paths import nnUNet_preprocessed
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    folder = Path(nnUNet_preprocessed) / dataset
    plans = json.loads((folder / "nnUNetPlans.json").read_text()) | {"continue_training": False}
    about = json.loads((folder / "dataset.json").read_text())
    return nnUNetTrainer(plans, CONFIGURATION, FOLD, about, torch.device("cpu"))


def train(trainer: Any, limit_s: float, n_looks: int) -> dict[str, Any]:
    """Steps until the time is over: the curve, and what was trained."""
    trainer.on_train_start()
    trainer.network.train()
    curve, losses, elapsed, next_look = [], [], 0.0, limit_s / n_looks
    while elapsed < limit_s:
        began = time.monotonic()
        trainer.lr_scheduler.step(elapsed / limit_s * trainer.num_epochs)
        losses.append(float(trainer.train_step(next(trainer.dataloader_train))["loss"]))
        elapsed += time.monotonic() - began
        if elapsed >= min(next_look, limit_s):
            curve.append((round(elapsed, 1), round(look(trainer), 4)))
            print(f"{elapsed:.0f} s, step {len(losses)}: loss {losses[-1]:.3f}, Dice {curve[-1][1]:.3f}", flush=True)
            next_look = max(next_look + limit_s / n_looks, elapsed)
    trainer.on_train_end()
    shape = trainer.configuration_manager
    return {
        "seconds": round(elapsed, 1),
        "steps": len(losses),
        "curve": curve,
        "losses": [round(v, 4) for v in losses],
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "batch_size": int(shape.batch_size),
        "patch_size": [int(n) for n in shape.patch_size],
    }


def look(trainer: Any) -> float:
    """Dice over whole validation cases, mean over cases, then over structures."""
    predictor = predictor_of(mirrored=False)
    trainer.set_deep_supervision_enabled(False)
    predictor.manual_initialization(
        trainer.network, trainer.plans_manager, trainer.configuration_manager, None, trainer.dataset_json, "", None
    )
    _, cases = trainer.get_tr_and_val_datasets()
    dice = []
    for name in cases.identifiers:
        image, truth, *_ = cases.load_case(name)
        logits = predictor.predict_sliding_window_return_logits(torch.from_numpy(np.asarray(image[:])))
        answer, truth = logits.argmax(0).numpy(), np.asarray(truth[0])
        dice.append([overlap(truth == k, answer == k) for k in trainer.label_manager.foreground_labels])
    trainer.set_deep_supervision_enabled(trainer.enable_deep_supervision)
    trainer.network.train()
    return float(np.nanmean(dice, axis=0).mean())


def overlap(truth: np.ndarray, answer: np.ndarray) -> float:
    """Dice; NaN where both are empty."""
    size = int(truth.sum()) + int(answer.sum())
    return 2 * int((truth & answer).sum()) / size if size else float("nan")


def predictor_of(*, mirrored: bool) -> Any:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    return nnUNetPredictor(
        use_mirroring=mirrored, perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False
    )


def predict(trainer: Any, dataset: str, out: Path) -> dict[str, float]:
    """Answers of validation and test cases as NIfTI: seconds for each part, without and with mirror images."""
    from nnunetv2.paths import nnUNet_raw

    raw = Path(nnUNet_raw) / dataset
    splits = json.loads((Path(trainer.preprocessed_dataset_folder_base) / "splits_final.json").read_text())
    images = {
        "val": [raw / "imagesTr" / f"{name}_0000.nii.gz" for name in splits[FOLD]["val"]],
        "test": sorted((raw / "imagesTs").iterdir()),
    }
    seconds = {}
    for way, mirrored in (("plain", False), ("mirrored", True)):
        predictor = predictor_of(mirrored=mirrored)
        predictor.initialize_from_trained_model_folder(trainer.output_folder_base, (FOLD,), "checkpoint_final.pth")
        for part, paths in images.items():
            place = out / f"{part}-{way}"
            place.mkdir(parents=True, exist_ok=True)
            began = time.monotonic()
            predictor.predict_from_files_sequential(
                [[str(p)] for p in paths], [str(place / p.name[:-12]) for p in paths]
            )
            seconds[place.name] = round(time.monotonic() - began, 1)
    return seconds


if __name__ == "__main__":
    main()
