"""torch.compile of a model's parts."""

from __future__ import annotations

import inspect
from collections import namedtuple
from types import ModuleType
from typing import Any

from torch import nn

PARTS = ("encoder", "base_head", "compressor", "decoder")


def repair_cluster_dims(heuristics: ModuleType, kernel: Any) -> bool:
    """Make torch 2.9 and early 2.10 (NGC 25.12) work with triton 3.6; returns whether anything was changed.

    There the launcher of compiled kernels reads `metadata.cluster_dims`, which triton 3.6 no longer has
    (pytorch#167187). Inductor's kernels never use clusters, so each gets the dimensions of none.
    """
    source = inspect.getsource(heuristics)
    if "*binary.metadata.cluster_dims" not in source or 'hasattr(binary.metadata, "cluster_dims")' in source:
        return False
    construct = kernel.__init__

    def construct_with_cluster_dims(self: Any, *arguments: Any, **named: Any) -> None:
        construct(self, *arguments, **named)
        if not hasattr(self.metadata, "cluster_dims"):
            values = {**self.metadata._asdict(), "cluster_dims": (1, 1, 1)}
            metadata: Any = namedtuple("KernelMetadata", list(values))  # type: ignore[misc]
            self.metadata = metadata(**values)

    kernel.__init__ = construct_with_cluster_dims
    return True


def compile_parts(model: nn.Module, cuda: bool) -> list[str]:
    """Compile the model's parts in place, under their own names; returns the parts.

    `dynamic=None` lets the second length recompile with symbolic shapes; `True` makes them symbolic from the start,
    which takes a quarter of an hour on the recipe's model.
    """
    if cuda:
        from torch._inductor.runtime import triton_heuristics
        from triton.compiler import CompiledKernel

        repair_cluster_dims(triton_heuristics, CompiledKernel)
    compiled = []
    for name in PARTS:
        module = getattr(model, name, None)
        if isinstance(module, nn.Module):
            module.compile(dynamic=None)
            compiled.append(name)
    return compiled
