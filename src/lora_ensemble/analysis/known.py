"""What is known of predictions: every tensor that a plug-in asks for by name is computed once, and kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from lora_ensemble.analysis.tensors import LARGE, NEEDS, TENSORS, wanted
from lora_ensemble.analysis.uncertainty import missing, names, plugin, uncertainties
from lora_ensemble.predictions import Pooling, Predictions


class Known:
    """Of one set of predictions. A tensor that is not there (labels, features) is missing in `has`."""

    def __init__(
        self, p: Predictions, pooling: Pooling = "mean-of-probabilities", reference: Predictions | None = None
    ):
        self.p, self.pooling, self.reference = p, pooling, reference
        self.uncertainties = [name for name in names() if missing(p, name, reference) is None]
        self._values: dict[str, Any] = {}

    def has(self, tensor: str) -> bool:
        """Whether there is a tensor of this name."""
        if tensor in TENSORS:
            absent = {"labels_B": self.p.labels_B is None, "features_MBD": self.p.features_MBD is None}
            absent["logits_MBC"] = self.p.from_probabilities
            return not absent.get(NEEDS.get(tensor, ""), False)
        return tensor.removesuffix("_B") in self.uncertainties

    def prepare(self, tensors: Iterable[str]) -> None:
        """Compute those of some tensors that are uncertainties, all in one pass over the logits."""
        new = {name for tensor in tensors if (name := tensor.removesuffix("_B")) in self.uncertainties}
        new = {name for name in new if f"{name}_B" not in self._values and f"{name}_B" not in TENSORS}
        if new:
            asked = {tensor for name in new for tensor in wanted(plugin(name).uncertainty)} & (TENSORS.keys() - LARGE)
            known = {tensor: self[tensor] for tensor in sorted(asked)}
            found = uncertainties(self.p, sorted(new), reference=self.reference, pooling=self.pooling, known=known)
            self._values.update({f"{name}_B": value_B for name, value_B in found.items()})

    def __getitem__(self, tensor: str) -> Tensor:
        if tensor not in self._values:
            if tensor in TENSORS:
                self._values[tensor] = TENSORS[tensor](self.p, self.pooling)
            else:
                self.prepare([tensor])
        value: Tensor = self._values[tensor]
        return value
