"""Figures: one file each, arrays in, a matplotlib `Figure` out; nothing is shown or saved.

S is the axis of seeds: repeated runs of one method. Save a figure with `figure.savefig("name.pdf")`.
"""

from lora_ensemble.report.figures.cost import cost_bars
from lora_ensemble.report.figures.disagreement import disagreement_matrix
from lora_ensemble.report.figures.epochs import epoch_curves
from lora_ensemble.report.figures.joint import joint_histogram
from lora_ensemble.report.figures.members_curve import members_curves
from lora_ensemble.report.figures.reliability import reliability_diagram
from lora_ensemble.report.figures.risk_coverage import risk_coverage_curves
from lora_ensemble.report.figures.roc import roc_curves
from lora_ensemble.report.figures.study import study_curve
from lora_ensemble.report.figures.uncertainty import uncertainty_histogram

__all__ = [
    "cost_bars",
    "disagreement_matrix",
    "epoch_curves",
    "joint_histogram",
    "members_curves",
    "reliability_diagram",
    "risk_coverage_curves",
    "roc_curves",
    "study_curve",
    "uncertainty_histogram",
]
