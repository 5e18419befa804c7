"""An ensemble that asks its members group after group, and of each row only as many as a rule says."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lora_ensemble.analysis.adaptive import Adaptive, clearness, filled, stages
from lora_ensemble.engine.ensemble import Ensemble, EnsembleOutput
from lora_ensemble.engine.folding import batch_size
from lora_ensemble.errors import ConfigurationError


class AskedInTurn(nn.Module):
    """Called as an ensemble. Members that a row did not ask repeat those that it did, in turn, so that what comes out
    has M members; `rule.asked` of it says how many there were."""

    def __init__(self, ensemble: Ensemble, rule: Adaptive):
        super().__init__()
        self.ensemble, self.rule = ensemble, rule
        self.members = ensemble.members

    @torch.no_grad()
    def forward(self, **inputs: Any) -> EnsembleOutput:
        rows = batch_size(inputs)
        left_B = torch.arange(rows)
        asked_B = torch.zeros(rows, dtype=torch.long)
        whole_MBC: Tensor | None = None
        before = 0
        for k in stages(self.members):
            logits = self.ensemble(members=range(before, k), **_rows(inputs, left_B, rows)).logits.float().cpu()
            if logits.ndim != 3:
                raise ConfigurationError(["predictions of tokens cannot be adaptive: leave out the budget"])
            if whole_MBC is None:
                whole_MBC = logits.new_zeros(self.members, *logits.shape[1:])
            whole_MBC[before:k, left_B] = logits
            stop = torch.ones(len(left_B), dtype=torch.bool)
            if k < self.members:
                stop = clearness(whole_MBC[:k, left_B], self.members) >= self.rule.margin
            asked_B[left_B[stop]] = k
            left_B, before = left_B[~stop], k
            if not len(left_B):
                break
        assert whole_MBC is not None
        return EnsembleOutput(logits=filled(whole_MBC, asked_B))


def _rows(inputs: dict[str, Any], chosen_B: Tensor, rows: int) -> dict[str, Any]:
    if len(chosen_B) == rows:
        return inputs
    return {
        name: value[chosen_B.to(value.device)] if isinstance(value, Tensor) and len(value) == rows else value
        for name, value in inputs.items()
    }
