"""Which samples make which batch: a pure function of data, seed and epoch, so that a run can go on anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genet5.train.options import TrainingOptions

if TYPE_CHECKING:
    from genet5.data import PackedDataset


def _group(order: np.ndarray, lengths: np.ndarray, token_budget: int, max_batch_size: int) -> list[np.ndarray]:
    """Cut an order of samples into batches; a sample longer than the budget is a batch of its own."""
    batches, begin, held = [], 0, 0
    for position, length in enumerate(lengths[order]):
        if position > begin and (held + length > token_budget or position - begin == max_batch_size):
            batches.append(order[begin:position])
            begin, held = position, 0
        held += length
    batches.append(order[begin:])
    return batches


def epoch_batches(dataset: PackedDataset, options: TrainingOptions, epoch: int) -> list[np.ndarray]:
    """All processes' batches of an epoch, in order; process r of n takes every n-th from the r-th."""
    order = np.random.default_rng([options.seed, epoch]).permutation(len(dataset))
    return _group(order, dataset.target_lengths, options.token_budget, options.max_batch_size)


def validation_batches(dataset: PackedDataset, options: TrainingOptions) -> list[np.ndarray]:
    """All processes' batches of the validation data, in the file's order."""
    return _group(np.arange(len(dataset)), dataset.target_lengths, options.token_budget, options.max_batch_size)


def trace(dataset: PackedDataset, segment_ids: np.ndarray) -> str:
    """Where a batch's segments lie in their genomes, for a message."""
    places = [dataset.place(int(segment)) for segment in segment_ids[:8]]
    more = f" and {len(segment_ids) - 8} more" if len(segment_ids) > 8 else ""
    return "the batch of " + ", ".join(places) + more
