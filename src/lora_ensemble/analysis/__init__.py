"""What is made of predictions: scores with intervals, comparisons, calibration, selective prediction."""

from lora_ensemble.analysis.calibration import Temperature, fit_temperature
from lora_ensemble.analysis.comparison import Table, table
from lora_ensemble.analysis.evaluation import evaluate
from lora_ensemble.analysis.members_curve import MembersCurve, members_curve
from lora_ensemble.analysis.reliability import Reliability, reliability
from lora_ensemble.analysis.risk_coverage import RiskCoverage, risk_coverage
from lora_ensemble.analysis.scores import Scores

__all__ = [
    "MembersCurve",
    "Reliability",
    "RiskCoverage",
    "Scores",
    "Table",
    "Temperature",
    "evaluate",
    "fit_temperature",
    "members_curve",
    "reliability",
    "risk_coverage",
    "table",
]
