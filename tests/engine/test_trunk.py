"""The shared trunk: it changes no number, and it really runs once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.layers.lora import MemberLinear
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.watching import copied, map_tensors, needs_gradient, same_on_average, signature
from lora_ensemble.errors import ConfigurationError
from tiny_models import TINY, PlainTransformer, lively
from tolerance import close

MEMBERS, ROWS = 3, 4


def drawn(ensemble: LoraEnsemble, seed: int = 1) -> LoraEnsemble:
    """Members that differ from the backbone, as after training."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in ensemble.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.2, generator=generator)
    return ensemble


def make(name: str, **config: Any) -> LoraEnsemble:
    return drawn(LoraEnsemble(TINY[name].build(), LoraEnsembleConfig(members=MEMBERS, r=2, **config)))


def plain(model: nn.Module, **config: Any) -> LoraEnsemble:
    """An ensemble that adapts the last of two blocks of a plain transformer."""
    own = {"members": MEMBERS, "r": 2, "target_modules": r"blocks\.1\.attention\.to_\w+", "modules_to_save": ["head"]}
    return drawn(LoraEnsemble(lively(model), LoraEnsembleConfig(**own | config)))


@contextmanager
def counted(module: nn.Module) -> Iterator[list[int]]:
    """Rows that the module gets, call by call."""
    rows: list[int] = []
    handle = module.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append([*args, *kwargs.values()][0].shape[0]), with_kwargs=True
    )
    yield rows
    handle.remove()


def gradients(ensemble: LoraEnsemble, inputs: dict[str, Tensor], labels: Tensor) -> tuple[Tensor, list[Tensor]]:
    ensemble.zero_grad()
    output = ensemble(labels=labels, **inputs)
    output.loss.backward()
    return output.logits.detach(), [p.grad.clone() for p in ensemble.parameters() if p.requires_grad]


def agree(ensemble: LoraEnsemble, inputs: dict[str, Tensor], labels: Tensor, calls: int = 2) -> None:
    """With and without the trunk: the same logits and gradients, also in the pass that looks for it."""
    ensemble.trunk.enabled = False
    logits, grads = gradients(ensemble, inputs, labels)
    ensemble.trunk.enabled = True
    for _ in range(calls):
        own_logits, own_grads = gradients(ensemble, inputs, labels)
        close(own_logits, logits)
        for own, grad in zip(own_grads, grads, strict=True):
            close(own, grad)
    with torch.no_grad():
        close(ensemble(**inputs).logits, logits)


@pytest.mark.parametrize("name", sorted(TINY))
@pytest.mark.parametrize("training", [True, False])
def test_changes_no_number(name: str, training: bool) -> None:
    blocks = {} if name == "swin" else {"layers_to_transform": [1]}
    ensemble = make(name, **blocks).train(training)
    agree(ensemble, *TINY[name].batch(ROWS))
    assert ensemble.trunk.modules(training)
    assert not ensemble.trunk.modules(not training)


def test_runs_once_for_all_members() -> None:
    ensemble = make("vit", layers_to_transform=[1]).eval()
    inputs, _ = TINY["vit"].batch(ROWS)
    first, block, adapted = (
        ensemble.model.get_submodule(path) for path in ("vit.embeddings", "vit.layers.0", "vit.layers.1.mlp")
    )
    ensemble(**inputs)
    assert ensemble.trunk.modules() == ["vit.embeddings", "vit.layers.0", "vit.layers.1.layernorm_before"]
    with counted(first) as images, counted(block.mlp) as below, counted(adapted) as above:
        ensemble(**inputs)
    assert (images, below, above) == ([ROWS], [ROWS], [MEMBERS * ROWS])


def test_once_per_pass() -> None:
    ensemble = make("vit", layers_to_transform=[1], members_per_pass=2).eval()
    inputs, _ = TINY["vit"].batch(ROWS)
    ensemble(**inputs)
    with torch.no_grad(), counted(ensemble.model.vit.layers[0].mlp) as rows:
        ensemble(**inputs)
    assert rows == [ROWS, ROWS]  # two members, then one


def test_own_batches_are_not_shared() -> None:
    ensemble = make("vit", layers_to_transform=[1]).eval()
    shared, _ = TINY["vit"].batch(ROWS)
    own, _ = TINY["vit"].batch(MEMBERS * ROWS, seed=1)
    ensemble(**shared)
    with counted(ensemble.model.vit.layers[0].mlp) as rows:
        logits = ensemble(shared=False, **own).logits
    assert rows == [MEMBERS * ROWS]
    for m in range(MEMBERS):
        x = own["pixel_values"][m * ROWS : (m + 1) * ROWS]
        close(logits[m], ensemble.member(m).eval()(x).logits)


@pytest.mark.parametrize("name", ["vit", "bert"])
def test_dropout_in_the_trunk_is_each_members_own(name: str) -> None:
    tiny = TINY[name]
    ensemble = LoraEnsemble(
        tiny.build(dropout=0.5), LoraEnsembleConfig(members=MEMBERS, layers_to_transform=[1], head_init="copy")
    ).train()
    inputs, labels = tiny.batch(ROWS)
    for _ in range(2):
        logits = ensemble(**inputs).logits
        assert (logits[0] - logits[1]).abs().max() > 1e-2  # B = 0, equal heads: only the masks differ
    assert "vit.layers.0" not in ensemble.trunk.modules(training=True)
    agree(ensemble.eval(), inputs, labels)
    assert any("layer" in path for path in ensemble.trunk.modules())


class Noise(nn.Module):
    """Adds noise far below any tolerance, in training."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-7 * torch.randn_like(x) if self.training else x


class Noisy(PlainTransformer):
    def __init__(self, inside: bool):
        super().__init__()
        self.noise, self.inside = Noise(), inside

    def forward(self, x: Tensor) -> Tensor:
        # Drawn by a module of its own, or between modules.
        x = self.noise(x) if self.inside else x + 1e-7 * torch.randn_like(x) * self.training
        return super().forward(x)


@pytest.mark.parametrize("inside", [True, False])
def test_noise_of_any_size_is_each_members_own(inside: bool) -> None:
    ensemble = plain(Noisy(inside)).train()
    inputs, labels = TINY["plain"].batch(ROWS)
    ensemble(**inputs)
    assert ensemble.trunk.modules(training=True) == []
    with counted(ensemble.model.blocks[0]) as rows:
        ensemble(**inputs)
    assert rows == [MEMBERS * ROWS]
    if inside:
        agree(ensemble.eval(), inputs, labels)
        assert "blocks.0" in ensemble.trunk.modules()


def test_a_length_that_equals_the_rows_is_no_batch() -> None:
    """Positions (T,) with T = M*B look like a batch; another length comes later, and then the first again."""

    class Positions(PlainTransformer):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(self.place(x, torch.arange(x.shape[1])))

        def place(self, x: Tensor, positions: Tensor) -> Tensor:
            return self.places(x, positions=positions)

    class Places(nn.Module):
        def forward(self, x: Tensor, positions: Tensor) -> Tensor:
            return x + positions[:, None] / 10

    model = Positions()
    model.places = Places()
    ensemble = plain(model).eval()
    labels = torch.zeros(ROWS, dtype=torch.long)
    lengths = [MEMBERS * ROWS, 5, MEMBERS * ROWS, 5, ROWS, 1]
    for length in lengths:
        agree(ensemble, {"x": torch.randn(ROWS, length, 6)}, labels)
    assert "places" in ensemble.trunk.modules()
    with counted(ensemble.model.blocks[0].mlp) as rows:
        ensemble(x=torch.randn(ROWS, 5, 6))
        ensemble(x=torch.randn(ROWS, MEMBERS * ROWS, 6))
    assert rows == [ROWS, ROWS]


def test_a_number_that_equals_the_rows_may_be_their_number() -> None:
    class Counted(nn.Module):
        def forward(self, x: Tensor, rows: int) -> Tensor:
            return x.reshape(rows, -1, x.shape[-1]) * 2

    class Model(PlainTransformer):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(self.counted(x, x.shape[0]))

    model = Model()
    model.counted = Counted()
    ensemble = plain(model).eval()
    for rows in (4, 5):
        agree(ensemble, {"x": torch.randn(rows, 4, 6)}, torch.zeros(rows, dtype=torch.long))
    assert "counted" not in ensemble.trunk.modules()
    assert "blocks.0" in ensemble.trunk.modules()


@pytest.mark.parametrize("name", ["bert", "llama-classifier"])
def test_a_mask_that_was_not_there_at_first(name: str) -> None:
    ensemble = make(name, layers_to_transform=[1]).eval()
    inputs, labels = TINY[name].batch(ROWS)
    whole = {"input_ids": inputs["input_ids"].clamp(min=3)}
    for own in (whole, inputs, whole, inputs, inputs | {"attention_mask": torch.ones_like(inputs["input_ids"])}):
        agree(ensemble, own, labels)
    below = "bert.encoder.layer.0.intermediate" if name == "bert" else "model.layers.0.mlp"
    with counted(ensemble.model.get_submodule(below)) as rows:
        ensemble(**whole)
        ensemble(**inputs)
    assert rows == [ROWS, ROWS]


def test_modules_that_are_called_twice() -> None:
    class Twice(PlainTransformer):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.scale, self.late = nn.Tanh(), nn.LayerNorm(16), nn.LayerNorm(16)
            self.blocks[0].mlp[2] = self.act  # inside a trunk module, and by itself

        def forward(self, x: Tensor) -> Tensor:
            x = self.late(self.act(self.scale(self.scale(self.embed(x)))))  # twice in the trunk
            for block in self.blocks:
                x = block(x)
            return self.head(self.late(x).mean(1))  # once below, once above the members

    ensemble = plain(Twice()).eval()
    agree(ensemble, *TINY["plain"].batch(ROWS), calls=3)
    assert {"scale", "blocks.0"} <= set(ensemble.trunk.modules())
    assert "late" not in ensemble.trunk.modules()
    inputs, _ = TINY["plain"].batch(ROWS)
    expected = [ensemble.member(m).eval()(**inputs) for m in range(MEMBERS)]
    close(ensemble.predict(**inputs).logits_MBC, torch.stack(expected).detach())
    with counted(ensemble.model.blocks[0].mlp) as rows:
        ensemble(**TINY["plain"].batch(ROWS)[0])
    assert rows == [ROWS]


def test_what_needs_a_gradient_is_not_shared() -> None:
    ensemble = plain(PlainTransformer()).train()
    ensemble.model.embed.requires_grad_(True)
    inputs, labels = TINY["plain"].batch(ROWS)
    agree(ensemble, inputs, labels)
    assert ensemble.trunk.modules(training=True) == []

    frozen = plain(PlainTransformer()).train()
    agree(frozen, {"x": inputs["x"].clone().requires_grad_()}, labels)
    agree(frozen, inputs, labels)


def test_results_of_an_unknown_kind_are_left_alone() -> None:
    class Box:
        def __init__(self, x: Tensor):
            self.x = x

    class Boxing(nn.Module):
        def forward(self, x: Tensor) -> Box:
            return Box(x * 2)

    class Opening(nn.Module):
        def forward(self, box: Box, scale: float) -> Tensor:
            return box.x * scale

    class Boxed(PlainTransformer):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(self.opening(self.boxing(x), 0.5))

    model = Boxed()
    model.boxing, model.opening = Boxing(), Opening()
    ensemble = plain(model).eval()
    agree(ensemble, *TINY["plain"].batch(ROWS))
    assert not {"boxing", "opening"} & set(ensemble.trunk.modules())


def test_batches_that_are_not_the_first_axis_are_refused() -> None:
    class TimeFirst(PlainTransformer):
        def forward(self, x: Tensor) -> Tensor:
            x = self.embed(x)
            for block in self.blocks:
                x = x + block.attention(block.norm(x).transpose(0, 1)).transpose(0, 1)
            return self.head(x.mean(1))

    ensemble = plain(TimeFirst())
    for length in (MEMBERS * ROWS, 5):  # a length that divides, and one that does not
        with pytest.raises(ConfigurationError, match="whose first axis is not"):
            ensemble(x=torch.randn(ROWS, length, 6))


@pytest.mark.parametrize(
    ("name", "eager_first", "training"), [("vit", True, True), ("plain", False, True), ("plain", False, False)]
)
def test_compiles(name: str, eager_first: bool, training: bool) -> None:
    torch._dynamo.reset()
    ensemble = make(name, target_modules=r".*\.1\.attention\..*").train(training)
    inputs, labels = TINY[name].batch(ROWS)
    ensemble.trunk.enabled = False
    expected, grads = gradients(ensemble, inputs, labels)
    ensemble.trunk.enabled = True
    if eager_first:
        ensemble(**inputs)
    compiled = torch.compile(ensemble, backend="eager")
    for _ in range(2):
        ensemble.zero_grad()
        output = compiled(labels=labels, **inputs)
        output.loss.backward()
        close(output.logits, expected)
        for own, grad in zip([p.grad for p in ensemble.parameters() if p.requires_grad], grads, strict=True):
            close(own, grad)


def test_the_whole_forward_pass_is_one_graph() -> None:
    torch._dynamo.reset()
    ensemble = make("plain", target_modules=r"blocks\.1\.attention\.to_\w+").eval()
    inputs, labels = TINY["plain"].batch(ROWS)
    expected = ensemble(labels=labels, **inputs)
    assert "blocks.0" in ensemble.trunk.modules()
    compiled = torch.compile(ensemble, backend="eager", fullgraph=True)(labels=labels, **inputs)
    close(compiled.logits, expected.logits)
    close(compiled.loss, expected.loss)


def test_a_member_has_no_hooks_left() -> None:
    ensemble = make("vit", layers_to_transform=[1]).eval()
    inputs, _ = TINY["vit"].batch(ROWS)
    seen: list[str] = []
    ensemble.model.vit.layers[0].register_forward_hook(lambda *_: seen.append("the user's own hook"))
    ensemble(**inputs)
    before = len(seen)
    member = ensemble.member(1).eval()
    member(**inputs)
    assert len(seen) == before + 1
    ours = [h for m in member.modules() for h in [*m._forward_hooks.values(), *m._forward_pre_hooks.values()]]
    assert not any(type(getattr(hook, "__self__", None)).__module__.startswith("lora_ensemble") for hook in ours)
    assert not any(isinstance(m, MemberLinear) for m in member.modules())


def test_copies_up_to_rounding() -> None:
    x = torch.randn(3, 4)
    same = x.expand(2, 3, 4).clone()
    assert copied(same)
    same[1, 0, 0] += 1e-6
    assert copied(same)
    same[1, 0, 0] += 1e-2
    assert not copied(same)
    assert copied(torch.tensor([[float("-inf"), 1.0], [float("-inf"), 1.0 + 1e-6]]))
    assert copied(torch.tensor([[float("nan"), 1.0], [float("nan"), 1.0]]))
    assert not copied(torch.tensor([[1, 2], [1, 3]]))
    assert same_on_average(torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.9]]))
    assert not same_on_average(torch.tensor([[1.0, 2.0], [2.0, 1.0]]))


def test_signatures_and_maps() -> None:
    x, y = torch.zeros(6, 2), torch.zeros(3)
    value = ((x, y, None), {"mask": x, "more": [x, 6, 7, "six", True]})
    assert signature(value, 6) == {(0, 0), (1, "mask"), (1, "more", 0), (1, "more", 1)}
    assert signature((x, object()), 6) == frozenset()
    assert not needs_gradient(value)
    assert needs_gradient((None, {"x": x.clone().requires_grad_()}))
    mapped = map_tensors(value, lambda path, t: t[:1] if path == (1, "mask") else t)
    assert mapped[1]["mask"].shape == (1, 2)
    assert mapped[0][0] is x
    assert mapped[1]["more"][1:] == [6, 7, "six", True]
