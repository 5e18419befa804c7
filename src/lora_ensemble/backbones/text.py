"""Any text classifier of transformers (BERT, RoBERTa, DeBERTa, ELECTRA, ModernBERT, Llama ...), of texts or pairs."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from lora_ensemble.contracts import Backbone, LoadedBackbone
from lora_ensemble.errors import UserError


@dataclass(frozen=True)
class Text(Backbone):
    """Whatever AutoModelForSequenceClassification can load: encoders, and decoders with a head on the last token. The
    head is a new one unless the model brings one for as many classes."""

    modality = "text"

    name: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Hub id or local folder, with a tokenizer."""
    max_length: int | None = 128
    """Most tokens that are read of a text or a pair; at most as many as the model can read, which none stands for."""

    def problems(self) -> list[str]:
        if self.max_length is not None and self.max_length < 4:
            return [f"backbone.max_length = {self.max_length}: must be at least 4"]
        return []

    def load(self, num_classes: int) -> LoadedBackbone:
        """Raises UserError for a name that cannot be loaded, FileFormatError for weights that do not fit."""
        from lora_ensemble.engine.surgery import find_head
        from lora_ensemble.text.inputs import TextInputs, model_inputs
        from lora_ensemble.text.models import arguments, limit, load_model, load_tokenizer

        if problems := self.problems():
            raise UserError(problems[0])
        tokenizer = load_tokenizer(self.name)
        model, own_head = load_model(self.name, num_classes, tokenizer.pad_token_id)
        if len(tokenizer) > model.get_input_embeddings().num_embeddings:
            raise UserError(f"the tokenizer of {self.name!r} does not fit its model: it knows {len(tokenizer)} tokens")
        inputs = TextInputs(tokenizer, limit(tokenizer, model, self.max_length), arguments(model))
        return LoadedBackbone(
            model=model,
            collate=inputs.collate,
            prepare=model_inputs,
            head=find_head(model),
            own_head=own_head,
            source={"kind": "text", "num_classes": num_classes, **asdict(self)},
            lengths=inputs.lengths,
        )
