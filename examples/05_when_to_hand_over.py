"""Calibrate on the validation split, then let the ensemble answer only where a promise holds."""

from lora_ensemble import Experiment, Training, abstain, calibrate, conformal, evaluate, train
from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.methods.lora import Lora

experiment = Experiment(DigitsViT(), Lora(members=5, r=4), Digits(), Training(epochs=5, learning_rate=8e-3))
run = train(experiment, "runs/digits")
validation, test = run.predict("validation"), run.predict("test")

calibrated = calibrate(validation, "temperature")(test)
for name in ("nll", "ece_15"):
    print(f"{name}: raw {evaluate(test)[name]:.3f}, calibrated {evaluate(calibrated)[name]:.3f}")

sets_BC = conformal(validation, coverage=0.95, kind="aps")(test).sets_BC
covered = sets_BC[range(len(test)), test.labels_B].float().mean()
print(f"sets of {sets_BC.sum(1).float().mean():.2f} classes hold the answer of {covered:.1%}; 95 % were promised")

keep_B = abstain(validation, risk=0.05, confidence=0.9, by="total")(test).keep_B
wrong = (test.mean_probs_BC.argmax(1) != test.labels_B)[keep_B].float().mean()
print(f"answers {keep_B.float().mean():.1%} of the digits, {wrong:.1%} of them wrong; at most 5 % were promised")
