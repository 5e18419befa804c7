"""What JPEG takes from an image: the rounding of its blocks' frequencies, without writing a file.

Baseline JPEG (ITU-T T.81) as encoders use it by default: colours at half the resolution, the tables of Annex K scaled
by quality as the Independent JPEG Group's encoder does."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, *[99] * 32,
)  # fmt: skip
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def compressed(image: Tensor, quality: int) -> Tensor:
    """image: (channels, H, W) of values 0 .. 1. quality: 1 to 100."""
    levels = image * 255
    if len(levels) == 1:
        return _coded(levels - 128, _table(_LUMINANCE, quality)).add(128).round() / 255
    luminance, *colours = torch.einsum("ij,jhw->ihw", torch.tensor(_TO_YCC), levels)
    height, width = luminance.shape
    even = F.pad(torch.stack(colours)[None], (0, width % 2, 0, height % 2), mode="replicate")
    halved = _coded(F.avg_pool2d(even, 2)[0].round(), _table(_CHROMINANCE, quality))
    whole = F.interpolate(halved[None], scale_factor=2, mode="bilinear", align_corners=False)[0, :, :height, :width]
    luminance = _coded(luminance[None].round() - 128, _table(_LUMINANCE, quality)) + 128
    return torch.einsum("ij,jhw->ihw", torch.tensor(_TO_RGB), torch.cat([luminance, whole])).round() / 255


def _table(base: tuple[int, ...], quality: int) -> Tensor:
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return torch.tensor([min(max((value * percent + 50) // 100, 1), 255) for value in base]).float().reshape(8, 8)


def _cosines() -> Tensor:
    """(8, 8) orthonormal: frequency, place."""
    k, n = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    cosines = torch.cos((2 * n + 1) * k * math.pi / 16) / 2
    cosines[0] /= math.sqrt(2)
    return cosines


def _coded(planes: Tensor, table: Tensor) -> Tensor:
    """Planes (P, H, W) of levels around 0, with every block's frequencies rounded to multiples of the table."""
    height, width = planes.shape[-2:]
    padded = F.pad(planes[None], (0, -width % 8, 0, -height % 8), mode="replicate")[0]
    blocks = padded.unflatten(2, (-1, 8)).unflatten(1, (-1, 8)).transpose(2, 3)
    cosines = _cosines()
    kept = (cosines @ blocks @ cosines.T / table).round() * table
    back = (cosines.T @ kept @ cosines).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    levels: Tensor = back[:, :height, :width].clamp(-128, 127)
    return levels
