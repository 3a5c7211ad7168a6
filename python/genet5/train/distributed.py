"""The processes of a run that `torchrun` started: who they are, and what they add up."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

_BUCKET_BYTES = 32 * 2**20


@dataclass(frozen=True)
class World:
    """The processes of a run; a single process needs no `torch.distributed` at all.

    Gradients are summed once an optimiser step, in buckets, over parameters that any process has a gradient for.
    With gradients accumulated over many batches nothing is gained by overlapping the sum with the last backward pass,
    and parameters that some steps leave unused (the decoder's under `--text_every`) need no search of the graph.
    """

    rank: int
    size: int
    device: torch.device
    control: Any = None

    @classmethod
    def from_environment(cls) -> World:
        """Join the processes that `torchrun` started, NCCL on GPUs and gloo on CPUs; alone without `torchrun`."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        cuda = torch.cuda.is_available()
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(device)
        if size == 1:
            return cls(0, 1, device)
        # Before the group exists: what this module keeps at its import would hold the group for ever, and threads of
        # gloo that outlive the interpreter abort the process now and then.
        importlib.import_module("torch._dynamo")
        dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(minutes=30))
        # Flags and counts travel over gloo: they live on the host, and NCCL would make each of them wait for the GPU.
        control = dist.new_group(backend="gloo") if cuda else None
        return cls(dist.get_rank(), dist.get_world_size(), device, control)

    def close(self) -> None:
        """Leave the process group."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def sum(self, values: list[float]) -> list[float]:
        """Sums over the processes of numbers on the host, in float64."""
        if self.size == 1:
            return values
        vector = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(vector, group=self.control)
        return vector.tolist()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag if self.size == 1 else self.sum([float(flag)])[0] > 0

    def gather(self, value: Any) -> list[Any]:
        """Picklable values of all processes, in the order of their ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self.control)
        return values

    def broadcast(self, value: Any) -> Any:
        """The main process' picklable value."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self.control)
        return box[0]

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier(group=self.control)

    def equalise(self, model: nn.Module) -> None:
        """Give every process the main process' parameters and buffers."""
        if self.size > 1:
            with torch.no_grad():
                for tensor in [*model.parameters(), *model.buffers()]:
                    dist.broadcast(tensor.detach(), src=0)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their sums over the processes; a missing one counts as zero where another has it."""
        if self.size == 1:
            return
        members = list(parameters)
        present = self.sum([float(parameter.grad is not None) for parameter in members])
        bucket: list[torch.Tensor] = []
        work: list[tuple[Any, torch.Tensor, list[torch.Tensor]]] = []

        def send() -> None:
            flat = torch._utils._flatten_dense_tensors(bucket)
            work.append((dist.all_reduce(flat, async_op=True), flat, list(bucket)))
            bucket.clear()

        held = 0
        for parameter, count in zip(members, present, strict=True):
            if not count:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if bucket and (held > _BUCKET_BYTES or parameter.grad.dtype != bucket[0].dtype):
                send()
                held = 0
            bucket.append(parameter.grad)
            held += parameter.grad.nbytes
        if bucket:
            send()
        for handle, flat, gradients in work:
            handle.wait()
            for gradient, summed in zip(gradients, torch._utils._unflatten_dense_tensors(flat, gradients), strict=True):
                gradient.copy_(summed)
