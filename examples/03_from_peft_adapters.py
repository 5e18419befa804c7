"""Several PEFT adapters of one base model become an ensemble; each member goes back to PEFT."""

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BertConfig, BertForSequenceClassification

from lora_ensemble import LoraEnsemble

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def base() -> BertForSequenceClassification:
    """In real life: AutoModelForSequenceClassification.from_pretrained("...")."""
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(vocab_size=100, num_labels=3, initializer_range=0.3, **SIZE)).eval()


for seed, name in enumerate(["one", "two", "three"]):  # stands for adapters that somebody trained
    model = get_peft_model(base(), LoraConfig(r=4, target_modules=["query", "value"], task_type="SEQ_CLS"))
    random = torch.Generator().manual_seed(seed)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(parameter, std=0.3, generator=random)
    model.save_pretrained(f"adapters/{name}")

ensemble = LoraEnsemble.from_peft(base(), ["adapters/one", "adapters/two", "adapters/three"])
words = torch.randint(2, 100, (4, 12))
p = ensemble.predict(input_ids=words)
print(f"disagreement of the three, in nats: {[round(x, 3) for x in p.epistemic_B.tolist()]}")

ensemble.save_pretrained("my-ensemble")  # one PEFT folder per member
alone = PeftModel.from_pretrained(base(), "my-ensemble/member-001")(input_ids=words).logits
print(f"member 1 in PEFT is the same: {torch.allclose(alone, p.logits_MBC[1], atol=1e-4)}")
