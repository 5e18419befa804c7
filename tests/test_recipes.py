"""Recipes: found by their functions, complete, equal in budget; unknown names."""

from __future__ import annotations

import pytest

from lora_ensemble import Experiment, UserError, registry

NAMES = registry.names("recipes")


def test_the_digits_have_one_recipe_for_each_method():
    methods = {registry.name_of(registry.recipe(name).method) for name in NAMES if name.startswith("digits-")}
    assert (
        methods == {"single", "single-lora", "mc-dropout", "snapshot", "deep", "lora"} <= set(registry.names("methods"))
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_an_experiment_that_fits_and_bears_its_name(name):
    experiment = registry.recipe(name)
    experiment.check()
    dataset, method = (registry.name_of(part) for part in (experiment.dataset, experiment.method))
    assert experiment.name == name
    assert name.startswith(dataset)
    assert method in name
    assert Experiment.from_json(experiment.to_json()) == experiment
    assert registry.description("recipes", name).endswith(".")


def test_the_digits_recipes_spend_the_same_budget_per_network():
    recipes = [registry.recipe(name) for name in NAMES if name.startswith("digits-")]
    budgets = {(r.training.epochs, r.training.max_steps, r.training.batch_size, r.dataset, r.backbone) for r in recipes}
    assert len(budgets) == 1


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(UserError, match=r"unknown recipe 'digits-lra'. Did you mean 'digits-lora'\? Available: "):
        registry.recipe("digits-lra")
    with pytest.raises(UserError, match="unknown recipe"):
        registry.description("recipes", "digit")
