"""Random numbers that belong to rows: the same row gets the same one, wherever it stands and whatever is beside it."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from lora_ensemble.predictions import Predictions

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniforms(p: Predictions, seed: int) -> Tensor:
    """(B,) float64 in [0, 1), drawn from the row's id, or from its logits where there are no ids, and the seed.

    Neither the order of rows nor that of members changes them. Rows without ids and with equal logits are told apart by
    their number among themselves.
    """
    salt = np.uint64(seed * 2 + 1)
    if p.ids is not None:
        digests = (hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest() for name in p.ids)
        key_B = np.frombuffer(b"".join(digests), dtype=np.uint64)
    else:
        key_B = _of_logits(p)
        _, group_B, count = np.unique(key_B, return_inverse=True, return_counts=True)
        order_B = np.argsort(group_B, kind="stable")
        number_B = np.empty(len(key_B), dtype=np.uint64)
        number_B[order_B] = np.concatenate([np.arange(n, dtype=np.uint64) for n in count])
        key_B = _mixed(key_B + number_B * _GOLDEN)
    mixed_B = _mixed(key_B ^ _mixed(np.full(1, salt)))
    return torch.from_numpy((mixed_B >> np.uint64(11)).astype(np.float64) / 2**53)


def _of_logits(p: Predictions) -> np.ndarray:
    """(B,) uint64; a sum over members, which knows no order."""
    place_C = _mixed(np.arange(1, p.num_classes + 1, dtype=np.uint64))
    key_B = np.zeros(len(p), dtype=np.uint64)
    for logits_BC in p.logits_MBC:
        bits_BC = (logits_BC.contiguous() + 0.0).numpy().view(np.uint32).astype(np.uint64)
        key_B += _mixed(_mixed(bits_BC ^ place_C).sum(1, dtype=np.uint64))
    return key_B


def _mixed(x: np.ndarray) -> np.ndarray:
    """The output function of splitmix64 (Steele, Lea and Flood 2014)."""
    x = x + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed
