"""The published interface of LoRA-Ensemble (github.com/prs-eth/LoRA-Ensemble): its settings and its weights."""

from lora_ensemble.interop.prs_eth.adopting import adopt_weights
from lora_ensemble.interop.prs_eth.differences import differences
from lora_ensemble.interop.prs_eth.prediction import predict
from lora_ensemble.interop.prs_eth.scores import published_scores
from lora_ensemble.interop.prs_eth.settings import experiment_from_settings
from lora_ensemble.interop.prs_eth.weights import load_weights

__all__ = ["adopt_weights", "differences", "experiment_from_settings", "load_weights", "predict", "published_scores"]
