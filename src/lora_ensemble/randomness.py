"""Random numbers that follow from what they are for, and never from what was drawn before."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived_seed(*parts: int | str) -> int:
    """A seed for torch, 63 bits, from any parts such as (seed, "order", member, epoch)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator seeded by `derived_seed` of the parts."""
    return torch.Generator(device).manual_seed(derived_seed(*parts))


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Python's, NumPy's and torch's global random numbers follow from the parts inside the block, and are as before
    after it."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        seed = derived_seed(*parts)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
