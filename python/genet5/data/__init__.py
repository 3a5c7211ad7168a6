"""Packed datasets, samplers, baking and the tables of taxa and species."""

from genet5.data.dataset import Batch, PackedDataset, PackedSegment, whole_batch
from genet5.data.samplers import TokenBudgetSampler

__all__ = ["Batch", "PackedDataset", "PackedSegment", "TokenBudgetSampler", "whole_batch"]
