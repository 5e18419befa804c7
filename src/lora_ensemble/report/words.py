"""How a report writes scores and quantities for a reader."""

from __future__ import annotations

UNCERTAINTIES = {"entropy": "entropy", "mutual_information": "mutual information", "msp": "1 − largest probability"}
"""Uncertainties that are drawn, named as in the scores `auroc_...`."""


def quantity(cost: str, value: float) -> str:
    """A cost with its unit: 0.00123 seconds are "1.23 ms", 1.2e6 parameters "1.2 M"."""
    if "seconds" in cost:
        return _scaled(value, ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")))
    if "bytes" in cost:
        return _scaled(value, ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB")))
    return _scaled(value, ((1e9, "B"), (1e6, "M"), (1e3, "k"), (1.0, "")))


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    """In the largest unit of which it has at least one, with three digits; whole numbers stay whole."""
    size, unit = next(((size, unit) for size, unit in units if abs(value) >= size), units[-1])
    scaled = value / size
    digits = max(0, 2 - len(f"{abs(scaled):.0f}") + 1) if scaled % 1 else 0
    return f"{scaled:,.{digits}f} {unit}".strip()
