"""An ensemble as the network of a LightningModule: the members are clipped one by one."""

import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset
from transformers import BertConfig, BertForSequenceClassification

from lora_ensemble import LoraEnsemble, LoraEnsembleConfig, Predictions, evaluate


class Words(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.3}
        model = BertForSequenceClassification(BertConfig(vocab_size=100, intermediate_size=64, num_labels=2, **size))
        self.ensemble = LoraEnsemble(model, LoraEnsembleConfig(members=4, r=4, lora_alpha=4))

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        return self.ensemble(input_ids=batch[0], labels=batch[1]).loss  # the sum of the members' losses

    def predict_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        return self.ensemble(input_ids=batch[0]).logits  # (members, rows, classes)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=1e-2)

    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None) -> None:
        self.ensemble.clip_grad_norm_(gradient_clip_val)  # Lightning's own would clip all members together


torch.manual_seed(0)
words = torch.randint(2, 100, (320, 12))
data = TensorDataset(words, (words < 7).any(1).long())  # is a rare word in the text?
silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = lightning.Trainer(max_epochs=10, accelerator="cpu", gradient_clip_val=1.0, **silent)
trainer.fit(module := Words(), DataLoader(data, batch_size=32, sampler=range(256)))
logits = trainer.predict(module, DataLoader(data, batch_size=32, sampler=range(256, 320)))
p = Predictions(torch.cat(logits, dim=1), data[256:][1])  # along the rows: members come first
print(f"accuracy {evaluate(p)['accuracy']:.3f}")
print(f"members disagree by {p.epistemic_B.mean():.3f} nats")
