"""Any model becomes an ensemble, and is trained in a loop of your own."""

import torch
from transformers import BertConfig, BertForSequenceClassification

from lora_ensemble import LoraEnsemble, LoraEnsembleConfig

torch.manual_seed(0)
# In real life: AutoModelForSequenceClassification.from_pretrained("...", num_labels=2)
size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
model = BertForSequenceClassification(BertConfig(vocab_size=100, num_labels=2, initializer_range=0.3, **size))

ensemble = LoraEnsemble(model, LoraEnsembleConfig(members=4, r=4, lora_alpha=4))
optimizer = torch.optim.AdamW([p for p in ensemble.parameters() if p.requires_grad], lr=1e-2)

words = torch.randint(2, 100, (256, 12))
labels = (words < 7).any(1).long()  # is a rare word in the text?
for step in range(240):
    rows = torch.randint(len(words), (32,))
    output = ensemble(input_ids=words[rows], labels=labels[rows])  # output.logits: (members, rows, classes)
    output.loss.backward()  # the sum of the members' losses: each learns as if it were alone
    ensemble.clip_grad_norm_(1.0)  # each member by itself
    optimizer.step()
    optimizer.zero_grad()
    if step % 80 == 79:
        print(f"step {step + 1}: losses of the members {[round(x, 2) for x in output.member_losses.tolist()]}")

p = ensemble.predict(input_ids=words[:5])
for row in range(5):
    print(f"{p.mean_probs_BC[row, 1]:.3f} likely, members disagree by {p.epistemic_B[row]:.3f} nats")
