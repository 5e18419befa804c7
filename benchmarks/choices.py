"""CommonsenseQA, and a small Llama with 32,000 tokens and random weights: what the benchmarks on questions run.

The vocabulary is learned from the questions, so that texts have about as many tokens as with a real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lora_ensemble.backbones.causal_lm import CausalLM
from lora_ensemble.contracts import LoadedBackbone, Split
from lora_ensemble.datasets.commonsense_qa import CommonsenseQa
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.methods.lora import Lora

VOCABULARY, CONTEXT, CHOICES = 32_000, 512, 5


def questions(data: str, split: str, count: int) -> Split:
    """The first `count` questions of a split of CommonsenseQA; 0: all."""
    whole = CommonsenseQa(data=data).load(split)
    count = count or len(whole)
    assert whole.labels is not None
    return Split(whole.examples[:count], whole.labels[:count], whole.ids[:count], whole.classes, whole.modality)


@contextmanager
def language_model(data: str, width: int, layers: int) -> Iterator[Path]:
    """A folder with model and tokenizer."""
    torch.manual_seed(0)
    heads = max(1, width // 64)
    size = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    more = {"intermediate_size": 8 * width // 3, "max_position_embeddings": CONTEXT}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **size, **more))
    for parameter in model.parameters():
        if parameter.ndim == 2:  # larger than at a usual start, so that members differ
            nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        _tokenizer(data).save_pretrained(folder)
        yield Path(folder)


def _tokenizer(data: str) -> PreTrainedTokenizerFast:
    split = CommonsenseQa(data=data).load("train")
    texts = [" ".join([example["question"], *example["choices"]]) for example in split.examples]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def ensemble(folder: Path, members: int) -> tuple[LoadedBackbone, LoraEnsemble]:
    """Rank 8, alpha 32 on the query and value projections, as published; updates that are not zero."""
    backbone = CausalLM(str(folder), dtype="fp32").load(CHOICES)
    method = Lora(members=members, r=8, lora_alpha=32, target_modules=("q_proj", "v_proj"))
    made = method.build(backbone, seed=0)
    assert isinstance(made, LoraEnsemble)
    for k, (_, layer) in enumerate(made.member_layers()):
        nn.init.normal_(layer.lora_B, std=0.02, generator=torch.Generator().manual_seed(k))
    return backbone, made
