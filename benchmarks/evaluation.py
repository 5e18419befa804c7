"""Time and memory of a full evaluation: all scores, raw and calibrated, intervals, each member, OOD, curves.

    python benchmarks/evaluation.py --members 16 --samples 50000 --classes 100 --ood 10000

Wall-clock and processor seconds, and the peak of resident memory above what stood before, the logits included there.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch

from lora_ensemble.analysis import calibrate, evaluate_both, reliability, risk_coverage, roc
from lora_ensemble.predictions import Predictions


def drawn(members: int, samples: int, classes: int, signal: float, seed: int) -> Predictions:
    """Members that share most of their noise; about as certain as a trained network."""
    generator = torch.Generator().manual_seed(seed)
    labels_B = torch.randint(classes, (samples,), generator=generator)
    logits_MBC = torch.empty(members, samples, classes)
    shared_BC = torch.randn(samples, classes, generator=generator)
    shared_BC[torch.arange(samples), labels_B] += signal
    for m in range(members):
        logits_MBC[m] = 2 * (shared_BC + 0.5 * torch.randn(samples, classes, generator=generator))
    return Predictions(logits_MBC, labels_B)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (("members", 16), ("samples", 50_000), ("classes", 100), ("ood", 10_000), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    p = drawn(options.members, options.samples, options.classes, 4.0, 0)
    ood = drawn(options.members, options.ood, options.classes, 1.0, 1) if options.ood else None
    temperature = calibrate(drawn(options.members, 2_000, options.classes, 4.0, 2))
    few, few_ood = p.rows(slice(0, 100)), ood and ood.rows(slice(0, 100))
    evaluate_both(few, few_ood, calibration=temperature, resamples=10)  # imports
    before, clock, processor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.time(), time.process_time()
    scores = evaluate_both(p, ood, calibration=temperature)
    for part in (p, temperature(p)):
        reliability(part)
        risk_coverage(part)
        if ood is not None:
            roc(part, ood)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{options.members} x {options.samples} x {options.classes}, OOD {options.ood}: "
        f"{len(scores)} scores, raw and calibrated, "
        f"{time.time() - clock:.1f} s, {time.process_time() - processor:.1f} s of processors, "
        f"{(peak - before) / 2**20:.2f} GB beside the logits"
    )


if __name__ == "__main__":
    main()
