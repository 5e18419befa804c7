"""Published settings as experiments. The rows of the table are read here as text, independently of the code."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from dataclasses import replace

import pytest

from lora_ensemble import Experiment, UserError
from lora_ensemble.errors import ConfigurationError, FileFormatError, UnknownNameError
from lora_ensemble.interop.prs_eth import differences, experiment_from_settings
from lora_ensemble.interop.prs_eth.command_line import request
from lora_ensemble.interop.prs_eth.differences import MISNAMED, summary
from lora_ensemble.interop.prs_eth.table import TABLE, published, read_settings

with TABLE.open(newline="") as file:
    ROWS = list(csv.DictReader(file))
IMAGE_ROWS = [row for row in ROWS if row["data.data_set"] != "ESC50"]


def model_of(row):
    if row["LoRA.rank"]:
        return "LoRA_Former"
    return "MCDropout" if row["MCDropout.p_drop"] else "Deep_Ensemble"


def number(text, default):
    return float(text) if text else default


def test_the_table_is_whole():
    assert len(ROWS) == len(published()) == 248
    assert len(IMAGE_ROWS) == 223
    twice = [name for name, times in Counter(row["name"] for row in ROWS).items() if times > 1]
    assert sorted(twice) == [f"HAM10000_settings_rank{i}" for i in (1, 2, 3, 4)]


def test_every_row_can_be_read():
    for row in ROWS:
        settings = read_settings(f"{row['study']}/{row['name']}")
        as_text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in settings.values.items()}
        given = {k: v for k, v in row.items() if v and k not in ("study", "name")}
        assert as_text.keys() == given.keys()
        for key, text in given.items():
            assert as_text[key] == text or float(as_text[key]) == float(text), (row["name"], key)


@pytest.mark.parametrize("row", IMAGE_ROWS, ids=lambda row: f"{row['study']}/{row['name']}")
def test_every_image_row_arrives_in_the_experiment(row):
    e = experiment_from_settings(f"{row['study']}/{row['name']}", model_of(row), 4)
    t, kind = e.training, {"gaussian": "gaussian", "xavier_uniform": "xavier", "": None}
    assert e.to_dict()["dataset"]["kind"] == row["data.data_set"].lower()
    assert e.backbone.arch == "vit_b_32"
    assert e.seed == int(row["training.random_seed"])
    assert (t.max_steps, t.epochs) == (int(row["training.max_steps"]), int(row["training.max_epochs"]))
    assert (t.warmup_steps, t.batch_size) == (int(row["training.steps_lr_warmup"]), 32)
    assert (t.schedule, t.optimizer) == (row["training.lr_schedule"], row["training.optimizer"].lower())
    assert (t.learning_rate, t.weight_decay) == (
        float(row["training.learning_rate"]),
        float(row["training.weight_decay"]),
    )
    assert list(t.betas) == json.loads(row["training.Adam_betas"])
    assert t.gradient_clip == float(row["training.gradient_clip"])
    assert t.class_weights == row["training.class_weights"].lower()
    assert t.ens_beta == number(row["training.ENS_beta"], t.ens_beta)
    assert [*e.dataset.augmentation, "standardize"] == json.loads(row["training.training_augmentation"])
    assert e.method.members == 4
    if row["LoRA.rank"]:
        assert (e.method.r, e.method.init_a) == (int(row["LoRA.rank"]), kind[row["LoRA.weight_init"]])
        assert e.method.init_gain == number(row["LoRA.xavier_gain"], e.method.init_gain)
        assert e.method.init_std == number(row["LoRA.gaussian_std"], e.method.init_std)
        assert e.training.members_per_pass == (int(row["LoRA.chunk_size"]) if row["LoRA.chunk_size"] else None)
    elif row["MCDropout.p_drop"]:
        assert (e.method.p, e.method.dropout) == (float(row["MCDropout.p_drop"]), "dropkey")
    else:
        assert e.method.noise_scale == number(row["model.perturb_scale"], 0.0)
        assert (e.method.noise_blocks or 0) == number(row["model.max_perturb_layer"], 0)
        assert e.method.head_init == (kind[row["model.head_init"]] or "default")
        assert e.method.head_gain == number(row["model.xavier_gain"], e.method.head_gain)
        assert e.method.head_std == number(row["model.gaussian_std"], e.method.head_std)
    assert Experiment.from_json(e.to_json()) == e


@pytest.mark.parametrize("row", IMAGE_ROWS, ids=lambda row: f"{row['study']}/{row['name']}")
def test_every_image_row_resolves_as_published(row):
    e = experiment_from_settings(f"{row['study']}/{row['name']}", model_of(row), 4, as_published=True)
    t = e.training
    assert (t.optimizer, t.clip, e.backbone.normalisation) == ("adam", "joint", "none")
    assert t.data_order == ("shared" if row["data.shuffle"] == "true" else "fixed")
    per_epoch = {"HAM10000": 251, "CIFAR10": 1563, "CIFAR100": 1563}[row["data.data_set"]]
    steps = int(row["training.max_steps"])
    assert t.max_steps == min(steps, int(row["training.max_epochs"]) * per_epoch)
    assert t.schedule_steps == (None if t.max_steps == steps else steps)
    # The loss is a sum over 4 members, not their mean: four times the gradient, so four times what limits or joins it.
    assert t.gradient_clip == 4 * float(row["training.gradient_clip"])
    assert t.weight_decay == 4 * float(row["training.weight_decay"])


@pytest.mark.parametrize(
    ("name", "meant", "done"),
    [
        ("CIFAR100_settings_max2noise1", (1.0, 2), (1.0, 10)),
        ("CIFAR100_settings_max12noise2", (0.1, 12), (0.0, None)),
        ("HAM10000_settings_exnoise2", (0.0005, None), (0.0, None)),
        ("CIFAR100_settings_timetrainex1", (0.0, None), (0.0, None)),
    ],
)
def test_noise_is_on_the_last_blocks_or_as_published_on_the_others(name, meant, done):
    for as_published, expected in ((False, meant), (True, done)):
        method = experiment_from_settings(name, "Deep_Ensemble", 4, as_published=as_published).method
        assert (method.noise_scale, method.noise_blocks) == expected


def test_one_member_is_the_single_network():
    assert experiment_from_settings("CIFAR100_settings_LoRA1", "LoRA_Former", 1).to_dict()["method"]["kind"] == (
        "single-lora"
    )
    assert experiment_from_settings("CIFAR100_settings_exinit9", "Deep_Ensemble", 1).to_dict()["method"]["kind"] == (
        "single"
    )


def test_names_are_found_with_and_without_study_and_ending():
    found = [
        experiment_from_settings(name, "LoRA_Former", 2)
        for name in (
            "CIFAR100_settings_LoRA2",
            "CIFAR100_settings_LoRA2.json",
            "CIFAR100/final/CIFAR100_settings_LoRA2",
            "CIFAR100/final/CIFAR100_settings_LoRA2.json",
        )
    ]
    assert all(e == found[0] for e in found)


def test_a_name_in_two_studies_is_refused_naming_both():
    with pytest.raises(UserError) as error:
        experiment_from_settings("HAM10000_settings_rank2", "LoRA_Former", 2)
    for study in ("HAM10000/accuracy_calibration_tradeoff/", "HAM10000/rank_sensitivity/"):
        assert f"{study}HAM10000_settings_rank2" in str(error.value)
    ranks = [
        experiment_from_settings(f"HAM10000/{study}/HAM10000_settings_rank2", "LoRA_Former", 2).method.r
        for study in ("accuracy_calibration_tradeoff", "rank_sensitivity")
    ]
    assert ranks == [4, 2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("CIFAR100_settings_LoRa1", "LoRA_Former", 2), "CIFAR100_settings_LoRA1"),
        (("CIFAR100_settings_LoRA1", "LoRA-Former", 2), "Did you mean 'LoRA_Former'?"),
        (("CIFAR100_settings_LoRA1", "LoRA_Former", 0), "members = 0"),
        (("CIFAR100_settings_LoRA1", "AST_Former", 2), "CIFAR100, so for LoRA_Former, Deep_Ensemble, MCDropout"),
        (("CIFAR100_settings_explicit1", "LoRA_Former", 2), "LoRA.weight_init is missing, which LoRA_Former needs"),
        (("CIFAR100_settings_explicit1", "MCDropout", 2), "MCDropout.p_drop is missing"),
        (("ESC50_settings_LoRA1", "LoRA_Former", 2), "ESC50, so for AST_Former, Explicit_AST, ASTMCDropout"),
    ],
)
def test_what_does_not_exist_or_fit_is_named(arguments, said):
    with pytest.raises(UserError) as error:
        experiment_from_settings(*arguments)
    assert said in str(error.value)


# Settings files -----------------------------------------------------------------------------------------------------


def sections(name="CIFAR100/final/CIFAR100_settings_LoRA1"):
    """The published settings in the form of their file, with keys that are the same in all of them."""
    found = {"model": {}, "data": {}, "training": {}, "evaluation": {}}
    for key, value in published()[name].items():
        section, name = key.split(".")
        found.setdefault(section, {})[name] = value
    found["data"] |= {"num_classes": 100, "channel_mean": [129.3, 124.1, 112.4], "input_size": [224, 224]}
    found["training"] |= {"loss": "cross_entropy", "early_stopping": False, "use_amp": False, "training": True}
    return {f"{section}_settings": values for section, values in found.items()}


def written(content, folder):
    path = folder / "mine.json"
    path.write_text(json.dumps(content))
    return path


def test_a_file_is_the_same_experiment_as_its_name(tmp_path):
    path = written(sections(), tmp_path)
    own, theirs = (experiment_from_settings(name, "LoRA_Former", 3) for name in (path, "CIFAR100_settings_LoRA1"))
    assert own.determining() == theirs.determining()
    assert own.name == "mine LoRA_Former 3"


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("LoRA", "rnak", 4, "unknown key 'LoRA.rnak'. Did you mean 'LoRA.rank'?"),
        ("LoRA", "rank", "four", "LoRA.rank = 'four': must be a whole number"),
        ("LoRA", "rank", 2.5, "LoRA.rank = 2.5: must be a whole number"),
        ("LoRA", "weight_init", "xavier", "Did you mean 'xavier_uniform'?"),
        ("LoRA", "weight_init", "kaiming", None),
        ("LoRA", "weight_init", "gaussian", "LoRA.gaussian_std is missing, which LoRA.weight_init = 'gaussian' needs"),
        ("data", "data_set", "CIFAR1000", "Did you mean 'CIFAR100'?"),
        ("data", "num_classes", 10, "data.num_classes = 10, CIFAR100 has 100"),
        ("data", "shuffle", 1, "data.shuffle = 1: must be true or false"),
        # "BCE" is the published code's own word, and taken; a name of torch's or of ours is not.
        ("training", "loss", "binary_cross_entropy", "must be 'cross_entropy' or 'BCE'"),
        ("training", "optimizer", "adamw", "Did you mean 'AdamW'?"),
        ("training", "training_augmentation", ["flips"], "Did you mean 'flip'?"),
        ("training", "lr_schedule", "cyclic_cosine", "need each other"),
        ("training", "early_stopping", 3, "training.early_stopping = 3: must be true or false"),
        ("data", "subset_train_iterations", -1, "must be a whole number"),
        ("LoRA", "gaussian_mean", "0", "LoRA.gaussian_mean = '0': must be a number"),
        ("model", "ViT_patch_size", 14, "there is no vit_b_14"),
        ("modle", "ViT_config", "base", "unknown key 'modle.ViT_config'. Did you mean 'model.ViT_config'?"),
    ],
)
def test_unknown_keys_and_values_are_named_with_the_nearest(tmp_path, section, key, value, said):
    content = sections()
    content.setdefault(f"{section}_settings", {})[key] = value
    path = written(content, tmp_path)
    if said is None:
        assert experiment_from_settings(path, "LoRA_Former", 2).method.init_a == "kaiming"
        return
    with pytest.raises(ConfigurationError) as error:
        experiment_from_settings(path, "LoRA_Former", 2)
    assert said in str(error.value)


def test_all_problems_of_a_file_are_listed_at_once(tmp_path):
    content = sections()
    content["training_settings"].pop("max_steps")
    content["training_settings"]["lr_schedul"] = content["training_settings"].pop("lr_schedule")
    content["LoRA_settings"]["rank"] = True
    with pytest.raises(ConfigurationError) as error:
        experiment_from_settings(written(content, tmp_path), "LoRA_Former", 2)
    assert len(error.value.problems) == 4


def test_a_file_that_is_no_settings_file_is_refused(tmp_path):
    (tmp_path / "text.json").write_text("not json")
    (tmp_path / "flat.json").write_text('{"rank": 8}')
    for name, said in (("text.json", "is not JSON"), ("flat.json", "expected sections")):
        with pytest.raises(FileFormatError, match=said):
            experiment_from_settings(tmp_path / name, "LoRA_Former", 2)


def test_snapshots_are_cycles_of_one_network(tmp_path):
    content = sections("CIFAR100/final/CIFAR100_settings_explicit1")
    content["training_settings"] |= {"mode": "snapshot", "lr_schedule": "cyclic_cosine", "burn_in_epochs": 6}
    e = experiment_from_settings(written(content, tmp_path), "Deep_Ensemble", 6)
    assert (e.to_dict()["method"]["kind"], e.method.members) == ("snapshot", 6)
    assert (e.training.schedule, e.training.cycles) == ("cyclic-cosine", 6)
    assert e.training.first_cycle == pytest.approx(6 / ((16 - 6) / 5))
    content["LoRA_settings"] = sections()["LoRA_settings"]
    with pytest.raises(ConfigurationError, match="snapshots are for Deep_Ensemble, not LoRA_Former"):
        experiment_from_settings(written(content, tmp_path), "LoRA_Former", 6)


def test_sgd_as_published_has_the_same_steps(tmp_path):
    content = sections()
    content["training_settings"] |= {"optimizer": "SGD", "SGD_momentum": 0.9, "SGD_nesterov": True}
    path = written(content, tmp_path)
    meant, done = (experiment_from_settings(path, "LoRA_Former", 4, as_published=p).training for p in (False, True))
    assert (meant.optimizer, meant.momentum, meant.nesterov, meant.learning_rate) == ("sgd", 0.9, True, 1e-4)
    assert (done.optimizer, done.learning_rate, done.gradient_clip) == ("sgd", 1e-4 / 4, 4.0)


# In words ------------------------------------------------------------------------------------------------------------


def said(name, model="LoRA_Former", members=4, **options):
    return "\n".join(differences(name, model, members, **options))


def test_what_is_done_is_said_in_a_line():
    line = summary(request("CIFAR100_settings_LoRA3", "LoRA_Former", 16))
    for part in ("lora of vit_b_32", "members 16", "r 8", "init_gain 10", "cifar100", "steps 25008", "seed 1206"):
        assert part in line


@pytest.mark.parametrize(
    ("name", "model", "words"),
    [
        ("CIFAR10_settings_LoRA1", "LoRA_Former", "shuffle"),
        ("CIFAR10_settings_LoRA1", "LoRA_Former", "divided by 255"),
        ("CIFAR10_settings_LoRA1", "LoRA_Former", "softmax of mean logits"),
        ("HAM10000_settings_weightdecay1", "LoRA_Former", "AdamW builds Adam"),
        ("HAM10000_settings_weightdecay1", "LoRA_Former", "after 20080 of 25000 steps"),
        ("HAM10000_settings_LoRA1", "LoRA_Former", "images of one lesion"),
        ("CIFAR100_settings_max2noise1", "Deep_Ensemble", "noise on the last 10 blocks; here on the last 2"),
        ("HAM10000_settings_exnoise3", "Deep_Ensemble", "noise on the last 0 blocks; here on the last 12"),
        ("HAM10000_settings_MCDropout1", "MCDropout", "never trained"),
    ],
)
def test_every_trap_is_said_where_it_matters(name, model, words):
    assert words in said(name, model)


def test_traps_are_not_said_where_they_do_not_matter():
    text = said("HAM10000_settings_LoRA1", members=1)
    for words in ("shuffle", "AdamW builds", "mean logits", "clipped together", "never trained", "noise"):
        assert words not in text


def test_as_published_leaves_fewer_differences():
    text = said("CIFAR10_settings_LoRA1", as_published=True)
    for words in ("shuffled anew", "ImageNet's mean", "each member's own"):
        assert words not in text


def test_names_that_promise_another_value_are_pointed_out():
    for name, promise in MISNAMED.items():
        model = "Deep_Ensemble" if "noise" in name else "LoRA_Former"
        assert promise in said(name, model)
    row = {row["name"]: row for row in ROWS}
    assert row["CIFAR100_settings_max12noise3"]["model.perturb_scale"] == "0.1"
    alphas = {"1": 1, "2": 0.1, "3": 0.01, "4": 0.001, "5": 0.0001}
    for name in row:
        if (match := re.fullmatch(r"CIFAR100_settings_max\d+noise(\d)", name)) and name not in MISNAMED:
            assert float(row[name]["model.perturb_scale"]) == alphas[match[1]]
        if (match := re.fullmatch(r"HAM10000_test_ENS_([\d.]+)", name)) and name not in MISNAMED:
            assert float(row[name]["training.ENS_beta"]) == float(match[1])


def test_an_unknown_model_is_unknown():
    with pytest.raises(UnknownNameError):
        differences("CIFAR10_settings_LoRA1", "Lora_Former", 2)


@pytest.mark.parametrize("data", ["CIFAR100", "HAM10000"])
def test_the_snapshots_of_the_tables_are_the_explicit_settings_with_cycles(data: str) -> None:
    for number, seed in enumerate((42, 0, 1206, 2205, 1234), 1):
        e = experiment_from_settings(f"{data}_settings_Snapshot{number}", "Deep_Ensemble", 16)
        explicit = experiment_from_settings(f"{data}_settings_explicit{number}", "Deep_Ensemble", 16)
        assert (e.to_dict()["method"]["kind"], e.method.members, e.seed) == ("snapshot", 16, seed)
        assert (e.training.schedule, e.training.cycles) == ("cyclic-cosine", 16)
        assert replace(e.training, schedule="cosine", cycles=None) == explicit.training
