"""What is made of predictions: scores with intervals, comparisons, calibration, selective prediction."""

from lora_ensemble.analysis.abstention import Abstention, Kept, abstain
from lora_ensemble.analysis.calibration import (
    Temperature,
    calibrate,
    compare_calibrations,
    cross_fitted,
    fit_temperature,
)
from lora_ensemble.analysis.comparison import Table, table
from lora_ensemble.analysis.conformal import Conformal, Coverage, PredictionSets, conformal
from lora_ensemble.analysis.cost_curve import CostCurve, cost_curve
from lora_ensemble.analysis.epochs import EpochsCurve, epochs_curve, epochs_json, epochs_table
from lora_ensemble.analysis.evaluation import evaluate
from lora_ensemble.analysis.groups import evaluate_groups, worst_group
from lora_ensemble.analysis.joint import dyadic_log_score
from lora_ensemble.analysis.learned_members import learned_members
from lora_ensemble.analysis.members_curve import MembersCurve, members_curve
from lora_ensemble.analysis.paired import Paired, holm, paired
from lora_ensemble.analysis.pairs import Pair, Pairs, all_pairs
from lora_ensemble.analysis.raw_and_calibrated import evaluate_both
from lora_ensemble.analysis.reliability import Reliability, reliability
from lora_ensemble.analysis.risk_coverage import RiskCoverage, risk_coverage
from lora_ensemble.analysis.roc import Roc, roc
from lora_ensemble.analysis.scores import Scores
from lora_ensemble.analysis.shift_curve import ShiftCurve, shift_curve
from lora_ensemble.analysis.study import Study, study_of
from lora_ensemble.analysis.uncertainty import uncertainty

__all__ = [
    "Abstention",
    "Conformal",
    "CostCurve",
    "Coverage",
    "EpochsCurve",
    "Kept",
    "MembersCurve",
    "Pair",
    "Paired",
    "Pairs",
    "PredictionSets",
    "Reliability",
    "RiskCoverage",
    "Roc",
    "Scores",
    "ShiftCurve",
    "Study",
    "Table",
    "Temperature",
    "abstain",
    "all_pairs",
    "calibrate",
    "compare_calibrations",
    "conformal",
    "cost_curve",
    "cross_fitted",
    "dyadic_log_score",
    "epochs_curve",
    "epochs_json",
    "epochs_table",
    "evaluate",
    "evaluate_both",
    "evaluate_groups",
    "fit_temperature",
    "holm",
    "learned_members",
    "members_curve",
    "paired",
    "reliability",
    "risk_coverage",
    "roc",
    "shift_curve",
    "study_of",
    "table",
    "uncertainty",
    "worst_group",
]
