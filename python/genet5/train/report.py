"""What a run reports between two log events: mean losses, rates, the experts' load, and how long it will take."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from genet5.train.distributed import World
from genet5.train.log import Console, TrainingLog, duration, quantity
from genet5.train.losses import PARTS, QUALITY_PARTS, LossMeter, means, weighted


@dataclass(frozen=True)
class Position:
    """Where a run is: passes over the data, optimiser steps, and the share of the run that is done."""

    epochs: float
    step: int
    done: float


def _listed(losses: Mapping[str, float]) -> str:
    return ", ".join(f"{part} {value:.4f}" for part, value in losses.items())


class Report:
    """Collects an interval's figures; writes it as a row of the CSV log and a line for the reader when it is due.

    An interval is `log_every_pct` per cent of an epoch, or of the run where the clock ends it. Every process must call
    the methods in the same order: losses are summed over all of them.
    """

    def __init__(
        self,
        world: World,
        console: Console,
        log: TrainingLog | None,
        weights: Mapping[str, float],
        log_every_pct: float,
        by_time: bool,
    ) -> None:
        self.world, self.console, self.log = world, console, log
        self.weights, self.log_every_pct, self.by_time = weights, log_every_pct, by_time
        self._meter = LossMeter()
        self._losses: dict[str, float] = {}
        self._router: Mapping[str, torch.Tensor] | None = None
        self._tokens = self._bases = self._norm = 0.0
        self._next = 0.0
        self._began = self._mark = time.monotonic()
        self._first_done: float | None = None

    def add_batch(
        self,
        sums: Mapping[str, torch.Tensor],
        counts: Mapping[str, int],
        router: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """A batch of this process: sums of losses, their counts, and statistics of the experts where there are some."""
        self._meter.add(sums, counts)
        self._router = router or self._router

    def begin(self, position: Position) -> None:
        """Training begins or goes on here, after reading or validation, which no rate counts."""
        if self._first_done is None:
            self._first_done, self._began = position.done, time.monotonic()
        self._mark = time.monotonic()

    def step(self, position: Position, lr: float, norm: float, tokens: float, bases: float) -> None:
        """An optimiser step of all processes is done: `norm` of the gradient, DNA `tokens` and `bases` it has seen."""
        self._tokens += tokens
        self._bases += bases
        share = position.done if self.by_time else position.epochs
        ends_epoch = position.epochs == math.floor(position.epochs)
        due = position.done >= 1 or share * 100 >= self._next or (ends_epoch and not self.by_time)
        if due:
            self._next = (math.floor(share * 100 / self.log_every_pct + 1e-9) + 1) * self.log_every_pct
            self._write(position, lr, norm)
        elif self.console.status_due():
            rate = self._bases / max(time.monotonic() - self._mark, 1e-9)
            self.console.status(f"{self._where(position)}  {quantity(rate)}b/s  ETA {self._remaining(position)}")

    def _where(self, position: Position) -> str:
        epoch = max(1, math.ceil(position.epochs))
        return f"epoch {epoch}, step {position.step} ({100 * position.done:.1f}%)"

    def _remaining(self, position: Position) -> str:
        gained = max(position.done - (self._first_done or 0.0), 1e-9)
        return duration((time.monotonic() - self._began) / gained * (1 - position.done))

    def _write(self, position: Position, lr: float, norm: float) -> None:
        # A part that no step of the interval had (the decoder's under --text_every) counts with its last value.
        self._losses |= means(self.world.sum(self._meter.totals()))
        losses = {part: self._losses[part] for part in PARTS if part in self._losses}
        self._meter = LossMeter()
        total = weighted(losses, self.weights, PARTS)
        seconds = max(time.monotonic() - self._mark, 1e-9)
        tokens, bases = self._tokens / seconds, self._bases / seconds
        self._tokens = self._bases = 0.0
        if self.log:
            self.log.write(
                {
                    "event": "train",
                    "epoch": position.epochs,
                    "step": position.step,
                    "done": position.done,
                    "lr": lr,
                    "loss": total,
                    **{f"{part}_loss": value for part, value in losses.items()},
                    "grad_norm": norm,
                    "tokens_per_s": tokens,
                    "bases_per_s": bases,
                    **{name: float(value) for name, value in (self._router or {}).items()},
                }
            )
        self.console.line(
            f"{self._where(position)}  loss {total:.4f} ({_listed(losses)})  lr {lr:.2e}  gradient {norm:.3g}  "
            f"{quantity(tokens)} tokens/s  {quantity(bases)}b/s  ETA {self._remaining(position)}"
        )
        self._mark = time.monotonic()

    def validation(self, position: Position, losses: Mapping[str, float], best: float, seconds: float) -> None:
        """A validation is done; `best` is the lowest loss so far, this one included."""
        total = weighted(losses, self.weights, QUALITY_PARTS)
        better = total == best
        if self.log:
            self.log.write(
                {
                    "event": "validation",
                    "epoch": position.epochs,
                    "step": position.step,
                    "done": position.done,
                    "loss": total,
                    **{f"{part}_loss": value for part, value in losses.items()},
                    "best": int(better),
                }
            )
        verdict = "the best yet, saved" if better else f"saved; the best is {best:.4f}"
        self.console.line(
            f"validation after step {position.step}: {total:.4f} ({_listed(losses)}), {verdict} ({seconds:.1f} s)"
        )
