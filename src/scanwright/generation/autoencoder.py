"""From images to codes a quarter as wide, and back: what flows where images are large."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from scanwright.generation.sizes import Design

_KL = 1e-4


class Autoencoder(nn.Module):
    """A variational autoencoder without attention.

    Args:
        design: Channels and widths.

    Source:
        Kingma and Welling (ICLR 2014); Rombach et al., Latent diffusion (CVPR 2022);
        ``monai.networks.nets.AutoencoderKL``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, design: Design) -> None:
        super().__init__()
        from monai.networks.nets import AutoencoderKL

        widths = design.encoder_widths
        none: Any = (False,) * len(widths)
        self.net = AutoencoderKL(
            spatial_dims=design.dimension,
            in_channels=design.channels,
            out_channels=design.channels,
            num_res_blocks=1,
            channels=widths,
            attention_levels=none,
            latent_channels=design.latent,
            norm_num_groups=8,
            with_encoder_nonlocal_attn=False,
            with_decoder_nonlocal_attn=False,
        )
        self.code_shape = (design.latent, *design.flow_size)
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("std", torch.ones(1))

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        """Loss of images ``(B, C, *size)`` with noise ``(B, *code_shape)``: absolute error, and a little divergence."""
        mean, spread = self.net.encode(images)
        back = self.net.decode(mean + spread * noise).float()
        mean, spread = mean.float(), spread.float()
        divergence = 0.5 * (mean.square() + spread.square() - 1 - 2 * spread.clamp_min(1e-6).log()).mean()
        wrong: Tensor = (back - images).abs().mean() + _KL * divergence
        return wrong

    @torch.no_grad()
    def settle(self, images: Tensor) -> None:
        """Measure mean and spread of the codes of some images, so that codes become standard."""
        codes = torch.cat([self.net.encode(part)[0] for part in images.split(16)])
        self.mean.fill_(float(codes.mean()))
        self.std.fill_(max(float(codes.std()), 1e-6))

    @torch.no_grad()
    def codes(self, images: Tensor, device: str) -> Tensor:
        """Standard codes ``(N, *code_shape)`` of images, on the processor."""
        parts = [(self.net.encode(part.to(device))[0] - self.mean) / self.std for part in images.split(16)]
        return torch.cat([part.float().cpu() for part in parts])

    @torch.no_grad()
    def images(self, codes: Tensor) -> Tensor:
        """Images of standard codes."""
        back: Tensor = self.net.decode(codes * self.std + self.mean)
        return back
