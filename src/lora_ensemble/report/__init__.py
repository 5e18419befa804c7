"""What one sees of predictions: figures, an HTML page that needs no other file, and the JSON it is made from.

runs = [summarise(p, "lora", ood=letters, seed=0, examples=10), ...]
results = Results("Digits", tuple(runs))
results.save("results.json")
write_report("report.html", Results.load("results.json"))
results.table().to_latex()
"""

from lora_ensemble.report.document import write_report
from lora_ensemble.report.page import report
from lora_ensemble.report.results import Results
from lora_ensemble.report.run_result import COSTS, RunResult
from lora_ensemble.report.summary import summarise

__all__ = ["COSTS", "Results", "RunResult", "report", "summarise", "write_report"]
