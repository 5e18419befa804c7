"""Train an ensemble on the built-in digits, and ask it how sure it is."""

from lora_ensemble import Experiment, Training, evaluate, train
from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.datasets.letters import Letters
from lora_ensemble.methods.lora import Lora

experiment = Experiment(DigitsViT(), Lora(members=5, r=4), Digits(), Training(epochs=5, learning_rate=8e-3))
run = train(experiment, "runs/digits")  # the same line again: nothing is computed twice, and a killed run goes on

digits, letters = run.predict("test"), run.predict("test", Letters())
scores = evaluate(digits, ood=letters)
print(f"accuracy {scores['accuracy']:.3f}, NLL {scores['nll']:.3f} nats, ECE {scores['ece_15']:.3f}")
print(f"entropy of a digit {digits.total_B.mean():.2f}, of a letter {letters.total_B.mean():.2f} nats")
print(f"told apart by entropy: AUROC {scores['auroc_entropy']:.3f}")
