"""Training: options, a plan, one visible loop, checkpoints, a log."""
