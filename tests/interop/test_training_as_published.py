"""What training needs to do as published: rows in a fixed order, a schedule that is cut off, one loss over members."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lora_ensemble.contracts import LoadedBackbone
from lora_ensemble.engine.networks import NetworkEnsemble
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.interop.prs_eth import experiment_from_settings
from lora_ensemble.methods.deep import Deep
from lora_ensemble.training.optimisation import Plan, build_optimizer
from lora_ensemble.training.options import Training
from lora_ensemble.training.order import MemberBatches
from tolerance import close


def test_fixed_order_is_the_data_sets_in_every_epoch_and_process():
    for epoch in (0, 3):
        whole = MemberBatches(10, 4, seed=1, shuffled=False)
        whole.epoch = epoch
        assert list(whole) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    second = MemberBatches(10, 4, seed=1, rank=1, world=2, shuffled=False)
    assert list(second) == [[2, 3], [6, 7], [9]]


def test_a_schedule_can_be_longer_than_the_training():
    cut = Plan.of(Training(max_steps=6, schedule_steps=10, warmup_steps=2), batches_per_epoch=3, members=1)
    whole = Plan.of(Training(max_steps=10, warmup_steps=2), batches_per_epoch=3, members=1)
    assert cut.total_steps == 6
    assert [cut.factor(step) for step in range(6)] == [whole.factor(step) for step in range(6)]
    assert cut.factor(5) > 0.5


def test_a_schedule_is_not_shorter_than_the_training_nor_in_cycles():
    with pytest.raises(ConfigurationError, match="schedule_steps = 5: the training has more steps, 6"):
        Plan.of(Training(max_steps=6, schedule_steps=5), 3, 1)
    assert any("schedule_steps" in p for p in Training(schedule="constant", schedule_steps=5).problems())


def test_deep_heads_are_drawn_with_their_gain_and_standard_deviation():
    for init, field, bound in (("xavier", "head_gain", (6 / 600) ** 0.5 * 3), ("gaussian", "head_std", None)):
        model = nn.Sequential(nn.Linear(4, 500), nn.Linear(500, 100))
        method = Deep(members=2, head_init=init, **{field: 3.0})
        ensemble = method.build(LoadedBackbone(model, list, dict, head="1"), seed=0)
        weight = ensemble.member(1)[1].weight
        if bound is None:
            assert weight.std().item() == pytest.approx(3.0, rel=0.02)
        else:
            assert 0.99 * bound < weight.abs().max().item() <= bound


def test_the_steps_are_those_of_the_published_mean_over_members():
    """The published loss is one mean over members x batch, its gradient clipped as a whole, then Adam."""
    members, settings = 3, ("HAM10000_settings_weightdecay1", "LoRA_Former")
    ours = experiment_from_settings(*settings, members, as_published=True).training
    theirs = experiment_from_settings(*settings, members).training
    torch.manual_seed(0)
    networks = [nn.Linear(6, 4) for _ in range(members)]
    published = nn.ModuleList(copy.deepcopy(networks))
    ensemble = NetworkEnsemble(networks)
    optimizer = build_optimizer(list(ensemble.parameters()), ours)
    adam = torch.optim.Adam(
        published.parameters(), theirs.learning_rate, theirs.betas, weight_decay=theirs.weight_decay
    )
    for step in range(20):
        x, y = torch.randn(8, 6) * 10, torch.randint(4, (8,))
        optimizer.zero_grad()
        ensemble(input=x, labels=y).loss.backward()
        norms = ensemble.clip_grad_norm_(ours.gradient_clip, joint=ours.clip == "joint")
        assert step or norms.norm() > ours.gradient_clip  # there is something to clip
        optimizer.step()
        adam.zero_grad()
        F.cross_entropy(torch.cat([network(x) for network in published]), y.repeat(members)).backward()
        nn.utils.clip_grad_norm_(published.parameters(), theirs.gradient_clip)
        adam.step()
    for own, reference in zip(ensemble.parameters(), published.parameters(), strict=True):
        close(own, reference, depth=8)
