"""Blurs of images (channels, H, W): a kernel is a cloud of weighted points, which need not lie on pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def blurred(image: Tensor, offsets_PX: Tensor, weights_P: Tensor) -> Tensor:
    """Each pixel becomes the weighted mean of the image at points beside it; beyond the edge is the edge's colour.

    offsets_PX: (P, 2) down and right, in pixels. A point between pixels counts for its four neighbours (bilinear)."""
    reach = int(offsets_PX.abs().max().ceil()) + 1
    kernel = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    low_PX = offsets_PX.floor()
    part_PX = offsets_PX - low_PX
    for down in (0, 1):
        for right in (0, 1):
            rows, columns = (low_PX + torch.tensor([down, right])).long().add(reach).unbind(1)
            share = (part_PX[:, 0] if down else 1 - part_PX[:, 0]) * (part_PX[:, 1] if right else 1 - part_PX[:, 1])
            kernel.index_put_((rows, columns), (weights_P * share).double(), accumulate=True)
    kernel = (kernel / kernel.sum()).to(image.dtype)
    padded = F.pad(image[None], (reach,) * 4, mode="replicate")
    channels = image.shape[0]
    return F.conv2d(padded, kernel.expand(channels, 1, -1, -1), groups=channels)[0]


def disc(radius: float) -> tuple[Tensor, Tensor]:
    """Points and weights that fill a disc evenly."""
    rings = max(8, math.ceil(4 * radius))
    line = (torch.arange(2 * rings, dtype=torch.float64) + 0.5) / rings - 1
    points = torch.cartesian_prod(line, line)
    points = points[points.square().sum(1) <= 1] * radius
    return points, torch.ones(len(points), dtype=torch.float64)


def trail(length: float, sigma: float, degrees: float, steps: int) -> tuple[Tensor, Tensor]:
    """Points and weights of a movement that fades: half a bell curve along a line, from the pixel itself."""
    along = torch.linspace(0, length, steps, dtype=torch.float64)
    angle = math.radians(degrees)
    direction = torch.tensor([math.sin(angle), math.cos(angle)], dtype=torch.float64)
    return along[:, None] * direction, torch.exp(-(along**2) / (2 * max(sigma, 1e-6) ** 2))


def gaussian(image: Tensor, sigma: float | tuple[float, float], cut: float = 4.0) -> Tensor:
    """sigma: in pixels, down and right. Beyond the edge is the edge's colour. cut: width of the kernel in sigmas."""
    sigmas = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    for axis, width in enumerate(sigmas):
        reach = max(1, int(cut * width + 0.5))
        at = torch.arange(-reach, reach + 1, dtype=torch.float64)
        kernel = torch.exp(-(at**2) / (2 * max(width, 1e-6) ** 2))
        kernel = (kernel / kernel.sum()).to(image.dtype)
        shape = (1, 1, -1, 1) if axis == 0 else (1, 1, 1, -1)
        padding = (0, 0, reach, reach) if axis == 0 else (reach, reach, 0, 0)
        channels = image.shape[0]
        weights = kernel.reshape(shape).expand(channels, -1, -1, -1)
        image = F.conv2d(F.pad(image[None], padding, mode="replicate"), weights, groups=channels)[0]
    return image


def sampled(image: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """The image at other places: row `down`, column `right`, (H, W) in pixels, bilinear; beyond the edge mirrored."""
    height, width = image.shape[-2:]
    grid = torch.stack([(2 * right + 1) / width - 1, (2 * down + 1) / height - 1], -1)
    return F.grid_sample(
        image[None], grid[None].to(image.dtype), mode="bilinear", padding_mode="reflection", align_corners=False
    )[0]


def places(image: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel, (H, W) each."""
    height, width = image.shape[-2:]
    down, right = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    return down, right
