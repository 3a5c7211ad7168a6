"""The learning rate over a run: linear warm-up, then linear decay to the end."""

from __future__ import annotations

import math
from dataclasses import dataclass

# The clock stands at 0 in the first step of a run that is limited by time; its learning rate must not.
_LOWEST_FACTOR = 0.01


@dataclass(frozen=True)
class Schedule:
    """Factor on the highest learning rate, from the share of the run that is done.

    A run ends after a number of passes over the data, after a time, or at whichever of the two comes first; both are
    shares of the run, so the schedule follows the larger one.
    """

    epoch_limit: float = math.inf
    seconds_limit: float = math.inf
    warmup_ratio: float = 0.0

    def done(self, epochs: float, seconds: float) -> float:
        """Share of the run that is done, 0 to 1, after so many passes over the data and seconds."""
        share = max(epochs / self.epoch_limit, seconds / self.seconds_limit)
        return 1.0 if share > 1 - 1e-9 else share

    def factor(self, done: float, steps_per_epoch: int) -> float:
        """Factor in the optimiser step that begins when `done` of the run is done; positive, at most 1."""
        # A step stands for the interval that it fills, so that the first one is not lost to a rate of 0.
        width = 1 / (steps_per_epoch * self.epoch_limit)
        if done < self.warmup_ratio:
            return min(1.0, max((done + width) / self.warmup_ratio, _LOWEST_FACTOR))
        return min(1.0, max((1 - done) / (1 - self.warmup_ratio), _LOWEST_FACTOR))
