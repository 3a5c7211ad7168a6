"""Packed datasets, samplers, baking and the tables of taxa and species.

Names are imported when they are first used: baking needs none of numpy, which the dataset imports.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genet5.data.bake_options import BakeOptions
    from genet5.data.dataset import Batch, PackedDataset, PackedSegment, whole_batch
    from genet5.data.packing import PackedWindow, PackingPlan, pack_windows, write_packed
    from genet5.data.samplers import TokenBudgetSampler

__all__ = [
    "BakeOptions",
    "Batch",
    "PackedDataset",
    "PackedSegment",
    "PackedWindow",
    "PackingPlan",
    "TokenBudgetSampler",
    "pack_windows",
    "whole_batch",
    "write_packed",
]

_MODULES = {
    "BakeOptions": "bake_options",
    "Batch": "dataset",
    "PackedDataset": "dataset",
    "PackedSegment": "dataset",
    "PackedWindow": "packing",
    "PackingPlan": "packing",
    "TokenBudgetSampler": "samplers",
    "pack_windows": "packing",
    "whole_batch": "dataset",
    "write_packed": "packing",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'genet5.data' has no attribute '{name}'")
    return getattr(importlib.import_module(f"genet5.data.{_MODULES[name]}"), name)
