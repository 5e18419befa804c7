"""`python -m lora_ensemble` is `lora-ensemble`."""

import sys

from lora_ensemble.cli import main

if __name__ == "__main__":
    sys.exit(main())
