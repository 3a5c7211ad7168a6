"""Which samples make which batch: a pure function of data, seed and epoch, so that a run can go on anywhere.

The order is that of all processes: process r of n takes every n-th batch from the r-th. It does not depend on n.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genet5.data import PackedDataset, TokenBudgetSampler

if TYPE_CHECKING:
    from genet5.train.options import TrainingOptions


def training_sampler(dataset: PackedDataset, options: TrainingOptions) -> TokenBudgetSampler:
    """Batches in an order that seed and epoch decide."""
    return TokenBudgetSampler(dataset.target_lengths, options.token_budget, options.max_batch_size, seed=options.seed)


def validation_batches(dataset: PackedDataset, options: TrainingOptions) -> list[np.ndarray]:
    """Batches in the file's order."""
    sampler = TokenBudgetSampler(dataset.target_lengths, options.token_budget, options.max_batch_size, shuffle=False)
    return sampler.epoch_batches(0)


def trace(dataset: PackedDataset, segment_ids: np.ndarray) -> str:
    """Where a batch's segments lie in their genomes, for a message."""
    places = [dataset.place(int(segment)) for segment in segment_ids[:8]]
    more = f" and {len(segment_ids) - 8} more" if len(segment_ids) > 8 else ""
    return "the batch of " + ", ".join(places) + more
