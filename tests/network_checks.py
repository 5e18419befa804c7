"""What an ensemble over any network must fulfil; a check raises AssertionError where it does not. Not a test file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from lora_ensemble import Ensemble, LoraEnsemble
from lora_ensemble.engine.adapters import CONFIG, member_tensors
from tiny_networks import build, inputs_of
from tolerance import close

MEMBERS, DEPTH = 2, 128


def make(name: str, drawn: bool = True, **fields: Any) -> LoraEnsemble:
    """Members that differ from the network as after training."""
    ensemble = LoraEnsemble(build(name), **({"members": MEMBERS, "r": 2} | fields))
    generator = torch.Generator().manual_seed(2)
    for parameter in ensemble.parameters():
        if parameter.requires_grad and drawn:
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return ensemble.eval()


def logits_of(output: Any) -> Tensor:
    return getattr(output, "logits", output[0] if isinstance(output, tuple) else output).detach()


def members_are_alone_what_they_are_together(name: str) -> None:
    ensemble, inputs = make(name), inputs_of(name)
    logits = ensemble(**inputs).logits.detach()
    assert torch.isfinite(logits).all()
    assert (logits[0] - logits[1]).abs().max() > 1e-3
    for m in range(MEMBERS):
        close(logits_of(ensemble.member(m)(**inputs)), logits[m], depth=DEPTH)


def every_target_is_used(name: str) -> None:
    """A change of any one adapter changes the logits: none is a layer that is never called."""
    ensemble, inputs = make(name, drawn=False), inputs_of(name)
    out = ensemble(**inputs).logits
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(3))).sum().backward()
    unused = [path for path, layer in ensemble.adapters() if layer.lora_B.grad is None]
    assert unused == [], f"adapted, but not used: {unused}"


def a_step_is_that_of_each_member_alone(name: str) -> None:
    inputs = inputs_of(name)
    both = make(name, drawn=False, seed=5).train()
    labels = torch.arange(3) % 2
    shape = both(**inputs).logits.shape
    labels = labels[:, None].expand(3, shape[2]).contiguous() if len(shape) == 4 else labels

    def step(ensemble: LoraEnsemble) -> LoraEnsemble:
        for module in ensemble.modules():  # masks are drawn for all rows at once
            if "Dropout" in type(module).__name__ or "DropPath" in type(module).__name__:
                module.eval()
        optimizer = torch.optim.SGD((p for p in ensemble.parameters() if p.requires_grad), lr=0.01)
        ensemble(labels=labels, **inputs).loss.backward()
        ensemble.clip_grad_norm_(1.0)
        optimizer.step()
        return ensemble

    step(both)
    for m in range(MEMBERS):
        alone = step(make(name, drawn=False, seed=5, members=1, first_member=m).train())
        own, expected = member_tensors(both.member_layers(), m), member_tensors(alone.member_layers(), 0)
        assert own.keys() == expected.keys()
        for key, value in own.items():
            close(value, expected[key], depth=DEPTH, msg=key)


def what_is_shared_changes_nothing(name: str) -> None:
    """The trunk, which runs once for all members."""
    ensemble, inputs = make(name), inputs_of(name)
    with torch.no_grad():
        ensemble(**inputs)
        shared = ensemble(**inputs).logits
        ensemble.trunk.enabled = False
        close(ensemble(**inputs).logits, shared, depth=DEPTH)


def saved_is_loaded(name: str, folder: Path) -> None:
    ensemble, inputs = make(name), inputs_of(name)
    logits = ensemble(**inputs).logits
    ensemble.save_pretrained(folder)
    again = Ensemble.from_pretrained(folder, build(name))
    assert torch.equal(again(**inputs).logits, logits)


def peft_agrees(name: str, folder: Path) -> bool:
    """Whether members are saved in a form that PEFT understands; if so, PEFT computes the same."""
    ensemble, inputs = make(name), inputs_of(name)
    logits = ensemble(**inputs).logits.detach()
    ensemble.save_pretrained(folder)
    if not (folder / "member-001" / CONFIG).exists():
        return False
    peft = PeftModel.from_pretrained(build(name), folder / "member-001").eval()
    close(logits_of(peft(**inputs)), logits[1], depth=DEPTH)
    return True
