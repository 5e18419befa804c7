"""transformers' Trainer around an ensemble: the same numbers as a plain loop, and nothing concatenated by mistake."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, EvalPrediction, Trainer, TrainingArguments

from datasets import Dataset
from lora_ensemble import LoraEnsemble, LoraEnsembleConfig
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.interop.trainer import EnsembleTrainer

ROWS, MEMBERS, CLASSES, NORM = 22, 3, 4, 0.05
SIZE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def ensemble() -> LoraEnsemble:
    torch.manual_seed(0)
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = BertForSequenceClassification(BertConfig(vocab_size=50, num_labels=CLASSES, **SIZE, **quiet))
    return LoraEnsemble(model, LoraEnsembleConfig(members=MEMBERS, r=2, lora_alpha=2))


def words(rows: int = ROWS) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randint(50, (rows, 6), generator=draw)
    return {"input_ids": inputs, "labels": inputs.sum(1) % CLASSES}


def table(**columns: list[Any]) -> Dataset:
    return Dataset.from_dict({**{name: values.tolist() for name, values in words().items()}, **columns})


def arguments(folder: Path, **changes: Any) -> TrainingArguments:
    values: dict[str, Any] = {
        "num_train_epochs": 3, "per_device_train_batch_size": ROWS, "per_device_eval_batch_size": 8,
        "learning_rate": 0.01, "lr_scheduler_type": "constant", "weight_decay": 0.0, "max_grad_norm": NORM,
        "report_to": "none", "save_strategy": "no", "use_cpu": True, "disable_tqdm": True, "logging_strategy": "no",
    }  # fmt: skip
    return TrainingArguments(output_dir=str(folder), **{**values, **changes})


def by_hand(steps: int) -> LoraEnsemble:
    """The slow, obvious twin: all rows in each step."""
    mine = ensemble()
    optimizer = torch.optim.AdamW([p for p in mine.parameters() if p.requires_grad], lr=0.01, weight_decay=0.0)
    for _ in range(steps):
        mine(**words()).loss.backward()
        mine.clip_grad_norm_(NORM)
        optimizer.step()
        optimizer.zero_grad()
    return mine


@pytest.mark.parametrize("accumulated", [1, 2])
def test_trains_as_a_plain_loop_does(accumulated: int, tmp_path: Path) -> None:
    """Also in two halves, whose mean is the whole; columns that the model does not take are in the way of nothing."""
    mine, expected = ensemble(), by_hand(3).trainable_state()
    args = arguments(tmp_path, per_device_train_batch_size=ROWS // accumulated, gradient_accumulation_steps=accumulated)
    EnsembleTrainer(mine, args, train_dataset=table(text=["a"] * ROWS)).train()
    start = ensemble().trainable_state()
    for name, values in mine.trainable_state().items():
        torch.testing.assert_close(values, expected[name], rtol=1e-3, atol=1e-4)
    assert any(not torch.allclose(start[name], expected[name], atol=1e-2) for name in start)


def test_predictions_have_members_first_and_every_row_once(tmp_path: Path) -> None:
    mine = ensemble()
    seen: list[tuple[int, ...]] = []

    def metrics(prediction: EvalPrediction) -> dict[str, float]:
        seen.append(prediction.predictions.shape)
        probs_NC = torch.as_tensor(prediction.predictions).softmax(-1).mean(0)
        return {"accuracy": float((probs_NC.argmax(-1).numpy() == prediction.label_ids).mean())}

    trainer = EnsembleTrainer(mine, arguments(tmp_path), compute_metrics=metrics, eval_dataset=table())
    found = trainer.predict(table())
    logits = mine.predict(**{k: v for k, v in words().items() if k != "labels"}).logits_MBC
    np.testing.assert_allclose(found.predictions, logits.numpy(), rtol=1e-4, atol=1e-5)  # 22 rows in batches of 8
    np.testing.assert_array_equal(found.label_ids, words()["labels"].numpy())
    assert seen == [(MEMBERS, ROWS, CLASSES)]
    assert trainer.evaluate()["eval_accuracy"] == found.metrics["test_accuracy"]


def test_tokens_of_texts_of_different_lengths(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=30, num_key_value_heads=2, **SIZE)
    mine = LoraEnsemble(LlamaForCausalLM(config), LoraEnsembleConfig(members=2, r=2, task_type="CAUSAL_LM"))
    rows = [{"input_ids": (ids := list(range(1, 3 + n))), "labels": ids} for n in (4, 4, 7, 7)]
    args = arguments(tmp_path, per_device_eval_batch_size=2)
    found = EnsembleTrainer(mine, args).predict(Dataset.from_list(rows))
    assert found.predictions.shape == (2, 4, 9, 30)
    with torch.no_grad():
        alone_MBTV = mine(input_ids=torch.tensor([rows[2]["input_ids"]])).logits
    np.testing.assert_allclose(found.predictions[:, 2], alone_MBTV[:, 0].numpy(), rtol=1e-4, atol=1e-5)
    assert (found.predictions[:, 0, 6:] == -100).all()  # a Trainer's filling


def test_is_saved_as_an_ensemble_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    args = arguments(tmp_path / "a", save_strategy="steps", save_steps=2, num_train_epochs=4)
    mine = ensemble()
    EnsembleTrainer(mine, args, train_dataset=table()).train()
    again = ensemble()
    trainer = EnsembleTrainer(again, args, train_dataset=table())
    trainer.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-2"))
    assert all(torch.equal(v, again.trainable_state()[k]) for k, v in mine.trainable_state().items())
    trainer.save_model(str(tmp_path / "saved"))
    assert not (tmp_path / "saved" / "model.safetensors").exists()
    loaded = LoraEnsemble.from_pretrained(tmp_path / "saved", ensemble().member(0))
    inputs = {"input_ids": words()["input_ids"]}
    torch.testing.assert_close(loaded.predict(**inputs).logits_MBC, again.predict(**inputs).logits_MBC)


def test_a_plain_trainer_trains_and_says_that_it_cannot_predict(tmp_path: Path) -> None:
    trainer = Trainer(ensemble(), arguments(tmp_path, remove_unused_columns=False), train_dataset=table())
    assert trainer.train().global_step == 3
    with pytest.raises(ConfigurationError, match=r"along its members.*EnsembleTrainer"):
        trainer.predict(table())


def test_no_ensemble_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="trains an ensemble, not a Linear"):
        EnsembleTrainer(torch.nn.Linear(2, 2), arguments(tmp_path))  # type: ignore[arg-type]


def test_two_processes_gather_along_the_rows(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = ensemble().predict(input_ids=words()["input_ids"]).logits_MBC.numpy()
    for rank in (0, 1):
        np.testing.assert_allclose(np.load(tmp_path / f"{rank}.npy"), expected, rtol=1e-4, atol=1e-5)


def main(folder: Path) -> None:
    """Forks two processes that predict together, after one import of everything."""
    torch.set_num_threads(1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    pids = []
    for rank in ("0", "1"):
        if pid := os.fork():
            pids.append(pid)
            continue
        try:
            os.environ |= {"RANK": rank, "LOCAL_RANK": rank}
            found = EnsembleTrainer(ensemble(), arguments(folder / "trainer")).predict(table())
            np.save(folder / f"{rank}.npy", np.asarray(found.predictions))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
