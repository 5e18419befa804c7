"""Predictions of an ensemble on a whole split, in batches."""

from __future__ import annotations

import time

import torch

from lora_ensemble.contracts import LoadedBackbone, Split
from lora_ensemble.ensemble import Ensemble, evaluating
from lora_ensemble.errors import DataError
from lora_ensemble.loading import LABELS, MemberBatches, batches, opened
from lora_ensemble.predictions import Predictions
from lora_ensemble.randomness import seeded

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
