"""A training script with transformers' Trainer keeps it: EnsembleTrainer knows that the first axis is the members."""

import torch
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments

from lora_ensemble import LoraEnsemble, LoraEnsembleConfig, Predictions, evaluate
from lora_ensemble.interop.trainer import EnsembleTrainer

torch.manual_seed(0)
# In real life: AutoModelForSequenceClassification.from_pretrained("...", num_labels=2)
size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
model = BertForSequenceClassification(BertConfig(vocab_size=100, num_labels=2, initializer_range=0.3, **size))
ensemble = LoraEnsemble(model, LoraEnsembleConfig(members=4, r=4, lora_alpha=4))

words = torch.randint(2, 100, (320, 12))
labels = (words < 7).any(1).long()  # is a rare word in the text?
rows = [{"input_ids": text, "labels": label} for text, label in zip(words, labels, strict=True)]

arguments = TrainingArguments(
    output_dir="trainer", num_train_epochs=10, per_device_train_batch_size=32, learning_rate=1e-2, use_cpu=True,
    max_grad_norm=1.0,  # of each member
    report_to="none", save_strategy="no", disable_tqdm=True,
)  # fmt: skip
trainer = EnsembleTrainer(ensemble, arguments, train_dataset=rows[:256])
trainer.train()

found = trainer.predict(rows[256:])  # found.predictions: (members, rows, classes)
scores = evaluate(Predictions(torch.as_tensor(found.predictions), labels[256:]))
print(f"accuracy {scores['accuracy']:.3f}, mutual information {scores['epistemic']:.3f} nats")

trainer.save_model("saved")  # LoraEnsemble.from_pretrained("saved", model) reads it
