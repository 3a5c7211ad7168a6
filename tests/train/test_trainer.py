"""The loop on tiny data: it learns, goes on bit for bit, normalises over accumulations, and stops well."""

import csv
import math
import os
import signal

import pytest
import torch
from tiny_run import TinyDataset, TinyModel, tiny_trainer

from genet5.errors import InputError
from genet5.train import checkpoint
from genet5.train.loader import load
from genet5.train.losses import batch_counts
from genet5.train.trainer import DivergedError, Stopped


def rows(output, event):
    with (output / "training_log.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["event"] == event]


def weights(output, name="last"):
    return torch.load(output / name / "weights.pt")


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_learns_and_keeps_best_and_last(tmp_path):
    trainer = tiny_trainer(tmp_path, epochs=6, log_every_pct=50)
    trainer.run()
    train, validation = rows(tmp_path, "train"), rows(tmp_path, "validation")
    assert float(train[-1]["loss"]) < 0.8 * float(train[0]["loss"])
    assert len(validation) == 6
    assert trainer.progress.step == 6 * 12
    for part in ("text_loss", "class_loss", "signal_loss", "balance_loss", "router_z_loss"):
        assert math.isfinite(float(train[0][part]))
        assert part in ("balance_loss", "router_z_loss") or float(validation[-1][part]) > 0
    best = min(validation, key=lambda row: float(row["loss"]))
    assert float(best["loss"]) == pytest.approx(trainer.progress.best_loss, rel=1e-5)
    assert checkpoint.load_state(tmp_path / "best")["progress"]["step"] == int(best["step"])


def test_counts_are_those_of_the_model():
    batch = TinyDataset(4).batch(range(4))
    loaded = load(batch, pin=False)
    output = TinyModel()(**loaded.inputs(torch.device("cpu"), True, True))
    assert {part: int(count) for part, count in output.loss_counts.items()} == batch_counts(batch)


@pytest.mark.parametrize("accumulation", [2, 5])
def test_an_accumulation_is_one_large_batch(tmp_path, accumulation):
    """Batches of unequal size: the mean over all their tokens, not the mean of means; the last step is a short one."""
    order = torch.randperm(23, generator=torch.Generator().manual_seed(1)).numpy()
    models = []
    for name, size in (("small", 1), ("large", accumulation)):
        model = TinyModel()
        steps = accumulation if size == 1 else 1
        trainer = tiny_trainer(tmp_path / name, model, grad_accum=steps, epochs=1, max_grad_norm=0)
        trainer.sampler.epoch_batches = lambda epoch, size=size: [order[i : i + size] for i in range(0, 23, size)]
        trainer.run()
        assert trainer.progress.step == math.ceil(23 / accumulation)
        models.append(model)
    for name, value in models[0].state_dict().items():
        torch.testing.assert_close(value, models[1].state_dict()[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stop_at", [1, 7, 12, 13])
@pytest.mark.parametrize("optim_8bit", [False, True])
def test_goes_on_bit_for_bit(tmp_path, stop_at, optim_8bit):
    """A signal in the middle of an epoch, with dropout and accumulation; the rest is as if nothing had happened."""
    options = {"grad_accum": 2, "max_batch_size": 1, "epochs": 2, "optim_8bit": optim_8bit, "num_workers": 1}
    whole = tiny_trainer(tmp_path / "whole", TinyModel(dropout=0.3), **options)
    whole.run()

    first = tiny_trainer(tmp_path / "cut", TinyModel(dropout=0.3), **options)
    step, forwards = first._step, []

    def interrupted(group, polls, factor):
        if first.progress.step == stop_at:
            # In the middle of the accumulation: the step must be done again from its start.
            forward = first._forward

            def last_forward(*arguments):
                forwards.append(1)
                os.kill(os.getpid(), signal.SIGTERM)
                return forward(*arguments)

            first._forward = last_forward
        return step(group, polls, factor)

    first._step = interrupted
    with pytest.raises(Stopped):
        first.run()
    assert len(forwards) == 1
    assert first.progress.step == stop_at

    model = TinyModel(dropout=0.3, seed=9)
    model.load_state_dict(weights(tmp_path / "cut"))
    second = tiny_trainer(tmp_path / "cut", model, **options)
    second.resume(checkpoint.load_state(tmp_path / "cut" / "last"))
    second.run()
    assert second.progress.step == whole.progress.step == 24
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert same(weights(tmp_path / "whole", "best"), weights(tmp_path / "cut", "best"))
    assert second.progress.best_loss == whole.progress.best_loss


def test_a_signal_in_an_evaluation_repeats_the_evaluation(tmp_path):
    first = tiny_trainer(tmp_path, epochs=1)
    evaluate = first.evaluate

    def interrupted():
        os.kill(os.getpid(), signal.SIGINT)
        return evaluate()

    first.evaluate = interrupted
    with pytest.raises(Stopped):
        first.run()
    assert not (tmp_path / "best").exists()
    model = TinyModel()
    model.load_state_dict(weights(tmp_path))
    second = tiny_trainer(tmp_path, model, epochs=1)
    second.resume(checkpoint.load_state(tmp_path / "last"))
    second.run()
    assert len(rows(tmp_path, "validation")) == 1
    assert second.progress.step == 12
    assert (tmp_path / "best").is_dir()


def test_what_does_not_fit_is_refused(tmp_path):
    tiny_trainer(tmp_path, epochs=1).run()
    state = checkpoint.load_state(tmp_path / "last")
    with pytest.raises(InputError, match="--seed 0 and cannot go on with 1"):
        tiny_trainer(tmp_path, epochs=2, seed=1).resume(state)
    with pytest.raises(InputError, match="made by 2 processes"):
        tiny_trainer(tmp_path, epochs=2).resume({**state, "world_size": 2})
    with pytest.raises(InputError, match="optimiser's state does not fit"):
        tiny_trainer(tmp_path, epochs=2, freeze_encoder=True).resume(state)


def test_a_new_rate_holds_after_resuming(tmp_path):
    tiny_trainer(tmp_path, epochs=1, lr=1e-2).run()
    trainer = tiny_trainer(tmp_path, epochs=2, lr=1e-3)
    trainer.resume(checkpoint.load_state(tmp_path / "last"))
    assert {group["highest_lr"] for group in trainer.optimizer.param_groups} == {1e-3}


def test_a_loss_that_is_no_number_names_the_place(tmp_path):
    trainer = tiny_trainer(tmp_path, training=TinyDataset(23, poisoned=17), grad_accum=3, max_batch_size=1)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(DivergedError, match=r"loss of optimiser step \d+ is not a finite number, in .*chrT:1701-1800"):
        trainer.run()
    assert not (tmp_path / "last").exists()
    assert all(torch.isfinite(value).all() for value in trainer.model.state_dict().values())
    assert before.keys() == trainer.model.state_dict().keys()


def test_early_stopping_counts_evaluations(tmp_path):
    trainer = tiny_trainer(tmp_path, epochs=50, early_stopping=2, save_steps=5)
    losses = iter([3.0, 2.0, 2.5, 2.1, 1.0])
    trainer.evaluate = lambda: {"text": next(losses)}
    trainer.run()
    assert trainer.progress.step == 15 or trainer.progress.evaluations_without_gain == 2
    assert len(rows(tmp_path, "validation")) == 4
    assert trainer.progress.best_loss == 2.0


def test_parts_can_be_left_out(tmp_path):
    model = TinyModel()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = tiny_trainer(tmp_path, model, text_weight=0.0, freeze_encoder=True, epochs=1)
    trainer.run()
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"base_head"}
    assert rows(tmp_path, "train")[-1]["text_loss"] == ""


def test_text_every(tmp_path):
    trainer = tiny_trainer(tmp_path, text_every=3, epochs=1)
    forward, seen = trainer._forward, []

    def counted(batch, with_text, with_bases):
        if torch.is_grad_enabled():
            seen.append(with_text)
        return forward(batch, with_text, with_bases)

    trainer._forward = counted
    trainer.run()
    assert seen == [index % 3 == 0 for index in range(12)]


def test_time_limit_ends_the_run_with_the_rate_decayed(tmp_path):
    trainer = tiny_trainer(tmp_path, epochs=None, time_limit=1.0, log_every_pct=5)
    trainer._seconds = lambda: trainer.progress.step * 0.5
    trainer.run()
    train = rows(tmp_path, "train")
    assert trainer.progress.step == 120
    assert float(train[-1]["done"]) == 1.0
    assert float(train[-1]["lr"]) == pytest.approx(1e-2 * (1 / 120) / 0.97, rel=0.2)
    assert 20 <= len(train) <= 22
    assert (tmp_path / "best").is_dir()


def test_announces_steps_and_warns(tmp_path, capsys):
    tiny_trainer(tmp_path, grad_accum=4, epochs=3).announce()
    text = capsys.readouterr().out
    assert "9 optimiser steps: 3 an epoch" in text
    assert "lower --grad_accum" in text
    empty = _Empty()
    with pytest.raises(InputError, match="0 optimiser steps"):
        tiny_trainer(tmp_path, training=empty)


class _Empty(TinyDataset):
    def __init__(self):
        super().__init__(1)

    def __len__(self):
        return 0
