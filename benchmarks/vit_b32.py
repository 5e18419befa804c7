"""ViT-B/32 with random weights, and its inputs: what the engine's benchmarks run."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def backbone(device: str, dtype: str, classes: int = 100) -> nn.Module:
    """12 layers, width 768, 50 tokens; frozen."""
    torch.manual_seed(0)
    model = ViTForImageClassification(ViTConfig(patch_size=32, num_labels=classes))
    return model.requires_grad_(False).to(device, DTYPES[dtype]).eval()


def batch(rows: int, device: str, dtype: str, classes: int = 100) -> tuple[Tensor, Tensor]:
    """Images (rows, 3, 224, 224) and labels (rows,)."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, 3, 224, 224, generator=generator)
    y = torch.randint(0, classes, (rows,), generator=generator)
    return x.to(device, DTYPES[dtype]), y.to(device)
