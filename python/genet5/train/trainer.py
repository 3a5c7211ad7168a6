"""The training loop."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

from genet5.errors import GeneT5Error, InputError
from genet5.train import checkpoint
from genet5.train.batches import trace, training_sampler, validation_batches
from genet5.train.distributed import World
from genet5.train.interrupt import StopRequest
from genet5.train.loader import BatchLoader, LoadedBatch
from genet5.train.log import Console, TrainingLog, quantity
from genet5.train.losses import (
    BASE_PARTS,
    PARTS,
    QUALITY_PARTS,
    TEXT_PARTS,
    LossMeter,
    add_counts,
    intron_weight,
    means,
    normalised,
    weighted,
)
from genet5.train.optimizer import build_optimizer, set_learning_rates, trained_parameters
from genet5.train.options import TrainingOptions
from genet5.train.report import Position, Report
from genet5.train.schedule import Schedule

if TYPE_CHECKING:
    from genet5.data import PackedDataset

# Options that decide which batches make which step; a run that goes on must keep them.
_ORDER_OPTIONS = ("seed", "token_budget", "max_batch_size", "grad_accum", "text_every", "optim_8bit")


class Stopped(Exception):
    """A signal asked for the end, and everything is saved."""


class DivergedError(GeneT5Error):
    """A loss or gradient is not a finite number."""


@dataclass
class Progress:
    """How far a run has come; what a checkpoint must know to go on."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    best_step: int = 0
    evaluations_without_gain: int = 0
    evaluation_due: bool = False


class Trainer:
    """Trains a model on packed data and keeps `best/` and `last/` in the run's folder.

    `write_model` writes everything that belongs to the model into a folder; it is called on the main process only.
    """

    def __init__(
        self,
        model: nn.Module,
        training: PackedDataset,
        validation: PackedDataset,
        options: TrainingOptions,
        output: Path,
        write_model: Callable[[Path], None],
        world: World | None = None,
        console: Console | None = None,
        identity: dict[str, str] | None = None,
    ) -> None:
        options.validate()
        self.options = options
        self.training, self.validation = training, validation
        self.output = output
        self.write_model = write_model
        self.world = world or World(0, 1, torch.device("cpu"))
        self.console = console or Console(self.world.is_main)
        self.identity = identity or {}
        self.device = self.world.device
        for name, dataset in (("training", training), ("validation", validation)):
            if not len(dataset):
                raise InputError(f"the {name} data holds no samples: 0 optimiser steps; bake more data")

        self.sampler = training_sampler(training, options)
        self.with_text = options.text_weight > 0
        self.with_bases = options.base_weight > 0
        self.model = cast(Any, model)
        self.model.to(self.device)
        self.model.config.label_smoothing = options.label_smoothing
        self.model.config.intron_weight = options.intron_weight or intron_weight(training.metadata.get("priors"))
        self._choose_trained_parts()
        self.world.equalise(self.model)
        self.optimizer = build_optimizer(self.model, options)
        self.loss_weights = self._loss_weights()
        limit = options.time_limit * 60 if options.time_limit is not None else math.inf
        self.schedule = Schedule(options.epoch_limit, limit, options.warmup_ratio)
        self.progress = Progress()
        self.bf16 = options.precision == "bf16" or (options.precision == "auto" and self.device.type == "cuda")
        self._steps_per_epoch = 1
        self._stop = StopRequest()
        # Dropout differs between processes, as their batches do.
        torch.manual_seed(options.seed * 1_000_003 + self.world.rank)

    # --- setting up ---

    def _choose_trained_parts(self) -> None:
        if self.options.freeze_encoder:
            self.model.encoder.requires_grad_(False)
        if not self.with_text:
            for name, module in self.model.named_children():
                if name not in ("encoder", "base_head"):
                    module.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise InputError("every parameter is frozen: leave out --freeze_encoder or raise the losses' weights")

    def _loss_weights(self) -> dict[str, float]:
        own = dict.fromkeys(TEXT_PARTS, self.options.text_weight) | dict.fromkeys(BASE_PARTS, self.options.base_weight)
        return {part: own[part] * self.model.config.loss_weights.get(part, 1.0) for part in PARTS}

    def _steps(self, batches: Sequence[np.ndarray]) -> int:
        return math.ceil(len(batches) / (self.options.grad_accum * self.world.size))

    def announce(self) -> None:
        """Print what the run will do; warn where it is too short to learn."""
        batches = self.sampler.epoch_batches(0)
        steps = self._steps(batches)
        trained = sum(parameter.numel() for parameter in trained_parameters(self.optimizer))
        processes = f", {self.world.size} processes" if self.world.size > 1 else ""
        self.console.line(
            f"training {quantity(trained)} parameters on {len(self.training)} packs, validating on "
            f"{len(self.validation)}; {self.device.type}, {'bf16' if self.bf16 else 'fp32'}{processes}"
        )
        limit = self.options.epoch_limit
        if math.isinf(limit):
            assert self.options.time_limit is not None
            self.console.line(f"{steps} optimiser steps an epoch, for {self.options.time_limit:g} minutes")
            return
        total = math.ceil(steps * limit - 1e-9)
        until = f" or {self.options.time_limit:g} minutes" if self.options.time_limit is not None else ""
        self.console.line(f"{total} optimiser steps: {steps} an epoch, {limit:g} epochs{until}")
        if total < 100:
            flag = (
                "lower --grad_accum"
                if self.options.grad_accum > 1
                else "lower --token_budget or --max_batch_size"
                if len(batches) < len(self.training)
                else "raise --epochs"
            )
            self.console.line(
                f"warning: fewer than 100 optimiser steps teach a model little; {flag}, or bake more data"
            )

    # --- one optimiser step ---

    def _forward(self, batch: LoadedBatch, with_text: bool, with_bases: bool) -> Any:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            return self.model(**batch.inputs(self.device, with_text, with_bases))

    def _poll(self) -> None:
        """Raise :class:`Stopped` in every process once a signal has come to any of them."""
        if self.world.any(self._stop.requested):
            raise Stopped

    def _step(self, group: list[LoadedBatch], polls: int, factor: float) -> tuple[float, float, float]:
        """One optimiser step over `group`; no process has more than `polls` batches.

        Returns the gradient's norm, and the DNA tokens and bases of all processes' batches.
        """
        options = self.options
        with_text = self.with_text and self.progress.step % options.text_every == 0
        counts: dict[str, int] = dict.fromkeys(PARTS, 0)
        for batch in group:
            add_counts(counts, batch.counts)
        size = [float(sum(batch.tokens for batch in group)), float(sum(batch.bases for batch in group))]
        *summed, tokens, bases = self.world.sum([float(counts[part]) for part in PARTS] + size)
        step_counts = dict(zip(PARTS, summed, strict=True))

        set_learning_rates(self.optimizer, factor)
        losses = []
        for index in range(polls):
            self._poll()
            if index >= len(group):
                continue
            output = self._forward(group[index], with_text, self.with_bases)
            loss = normalised(output.loss_sums, step_counts, self.loss_weights)
            if loss.requires_grad:
                loss.backward()
            losses.append(loss.detach())
            self._report.add_batch(output.loss_sums, group[index].counts, getattr(output, "router", None))
        parameters = list(trained_parameters(self.optimizer))
        self.world.sum_gradients(parameters)
        norm = float(nn.utils.clip_grad_norm_(parameters, options.max_grad_norm or math.inf))
        if not math.isfinite(norm):
            self._diverged(group, losses)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm, tokens, bases

    def _diverged(self, group: list[LoadedBatch], losses: list[torch.Tensor]) -> None:
        bad = [index for index, loss in enumerate(losses) if not math.isfinite(float(loss))]
        kind, index = ("loss", bad[0]) if bad else ("gradient", 0)
        mine = trace(self.training, group[index].segment_ids) if group and (bad or len(group) == 1) else None
        found = [(kind, place) for kind, place in self.world.gather((kind, mine)) if place]
        found.sort(key=lambda item: item[0] != "loss")
        kind, place = found[0] if found else ("gradient", "one of the step's batches")
        raise DivergedError(
            f"the {kind} of optimiser step {self.progress.step + 1} is not a finite number, in {place}; nothing was "
            f"overwritten: look at the data there, or go on from {self.output / 'last'} with --resume and a lower --lr"
        )

    # --- the loop ---

    def _position(self) -> Position:
        """Where the run is, the same in every process."""
        progress = self.progress
        seconds = self._seconds() if math.isfinite(self.schedule.seconds_limit) else 0.0
        if self.world.size > 1 and seconds:
            seconds = self.world.broadcast(seconds)
        epochs = progress.epoch + progress.step_in_epoch / self._steps_per_epoch
        return Position(epochs, progress.step, self.schedule.done(epochs, seconds))

    def _seconds(self) -> float:
        return self.progress.seconds + time.monotonic() - self._began

    def _should_stop_early(self) -> bool:
        patience = self.options.early_stopping
        return bool(patience) and self.progress.evaluations_without_gain >= patience

    def _training_mode(self) -> None:
        self.model.train()
        if self.options.freeze_encoder:
            self.model.encoder.eval()

    def run(self) -> None:
        """Train to the end; raises :class:`Stopped` after a signal, with everything saved."""
        self._began = time.monotonic()
        log = TrainingLog(self.output / "training_log.csv") if self.world.is_main else None
        by_time = math.isfinite(self.schedule.seconds_limit)
        self._report = Report(self.world, self.console, log, self.loss_weights, self.options.log_every_pct, by_time)
        try:
            with self._stop:
                more = True
                while more:
                    more = self._epoch()
        finally:
            if log:
                log.close()

    def _epoch(self) -> bool:
        """Train to the end of the epoch or of the run; False at the end of the run."""
        options, progress = self.options, self.progress
        batches = self.sampler.epoch_batches(progress.epoch)
        self._steps_per_epoch = steps = self._steps(batches)
        if progress.evaluation_due:
            self._evaluate_and_save()
        position = self._position()
        if position.done >= 1 or self._should_stop_early():
            return False
        per_step = options.grad_accum * self.world.size
        loader = self._loader(self.training, batches[progress.step_in_epoch * per_step :], options.grad_accum)
        self._training_mode()
        self._report.begin(position)
        with contextlib.closing(loader):
            while True:
                share = min(per_step, len(batches) - progress.step_in_epoch * per_step)
                mine = math.ceil(max(0, share - self.world.rank) / self.world.size)
                random = checkpoint.random_state(self.device)
                factor = self.schedule.factor(position.done, steps)
                try:
                    group = [next(loader) for _ in range(mine)]
                    norm, tokens, bases = self._step(group, math.ceil(share / self.world.size), factor)
                except Stopped:
                    # The step is done again, from its start, when the run goes on.
                    self.optimizer.zero_grad(set_to_none=True)
                    checkpoint.set_random_state(random, self.device)
                    self._save()
                    raise
                progress.step += 1
                progress.step_in_epoch += 1
                position = self._position()
                self._report.step(position, factor * options.lr, norm, tokens, bases)
                if options.empty_cache_steps and progress.step % options.empty_cache_steps == 0:
                    torch.cuda.empty_cache()
                epoch_ended = progress.step_in_epoch == steps
                if epoch_ended:
                    progress.epoch += 1
                    progress.step_in_epoch = 0
                if (
                    epoch_ended
                    or position.done >= 1
                    or (options.save_steps and progress.step % options.save_steps == 0)
                ):
                    progress.evaluation_due = True
                    self._evaluate_and_save()
                    self._training_mode()
                    self._report.begin(position)
                if epoch_ended or position.done >= 1 or self._should_stop_early():
                    return position.done < 1 and not self._should_stop_early()

    def _loader(self, dataset: PackedDataset, batches: Sequence[np.ndarray], ahead: int) -> Generator[LoadedBatch]:
        """This process' share of the batches of all."""
        workers = self.options.num_workers
        return BatchLoader(
            dataset,
            batches[self.world.rank :: self.world.size],
            workers,
            ahead=ahead + workers,
            pin=self.device.type == "cuda",
        ).batches_in_order()

    # --- validation and saving ---

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Mean validation losses by part, over all processes; no label smoothing, no dropout."""
        batches = validation_batches(self.validation, self.options)
        polls = math.ceil(len(batches) / self.world.size)
        loader = self._loader(self.validation, batches, ahead=2)
        meter = LossMeter()
        self.model.eval()
        with contextlib.closing(loader):
            for _ in range(polls):
                self._poll()
                batch = next(loader, None)
                if batch is not None:
                    meter.add(self._forward(batch, self.with_text, self.with_bases).loss_sums, batch.counts)
        return means(self.world.sum(meter.totals()))

    def _evaluate_and_save(self) -> None:
        progress = self.progress
        began = time.monotonic()
        try:
            losses = self.evaluate()
        except Stopped:
            self._save()
            raise
        total = weighted(losses, self.loss_weights, QUALITY_PARTS)
        if not math.isfinite(total):
            raise DivergedError(
                f"the validation loss after step {progress.step} is not a finite number; nothing was overwritten: "
                f"go on from {self.output / 'last'} with --resume and a lower --lr"
            )
        progress.evaluation_due = False
        better = total < progress.best_loss
        if better:
            progress.best_loss, progress.best_step = total, progress.step
            progress.evaluations_without_gain = 0
        else:
            progress.evaluations_without_gain += 1
        self._save()
        if better and self.world.is_main:
            checkpoint.copy_directory(self.output / "last", self.output / "best")
        self.world.barrier()
        self._report.validation(self._position(), losses, progress.best_loss, time.monotonic() - began)

    def _save(self) -> None:
        """Write `last/`, from the main process; every process hands in its random state."""
        random = self.world.gather(checkpoint.random_state(self.device))
        if self.world.is_main:
            progress = dataclasses.replace(self.progress, seconds=self._seconds())
            checkpoint.save(
                self.output / "last",
                self.write_model,
                {
                    "version": 1,
                    "progress": dataclasses.asdict(progress),
                    "optimizer": self.optimizer.state_dict(),
                    "random": random,
                    "options": self.options.as_dict(),
                    "world_size": self.world.size,
                    "identity": self.identity,
                },
            )
        self.world.barrier()

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state; an :class:`InputError` names what does not fit."""
        if state.get("version") != 1:
            raise InputError(
                f"{self.output / 'last'} was written by another version of the trainer; start the run anew"
            )
        if state["world_size"] != self.world.size:
            raise InputError(
                f"the run was made by {state['world_size']} processes and cannot go on with {self.world.size}: "
                "the order of batches would change; start as many"
            )
        for name in _ORDER_OPTIONS:
            before, now = state["options"].get(name), getattr(self.options, name)
            if before != now:
                raise InputError(
                    f"the run was made with --{name} {before} and cannot go on with {now}: give the same value"
                )
        for name, before in state["identity"].items():
            if name in self.identity and self.identity[name] != before:
                raise InputError(f"the run was made with other {name}: it cannot go on with this; start a new run")
        fresh = [(group["highest_lr"], group["weight_decay"]) for group in self.optimizer.param_groups]
        try:
            self.optimizer.load_state_dict(state["optimizer"])
        except ValueError as error:
            raise InputError(
                f"the optimiser's state does not fit the parameters that are trained now ({error}); give the same flags"
            ) from error
        for group, (rate, decay) in zip(self.optimizer.param_groups, fresh, strict=True):
            group["highest_lr"], group["weight_decay"] = rate, decay
        self.progress = Progress(**state["progress"])
        if self.world.is_main and self.progress.best_step == self.progress.step and self.progress.step:
            # A run that ended between saving `last` and copying it.
            checkpoint.copy_directory(self.output / "last", self.output / "best")
        checkpoint.set_random_state(state["random"][self.world.rank], self.device)
        self.console.line(f"going on after step {self.progress.step} of the run in {self.output}")
