"""Layers of weather over an image, (H, W) of values 0 .. 1: clouds, frost and snow, drawn and never photographed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lora_ensemble.images.blurring import blurred, trail


def plasma(size: tuple[int, int], decay: float, generator: torch.Generator) -> Tensor:
    """Clouds by the diamond-square algorithm (Fournier, Fussell and Carpenter 1982) on a square of a power of two whose
    edges meet. decay: by how much the wobble shrinks at each halving of the step; the higher, the smoother."""
    side = 1 << (max(*size, 2) - 1).bit_length()
    grid = torch.zeros(side, side)
    step, wobble = side, 1.0

    def noise(like: Tensor) -> Tensor:
        return wobble * (2 * torch.rand(like.shape, generator=generator) - 1)

    while step >= 2:
        half = step // 2
        corners = grid[::step, ::step]
        square = corners + corners.roll(-1, 0)
        square = (square + square.roll(-1, 1)) / 4
        grid[half::step, half::step] = square + noise(square)
        centres = grid[half::step, half::step]
        beside = (centres + centres.roll(1, 0) + corners + corners.roll(-1, 1)) / 4
        grid[::step, half::step] = beside + noise(beside)
        below = (centres + centres.roll(1, 1) + corners + corners.roll(-1, 0)) / 4
        grid[half::step, ::step] = below + noise(below)
        step, wobble = half, wobble / decay
    grid = grid - grid.min()
    return (grid / grid.max())[: size[0], : size[1]]


def crystals(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Frost on a window: thin bright ridges where clouds cross their mean, denser towards one side."""
    coarse, fine, edge = (plasma(size, decay, generator) for decay in (1.9, 1.5, 2.6))
    ridges = torch.maximum(*(1 - (2 * clouds - 1).abs() for clouds in (coarse, fine)))
    return (0.75 * ridges.pow(3) + 0.45 * edge).clamp(0, 1)


def flakes(
    size: tuple[int, int],
    level: tuple[float, float],
    zoom: float,
    least: float,
    movement: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Falling snow. level: mean and deviation of the noise of which flakes are the part above `least`; zoom: their size
    in pixels; movement: length and sigma of their trails."""
    coarse = [max(2, -int(-side // zoom)) for side in size]
    noise = level[0] + level[1] * torch.randn(coarse, generator=generator)
    layer = F.interpolate(noise[None, None], size, mode="bilinear", align_corners=True)[0, 0]
    layer = torch.where(layer < least, 0, layer).clamp(0, 1)
    degrees = -135 + 90 * float(torch.rand((), generator=generator))
    length, sigma = movement
    return blurred(layer[None], *trail(2 * length, sigma, degrees, int(2 * length) + 1))[0]
