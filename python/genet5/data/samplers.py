"""Which samples make which batch.

The order is a pure function of (seed, epoch, world size, rank): no state runs along, so a run can go on at any step of
any epoch, on any machine, by asking for that step.

>>> sampler = TokenBudgetSampler([30, 10, 20, 10, 40], token_budget=50, max_batch_size=2, shuffle=False)
>>> [batch.tolist() for batch in sampler]
[[0, 1], [2, 3], [4]]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from genet5.errors import InputError

# Samples are sorted by length within stretches of this many batches of the shuffled order: batches of one step are then
# of like size on all ranks, and the order stays random from one stretch to the next.
_STRETCH = 64


class TokenBudgetSampler:
    """Batches of samples whose label tokens sum to at most a budget; a batch sampler for torch's loader.

    Args:
        lengths: label tokens of each sample, :attr:`PackedDataset.target_lengths`.
        token_budget: label tokens of a batch, at most; a longer sample is a batch of its own.
        max_batch_size: samples of a batch, at most.
        seed: of the order.
        rank, world_size: this process and their number. Every rank has the same number of batches: where they do not
            divide evenly, the last step takes batches from the epoch's beginning again.
        shuffle: False gives the samples in the file's order.
    """

    def __init__(
        self,
        lengths: Sequence[int] | NDArray[np.integer],
        token_budget: int,
        max_batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
    ) -> None:
        if token_budget < 1 or max_batch_size < 1:
            raise InputError(f"a token budget of {token_budget} and batches of {max_batch_size}: both must be positive")
        if not 0 <= rank < world_size:
            raise InputError(f"rank {rank} of {world_size} processes")
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.token_budget, self.max_batch_size = token_budget, max_batch_size
        self.seed, self.rank, self.world_size, self.shuffle = seed, rank, world_size, shuffle
        self.epoch, self.step = 0, 0
        self._made: tuple[int, list[NDArray[np.int64]]] | None = None

    def set_position(self, epoch: int, step: int = 0) -> None:
        """What the next iteration begins with."""
        self.epoch, self.step = epoch, step

    def epoch_batches(self, epoch: int) -> list[NDArray[np.int64]]:
        """All batches of an epoch, of all ranks, in order: step s of rank r is batch ``s * world_size + r``."""
        if self._made is not None and self._made[0] == (epoch if self.shuffle else 0):
            return self._made[1]
        count = len(self.lengths)
        if not self.shuffle:
            batches = self._group(np.arange(count))
        else:
            generator = np.random.default_rng([self.seed, epoch])
            order = generator.permutation(count)
            stretch = _STRETCH * self.max_batch_size * self.world_size
            for begin in range(0, count, stretch):
                part = order[begin : begin + stretch]
                # Stable, so that equal lengths keep their random order.
                order[begin : begin + stretch] = part[np.argsort(self.lengths[part], kind="stable")]
            grouped = self._group(order)
            # Whole steps change places: their batches, one a rank, are neighbours in length.
            steps = [grouped[i : i + self.world_size] for i in range(0, len(grouped), self.world_size)]
            rest = steps.pop() if steps and len(steps[-1]) < self.world_size else []
            batches = [batch for i in generator.permutation(len(steps)) for batch in steps[i]] + rest
        if batches:
            missing = -len(batches) % self.world_size
            batches += [batches[i % len(batches)] for i in range(missing)]
        self._made = (epoch if self.shuffle else 0, batches)
        return batches

    def _group(self, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        batches, begin, held = [], 0, 0
        for position, length in enumerate(self.lengths[order].tolist()):
            if position > begin and (held + length > self.token_budget or position - begin == self.max_batch_size):
                batches.append(order[begin:position])
                begin, held = position, 0
            held += length
        if begin < len(order):
            batches.append(order[begin:])
        return batches

    def __len__(self) -> int:
        """Batches of this rank in an epoch; the same for every rank, and all but the same for every epoch."""
        return len(self.epoch_batches(self.epoch)) // self.world_size

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        batches = self.epoch_batches(self.epoch)
        return iter(batches[self.step * self.world_size + self.rank :: self.world_size])
