"""SIGTERM in the middle of a training: saved, one line, exit code 143; the same command again gives the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import torch

from lora_ensemble import Run
from lora_ensemble.cli import main

WORDS = ["train", "digits-lora", "--device", "cpu", "--dataset.train-examples", "64", "--members", "2"]
WORDS += ["--training.max-steps", "12", "--output"]

PROGRAM = """
import os, signal, sys
from lora_ensemble.cli import main
from lora_ensemble.training.loop import TrainingLoop

learn = TrainingLoop.learn

def signalled(self, batches):
    if self.state.step == 4:
        os.kill(os.getpid(), signal.SIGTERM)
    learn(self, batches)

TrainingLoop.learn = signalled
sys.exit(main(sys.argv[1:]))
"""


def test_it_saves_and_goes_on(tmp_path):
    there, whole = tmp_path / "stopped", tmp_path / "whole"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *WORDS, there], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 143, done.stderr
    assert "stopped after step 5 of 12, which is saved; the same command again goes on" in done.stderr
    assert [c.step for c in Run(there).checkpoints()] == [5]
    assert main([*WORDS, str(there)]) == 0
    assert main([*WORDS, str(whole)]) == 0
    ours, theirs = (Run(folder).predict().logits_MBC for folder in (there, whole))
    assert torch.equal(ours, theirs)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
