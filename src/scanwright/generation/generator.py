"""A learnt generator: seeds and classes to images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scanwright.core import ModelFileError
from scanwright.generation.autoencoder import Autoencoder
from scanwright.generation.flow import guided, sample
from scanwright.generation.network import Velocity
from scanwright.generation.sizes import Design

STEPS = 20
"""Steps of the sampler unless a person asks for more or fewer; each looks twice (Heun)."""

GUIDANCE = 1.5
"""How far classes are pushed from what has no class; 1 is not at all."""


@dataclass(eq=False)
class Generator:
    """Networks that draw images.

    Args:
        design: What they are built from.
        flow: The velocity network.
        autoencoder: Codes to images; None where pixels flow.
        guidance: Strength of classifier-free guidance.
        device: Torch device.
    """

    design: Design
    flow: Velocity
    autoencoder: Autoencoder | None = None
    guidance: float = GUIDANCE
    device: str = "cpu"

    @torch.no_grad()
    def draw(
        self,
        labels: Sequence[int] | NDArray[np.intp],
        seeds: Sequence[int] | NDArray[np.int64],
        *,
        steps: int = STEPS,
        sampler: str = "heun",
        batch: int = 64,
        tell: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Draw one image for each seed; the same seed and class give the same image.

        Args:
            labels: Classes ``(N,)``; ignored by a generator without classes.
            seeds: Seeds ``(N,)``, 0 or more.
            steps: Steps of the sampler.
            sampler: A key of ``flow.SAMPLERS``.
            batch: Images drawn together.
            tell: Called with the number of images drawn so far.

        Returns:
            ``(N, C, *size)``, -1 .. 1.
        """
        found = []
        classes = np.zeros(len(seeds), np.int64) if not self.design.n_classes else np.asarray(labels, np.int64)
        self.flow.to(self.device).eval()
        for start in range(0, len(seeds), batch):
            part = slice(start, start + batch)
            noise = torch.from_numpy(np.stack([self._noise(int(s)) for s in seeds[part]])).to(self.device)
            label = torch.from_numpy(classes[part]).to(self.device)
            drawn = self._images(sample(self._field(), noise, label, steps=steps, sampler=sampler))
            found.append(drawn.clamp(-1, 1).float().cpu().numpy())
            if tell is not None:
                tell(min(start + batch, len(seeds)))
        return np.concatenate(found) if found else np.empty((0, self.design.channels, *self.design.size), np.float32)

    def _field(self) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        return guided(self.flow, self.design.n_classes, self.guidance)

    def _images(self, flowed: Tensor) -> Tensor:
        return flowed if self.autoencoder is None else self.autoencoder.to(self.device).images(flowed)

    def _noise(self, seed: int) -> NDArray[np.float32]:
        shape = (self.design.flow_channels, *self.design.flow_size)
        return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)

    def weights(self) -> bytes:
        """All weights as safetensors."""
        from safetensors.torch import save

        state = {f"flow.{k}": v for k, v in self.flow.state_dict().items()}
        if self.autoencoder is not None:
            state |= {f"autoencoder.{k}": v for k, v in self.autoencoder.state_dict().items()}
        return save({k: v.detach().cpu().contiguous() for k, v in state.items()})

    @classmethod
    def of(cls, design: Design, weights: bytes, *, guidance: float = GUIDANCE, device: str = "cpu") -> Generator:
        """Build the networks with weights that :meth:`weights` gave.

        Raises:
            ModelFileError: They do not fit the design.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        flow, autoencoder = Velocity(design), Autoencoder(design) if design.latent else None
        try:
            state = load(weights)
            flow.load_state_dict({k[5:]: v for k, v in state.items() if k.startswith("flow.")})
            if autoencoder is not None:
                autoencoder.load_state_dict({k[12:]: v for k, v in state.items() if k.startswith("autoencoder.")})
        except (RuntimeError, SafetensorError) as error:
            raise ModelFileError(
                "The weights of the generator do not fit its design.",
                "Weights and design come from one learning.",
                "Copy the file again, or learn the generator anew.",
            ) from error
        return cls(design, flow.eval(), autoencoder.eval() if autoencoder else None, guidance, device)


def seeds_of(seed: int, purpose: str, n: int, *, first: int = 0) -> NDArray[np.int64]:
    """Seeds of single images.

    Args:
        seed: What a person gave.
        purpose: Keeps images for different ends apart.
        n: How many.
        first: Number of the first.

    Returns:
        ``(n,)``, below 2**48 so that every table keeps them whole.
    """
    made = [hashlib.blake2b(f"{seed}/{purpose}/{k}".encode(), digest_size=6).digest() for k in range(first, first + n)]
    return np.array([int.from_bytes(b, "big") for b in made], dtype=np.int64)
