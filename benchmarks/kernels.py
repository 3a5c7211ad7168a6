"""Speed of the kernels on the shapes of the recipe, beside what PyTorch and others offer: `make gpu-bench`.

    PYTHONPATH=python python benchmarks/kernels.py [--only encoder] [--json FILE] [--sweep] [--seconds 540]

What matters most comes first, and after `--seconds` nothing more is begun: a line says what was left out. On a GPU the
kernels are first compiled in several processes, side by side. Every figure is measured in this run on this device.
`share` is the share of the roofline: the time that the useful operations or the least possible traffic would take at
the matrix and copy rates measured first, over the time taken. Useful operations count visible pairs only, whatever a
kernel executes. Needs no extension module; on a CPU it compares the PyTorch reference with dense attention.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F

from genet5.kernels import (
    anchor_positions,
    cross_attention,
    cross_ranges,
    experts,
    experts_reference,
    experts_torch,
    segment_blocks,
    window_decode_step,
    window_ranges,
    windowed_attention,
)
from genet5.kernels.configuration import Tile, all_tiles, forced

HEAD, ENCODER_HEADS, DECODER_KV_HEADS = 64, 12, 3
PACK = 4550
SENTENCES = (40, 55, 62, 70, 81, 97)


@dataclass
class Attention:
    """One attention problem: flat tensors, the rule, and what it costs at least."""

    name: str
    heads: int
    kv_heads: int
    offsets: list[int]
    window: tuple[int, int] = (-1, -1)
    causal: bool = False
    dropout_p: float = 0.0
    key_offsets: list[int] | None = None
    alibi: bool = True
    device: str = "cuda"
    dtype: torch.dtype = torch.bfloat16
    tensors: tuple[torch.Tensor, ...] = field(init=False)

    def __post_init__(self) -> None:
        queries, keys = self.offsets[-1], (self.key_offsets or self.offsets)[-1]
        make = dict(device=self.device, dtype=self.dtype)
        q = torch.randn(queries, self.heads, HEAD, **make)
        k, v = torch.randn(2, keys, self.kv_heads, HEAD, **make)
        self.grad = torch.randn(queries, self.heads, HEAD, **make)
        self.tensors = tuple(x.requires_grad_() for x in (q, k, v))
        self.segments = torch.tensor(self.offsets, device=self.device, dtype=torch.int32)
        exponents = torch.arange(1, self.heads + 1, device=self.device) * (8.0 / self.heads)
        self.slopes = torch.exp2(-exponents) if self.alibi else None
        self.positions = None
        if self.key_offsets is None:
            self.ranges = window_ranges(self.segments, queries, self.window, self.causal)
        else:
            key_segments = torch.tensor(self.key_offsets, device=self.device, dtype=torch.int32)
            self.ranges = cross_ranges(self.segments, key_segments, queries, keys)
            self.key_segments = key_segments
            if self.alibi:
                self.positions = anchor_positions(self.segments, key_segments, queries)
        self.pairs = int((self.ranges.rows[1] - self.ranges.rows[0]).to(torch.int64).sum())

    def operations(self, backward: bool) -> float:
        """Two products of 2 d operations a visible pair forward; five more backward."""
        return self.pairs * self.heads * HEAD * 2 * (7 if backward else 2)

    def traffic(self, backward: bool) -> float:
        """Each tensor read or written once, in bytes."""
        q, k, v = (x.numel() * x.element_size() for x in self.tensors)
        forward = 2 * q + k + v
        return forward + (3 * q + k + v) + (q + k + v) if backward else forward

    def ours(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """This package's operator, with ranges made before, as the model calls it."""
        if self.key_offsets is None:
            return windowed_attention(
                q, k, v, self.segments, self.window, self.slopes, self.dropout_p, causal=self.causal, ranges=self.ranges
            )
        return cross_attention(
            q, k, v, self.segments, self.key_segments, self.positions, self.slopes, self.dropout_p, ranges=self.ranges
        )

    def _distance(self, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
        if self.positions is None:
            return (i - j).abs()
        return (self.positions[i] - (j - self.ranges.rows[0][i])).abs()

    def dense(self) -> Callable[..., torch.Tensor] | None:
        """scaled_dot_product_attention with the whole mask; None where that alone takes over 4 GB."""
        q, k, _ = self.tensors
        if q.shape[0] * k.shape[0] * self.heads * q.element_size() > 4 << 30:
            return None
        i = torch.arange(q.shape[0], device=self.device)[:, None]
        j = torch.arange(k.shape[0], device=self.device)[None, :]
        visible = (j >= self.ranges.rows[0][:, None]) & (j < self.ranges.rows[1][:, None])
        mask = torch.zeros(self.heads, *visible.shape, device=self.device, dtype=self.dtype)
        if self.slopes is not None:
            mask -= (self.slopes[:, None, None] * self._distance(i, j)).to(self.dtype)
        mask.masked_fill_(~visible, -torch.inf)
        group = self.heads != self.kv_heads

        def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            batched = (x.transpose(0, 1)[None] for x in (q, k, v))
            out = F.scaled_dot_product_attention(*batched, mask[None], self.dropout_p, enable_gqa=group)
            return out[0].transpose(0, 1)

        return run

    def flex(self) -> Callable[..., torch.Tensor] | None:
        """Compiled FlexAttention; None on a CPU, with dropout, or where it does not compile."""
        if self.device == "cpu" or self.dropout_p:
            return None
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        first, last = self.ranges.rows
        slopes, positions = self.slopes, self.positions
        q, k, _ = self.tensors

        def visible(b, h, i, j):
            return (j >= first[i]) & (j < last[i])

        def distance(score, b, h, i, j):
            return score - slopes[h] * (i - j).abs()

        def place(score, b, h, i, j):
            return score - slopes[h] * (positions[i] - (j - first[i])).abs()

        bias = None if slopes is None else distance if positions is None else place
        mask = create_block_mask(visible, None, None, q.shape[0], k.shape[0], device=self.device, _compile=True)
        compiled = torch.compile(flex_attention, dynamic=False)
        group = self.heads != self.kv_heads

        def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            batched = (x.transpose(0, 1)[None] for x in (q, k, v))
            return compiled(*batched, score_mod=bias, block_mask=mask, enable_gqa=group)[0].transpose(0, 1)

        return run

    def flash(self) -> Callable[..., torch.Tensor] | None:
        """flash-attn's packed function, where it can be imported; it knows no anchors."""
        if self.device == "cpu" or self.positions is not None:
            return None
        try:
            from flash_attn import flash_attn_varlen_func
        except ImportError:
            return None
        key_segments = self.segments if self.key_offsets is None else self.key_segments
        longest, longest_key = (int(x.diff().max()) for x in (self.segments, key_segments))

        def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return flash_attn_varlen_func(
                q, k, v, self.segments, key_segments, longest, longest_key, self.dropout_p,
                causal=self.causal, window_size=self.window, alibi_slopes=self.slopes,
            )  # fmt: skip

        return run


def _cut(total: int, lengths: tuple[int, ...]) -> list[int]:
    """Offsets of segments of the given lengths, in turn, up to `total`."""
    offsets, turn = [0], 0
    while offsets[-1] < total:
        offsets.append(min(total, offsets[-1] + lengths[turn % len(lengths)]))
        turn += 1
    return offsets


def attention_problems(device: str) -> list[dict[str, Any]]:
    """The recipe's shapes as arguments of `Attention`, the most telling first; on a CPU what it can do in seconds."""
    cpu = device == "cpu"
    encoder = {"heads": ENCODER_HEADS, "kv_heads": ENCODER_HEADS, "window": (256, 256)}
    decoder = {"heads": ENCODER_HEADS, "kv_heads": DECODER_KV_HEADS, "window": (31, 0), "causal": True}
    long = PACK if cpu else 14 * PACK
    problems: list[dict[str, Any]] = []

    def add(name: str, shape: dict[str, Any], offsets: list[int], **more: Any) -> None:
        common = {"device": device, "dtype": torch.float32 if cpu else torch.bfloat16}
        problems.append({"name": name, "offsets": offsets, **shape, **common, **more})

    def encoder_packs(packs: int, **more: Any) -> None:
        name = f"encoder {packs * PACK}{', dropout' if more else ''}"
        add(name, encoder, _cut(packs * PACK, (PACK,)), **more)

    def sentences(tokens: int, **more: Any) -> None:
        name = f"decoder {tokens}, sentences{', dropout' if more else ''}"
        add(name, decoder, _cut(tokens, SENTENCES), **more)

    def cross(packs: int) -> None:
        latents, tokens = ([length * i for i in range(packs + 1)] for length in (1024, PACK))
        whole = {"window": (-1, -1), "causal": False}
        add(f"latents on tokens, {packs} packs", encoder | whole, latents, key_offsets=tokens)
        labels = torch.tensor([1000 * i for i in range(packs + 1)])
        blocks = segment_blocks(labels, int(labels[-1]), 16).offsets.tolist()
        add(f"blocks on latents, {packs} packs", decoder | whole, blocks, key_offsets=latents, alibi=False)

    if cpu:
        encoder_packs(1)
        add(f"decoder {long}, long", decoder, [0, long])
        sentences(1000)
        cross(1)
        return problems
    encoder_packs(4)
    add(f"decoder {long}, long", decoder, [0, long])
    sentences(8000)
    cross(4)
    encoder_packs(14)
    encoder_packs(1)
    sentences(1000)
    cross(1)
    encoder_packs(4, dropout_p=0.1)
    sentences(8000, dropout_p=0.1)
    add(f"encoder {PACK}, windows of 2275", encoder, _cut(PACK, (2275,)))
    return problems


class Device:
    """Timing on one device, the roofline measured on it, and the time that is left."""

    def __init__(self, name: str, deadline: float) -> None:
        self.name = name
        self.cuda = name == "cuda"
        self.deadline = deadline
        if not self.cuda:
            torch.set_num_threads(1)
        self.flush = torch.empty(256 << 20, dtype=torch.int8, device=name) if self.cuda else None
        side, dtype = (8192, torch.bfloat16) if self.cuda else (1024, torch.float32)
        a, b = torch.randn(2, side, side, device=name, dtype=dtype)
        self.operations = 2 * side**3 / self.seconds(lambda: a @ b)
        x = torch.empty((1 << 30) if self.cuda else (1 << 27), dtype=torch.int8, device=name)
        y = torch.empty_like(x)
        self.bytes = 2 * x.numel() / self.seconds(lambda: y.copy_(x))

    def late(self, what: str) -> bool:
        """Whether the time is up; says then what is left out."""
        up = time.monotonic() > self.deadline
        if up:
            print(f"  {what}: left out, the time is up (--seconds)", flush=True)
        return up

    def seconds(self, function: Callable[[], object], budget: float = 0.3) -> float:
        """Median time of a call over about `budget` seconds: with a cold cache on a GPU, one thread's work on a CPU."""
        for _ in range(3 if self.cuda else 1):
            function()
        times: list[float] = []
        started = time.perf_counter()
        while len(times) < (3 if self.cuda else 2) or (time.perf_counter() - started < budget and len(times) < 100):
            if self.cuda:
                assert self.flush is not None
                self.flush.zero_()
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                begin.record()
                function()
                end.record()
                torch.cuda.synchronize()
                times.append(begin.elapsed_time(end) / 1e3)
            else:
                begin_time = time.process_time()
                function()
                times.append(time.process_time() - begin_time)
        return statistics.median(times)

    def peak(self, function: Callable[[], object]) -> int | None:
        """Bytes of device memory that a call needs beside what was there before."""
        if not self.cuda:
            return None
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before


def _line(row: dict, device: Device) -> dict:
    least = max(row["operations"] / device.operations, row["bytes"] / device.bytes)
    row["share"] = least / row["seconds"]
    memory = "" if row.get("peak") is None else f"{row['peak'] / 1e6:9.1f} MB"
    ratio = "" if "ratio" not in row else f"  ours is {row['ratio']:.2f}x"
    print(
        f"  {row['pass']:<17} {row['what']:<12} {row['seconds'] * 1e3:9.3f} ms "
        f"{row['operations'] / row['seconds'] / 1e12:8.2f} TFLOP/s "
        f"{row['bytes'] / row['seconds'] / 1e9:8.1f} GB/s  share {row['share']:5.1%} {memory}{ratio}",
        flush=True,
    )
    return row


def bench_attention(problem: Attention, device: Device) -> list[dict]:
    """Forward, and forward with backward, of ours and of whatever else can do the same."""
    rows = []
    print(f"{problem.name}: {problem.heads}/{problem.kv_heads} heads of {HEAD}, {problem.pairs / 1e6:.2f} M pairs")
    # Each problem compiles FlexAttention anew; past a limit PyTorch would stop compiling it.
    torch.compiler.reset()
    makers: dict[str, Callable[[], Callable[..., torch.Tensor] | None]] = {
        "ours": lambda: problem.ours,
        "SDPA + mask": problem.dense,
        "flash-attn": problem.flash,
        "Flex": problem.flex,
    }
    mine: dict[str, float] = {}
    for what, make in makers.items():
        if what != "ours" and device.late(what):
            continue
        try:
            function = make()
            for backward in (False, True) if function is not None else ():
                label = "forward+backward" if backward else "forward"

                def call(function: Callable[..., torch.Tensor] = function, backward: bool = backward) -> None:
                    if backward:
                        torch.autograd.grad(function(*problem.tensors), problem.tensors, problem.grad)
                        return
                    with torch.no_grad():
                        function(*problem.tensors)

                row = {"name": problem.name, "pass": label, "what": what, "seconds": device.seconds(call)}
                row |= {"operations": problem.operations(backward), "bytes": problem.traffic(backward)}
                row["peak"] = device.peak(call)
                if label in mine:
                    row["ratio"] = row["seconds"] / mine[label]
                mine.setdefault(label, row["seconds"])
                rows.append(_line(row, device))
        except Exception as error:  # another library's failure is a result, not ours
            if what == "ours":
                raise
            print(f"  {what:<30} failed: {str(error).splitlines()[0][:90]}", flush=True)
    return rows


def _bench_experts_of(rows: int, width: int, hidden: int, count: int, dtype: torch.dtype, device: Device) -> list[dict]:
    picks = torch.randint(count, (rows,), device=device.name)
    offsets = torch.bincount(picks, minlength=count).cumsum(0).to(torch.int32)
    x = torch.randn(rows, width, device=device.name, dtype=dtype)
    gate_up = torch.randn(count, 2 * hidden, width, device=device.name, dtype=dtype) / width**0.5
    down = torch.randn(count, width, hidden, device=device.name, dtype=dtype) / hidden**0.5
    grad = torch.randn_like(x)
    print(f"experts: {rows} rows, {count} experts, {width} -> 2 x {hidden} -> {width}")
    # The first is what runs on this kind of device.
    modules = {"loop": experts_reference, "torch": experts_torch}
    if device.cuda:
        from genet5.kernels import experts_triton

        modules = {"triton": experts_triton, **modules}
    results = []
    for backward in (False, True):
        taken: dict[str, float] = {}
        for what, module in modules.items():

            def call(module: ModuleType = module, backward: bool = backward) -> None:
                _, pre = module.experts_forward(x, offsets, gate_up, down, "gelu")
                if backward:
                    module.experts_backward(grad, x, offsets, gate_up, down, pre, "gelu")

            taken[what] = device.seconds(call)
            row = {"name": f"experts {rows}", "what": what, "seconds": taken[what], "peak": device.peak(call)}
            row |= {"pass": "forward+backward" if backward else "forward"}
            row["operations"] = 2 * rows * 3 * hidden * width * (3 if backward else 1)
            row["bytes"] = (2 * x.numel() + gate_up.numel() + down.numel()) * x.element_size() * (3 if backward else 1)
            if len(taken) > 1:
                row["ratio"] = taken[what] / next(iter(taken.values()))
            results.append(_line(row, device))
    if device.cuda:
        faster = min(("triton", "torch"), key=lambda what: taken[what])
        capability = torch.cuda.get_device_capability()
        print(f"  for genet5.kernels.experts.MEASURED: {capability}: {faster!r} (now {experts.MEASURED})")
    return results


def bench_experts(device: Device) -> list[dict]:
    """16 experts, two a token: our kernels, torch's grouped product, and one product an expert."""
    if device.cuda:
        sizes = [(2 * tokens, 768, 3072, 16, torch.bfloat16) for tokens in (1000, 8000)]
    else:
        sizes = [(2000, 96, 384, 16, torch.float32)]
    return [row for size in sizes for row in _bench_experts_of(*size, device)]


def bench_decode(device: Device) -> list[dict]:
    """One step of generation, window 32."""
    rows = []
    dtype = torch.bfloat16 if device.cuda else torch.float32
    for batch in (1, 64, 512) if device.cuda else (1, 16):
        make = dict(device=device.name, dtype=dtype)
        q = torch.randn(batch, ENCODER_HEADS, HEAD, **make)
        k, v = torch.randn(2, batch, DECODER_KV_HEADS, HEAD, **make)
        cache_k, cache_v = torch.randn(2, batch, 32, DECODER_KV_HEADS, HEAD, **make)
        positions = torch.full((batch,), 100, device=device.name)
        slopes = torch.rand(ENCODER_HEADS, device=device.name)
        print(f"decoding step: batch {batch}, window 32")

        def call() -> None:
            window_decode_step(q, k, v, cache_k, cache_v, positions, slopes)  # noqa: B023

        row = {"name": f"decode {batch}", "pass": "forward", "what": "ours", "seconds": device.seconds(call)}
        row["operations"] = batch * ENCODER_HEADS * 32 * HEAD * 4
        row["bytes"] = (2 * q.numel() + 2 * k.numel() + 2 * cache_k.numel()) * q.element_size()
        rows.append(_line(row, device))
    return rows


def bench_model(device: Device) -> list[dict]:
    """A training step of whole models on one window, with the kernels and with the reference."""
    rows = []
    for preset, tokens, targets in (
        (("base", PACK, 500), ("small", 2048, 500)) if device.cuda else (("micro", 512, 128),)
    ):
        if not device.late(f"model {preset}"):
            rows += _bench_model_of(preset, tokens, targets, device)
    return rows


def _bench_model_of(preset: str, tokens: int, targets: int, device: Device) -> list[dict]:
    try:
        from genet5.model import GeneT5Config, GeneT5ForConditionalGeneration
    except ImportError as error:
        print(f"model: not measured, {error}")
        return []
    rows: list[dict] = []
    torch.manual_seed(0)
    with torch.device(device.name):
        model = GeneT5ForConditionalGeneration(GeneT5Config.from_preset(preset)).train()
        inputs = torch.randint(10, 4000, (1, tokens))
        sentence = torch.randint(4100, 5000, (1, targets + 1))
        bases = int(model.token_lengths[inputs].sum())
        classes = torch.randint(0, 6, (1, bases, 2), dtype=torch.int8)
        signals = torch.randint(-1, 2, (1, bases, 2, 6), dtype=torch.int8)
    print(f"model {preset}: a training step, {tokens} DNA tokens, {targets} of the sentence")
    before = os.environ.get("GENET5_ATTENTION")
    for what in ("triton", "reference") if device.cuda else ("reference",):
        os.environ["GENET5_ATTENTION"] = what

        def call() -> None:
            with torch.autocast(device.name, torch.bfloat16, enabled=device.cuda):
                output = model(
                    input_ids=inputs, decoder_input_ids=sentence[:, :-1], labels=sentence[:, 1:], class_labels=classes,
                    signal_labels=signals,
                )  # fmt: skip
            output.loss.backward()
            model.zero_grad(set_to_none=True)

        row = {"name": f"model {preset}", "what": what, "seconds": device.seconds(call), "peak": device.peak(call)}
        row["ratio"] = row["seconds"] / (rows[0]["seconds"] if rows else row["seconds"])
        memory = "" if row["peak"] is None else f", {row['peak'] / 1e6:.0f} MB"
        print(f"  {what:<12} {row['seconds'] * 1e3:9.1f} ms{memory}  {row['ratio']:.2f}x of the first", flush=True)
        rows.append(row)
    if before is None:
        del os.environ["GENET5_ATTENTION"]
    else:
        os.environ["GENET5_ATTENTION"] = before
    return rows


def _compile_one(task: tuple[dict[str, Any], Tile | None]) -> str | None:
    """Runs one problem with one tile (None: that of the table), so that its kernels are in Triton's cache."""
    specification, tile = task
    problem = Attention(**specification)
    try:
        if tile is None:
            torch.autograd.grad(problem.ours(*problem.tensors), problem.tensors, problem.grad)
        else:
            with forced(tile):
                torch.autograd.grad(problem.ours(*problem.tensors), problem.tensors, problem.grad)
    except Exception as error:  # a tile too large for this device: the timing will say so again
        return str(error).splitlines()[0]
    return None


def compile_first(tasks: list[tuple[dict[str, Any], Tile | None]], processes: int) -> None:
    """Compile the kernels of all tasks side by side; each process has a context of its own on the device."""
    started = time.monotonic()
    try:
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            list(pool.map(_compile_one, tasks))
    except BrokenProcessPool as error:  # the kernels then compile where they are timed
        print(f"compiling side by side failed: {error}", flush=True)
    print(f"compiled {len(tasks)} problems in {time.monotonic() - started:.0f} s", flush=True)


def sweep(device: Device, problems: list[dict[str, Any]], processes: int) -> list[dict]:
    """Every tile of the table on the encoder's and the decoder's shape, forward and with backward."""
    chosen = [
        p for p in problems if p["name"] in (f"encoder {4 * PACK}", f"encoder {PACK}", f"decoder {14 * PACK}, long")
    ]
    if device.cuda:
        compile_first([(specification, tile) for specification in chosen for tile in all_tiles()], processes)
    rows = []
    for specification in chosen:
        problem = Attention(**specification)
        print(problem.name)
        for tile in all_tiles():
            if device.late(str(tuple(tile))):
                break
            row = {"name": problem.name, "tile": list(tile)}
            try:
                with forced(tile), torch.no_grad():
                    row["forward"] = device.seconds(lambda p=problem: p.ours(*p.tensors), 0.1)
                with forced(tile):
                    row["forward+backward"] = device.seconds(
                        lambda p=problem: torch.autograd.grad(p.ours(*p.tensors), p.tensors, p.grad), 0.1
                    )
            except Exception as error:  # a tile too large for this device
                print(f"  {tuple(tile)}: {str(error).splitlines()[0][:80]}", flush=True)
                continue
            print(
                f"  {tuple(tile)}: forward {row['forward'] * 1e3:.3f} ms, "
                f"with backward {row['forward+backward'] * 1e3:.3f} ms",
                flush=True,
            )
            rows.append(row)
    return rows


def main() -> int:
    """Prints the tables; `--json` keeps them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="problems whose name contains this word (default: all)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cuda", "cpu"))
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--sweep", action="store_true", help="time every tile of the table instead")
    parser.add_argument("--seconds", type=float, default=540, help="begin nothing more after this time (default: 540)")
    parser.add_argument(
        "--processes", type=int, default=min(8, os.cpu_count() or 1),
        help="processes that compile kernels first, on a GPU (default: as many as cores, 8 at most)",
    )  # fmt: skip
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.seconds
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device here; --device cpu measures the PyTorch references", file=sys.stderr)
        return 1
    torch.manual_seed(0)
    device = Device(arguments.device, deadline)
    label = torch.cuda.get_device_name() if device.cuda else "CPU, one thread"
    print(
        f"{label}; torch {torch.__version__}; measured: {device.operations / 1e12:.2f} TFLOP/s "
        f"({'bf16' if device.cuda else 'fp32'} product), {device.bytes / 1e9:.1f} GB/s (copy)",
        flush=True,
    )
    rows: list[dict] = []

    def keep(new: list[dict]) -> None:
        rows.extend(new)
        if arguments.json:
            content = {"device": label, "torch": torch.__version__, "rows": rows}
            arguments.json.write_text(json.dumps(content, indent=1))

    problems = [p for p in attention_problems(arguments.device) if arguments.only in p["name"]]
    if arguments.sweep:
        keep(sweep(device, problems, arguments.processes))
        return 0
    if device.cuda and problems:
        compile_first([(specification, None) for specification in problems], arguments.processes)
    # The two shapes that tell most, then what is short, then the rest.
    for specification in problems[:2]:
        keep(bench_attention(Attention(**specification), device))
    for name, bench in (("model", bench_model), ("experts", bench_experts), ("decode", bench_decode)):
        if arguments.only in name and not device.late(name):
            keep(bench(device))
    for specification in problems[2:]:
        if not device.late(specification["name"]):
            keep(bench_attention(Attention(**specification), device))
    return 0


if __name__ == "__main__":
    sys.exit(main())
