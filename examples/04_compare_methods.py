"""Six ways to an ensemble on one data set, one table. The same from a shell: `lora-ensemble compare digits-...`."""

import sys

from lora_ensemble import cli

METHODS = ["single", "single-lora", "mc-dropout", "snapshot", "deep", "lora"]

if __name__ == "__main__":  # runs are trained in processes of their own
    recipes = [f"digits-{method}" for method in METHODS]
    budget = ["--members", "3", "--epochs", "3", "--seeds", "0,1"]
    sys.exit(cli.main(["compare", *recipes, *budget, "--ood", "letters", "--output", "compare"]))
