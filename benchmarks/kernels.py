"""Speed of the kernels on the shapes of the recipe, beside what PyTorch and others offer: `make gpu-bench`.

    PYTHONPATH=python python benchmarks/kernels.py [--only encoder] [--json FILE] [--sweep]

Every figure is measured in this run on this device. `share` is the share of the roofline: the time that the useful
operations or the least possible traffic would take at the matrix and copy rates measured first, over the time taken.
Useful operations count visible pairs only, whatever a kernel executes. Needs no extension module; on a CPU it compares
the PyTorch reference with dense attention.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

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


def attention_problems(device: str) -> list[Attention]:
    """The recipe's shapes; on a CPU those that it can do in seconds."""
    cpu = device == "cpu"
    common = {"device": device, "dtype": torch.float32 if cpu else torch.bfloat16}
    encoder, decoder = (ENCODER_HEADS, ENCODER_HEADS), (ENCODER_HEADS, DECODER_KV_HEADS)
    window = (256, 256)
    problems = []
    for packs in (1,) if cpu else (1, 4, 14):
        tokens = packs * PACK
        problems.append(Attention(f"encoder {tokens}", *encoder, _cut(tokens, (PACK,)), window, **common))
    problems.append(Attention(f"encoder {PACK}, windows of 2275", *encoder, _cut(PACK, (2275,)), window, **common))
    if not cpu:
        problems.append(
            Attention(f"encoder {4 * PACK} dropout", *encoder, _cut(4 * PACK, (PACK,)), window, dropout_p=0.1, **common)
        )
    for tokens in (1000,) if cpu else (1000, 8000):
        offsets = _cut(tokens, SENTENCES)
        problems.append(Attention(f"decoder {tokens}, sentences", *decoder, offsets, (31, 0), True, **common))
    long = PACK if cpu else 14 * PACK
    problems.append(Attention(f"decoder {long}, long", *decoder, _cut(long, (long,)), (31, 0), True, **common))
    if not cpu:
        problems.append(
            Attention("decoder 8000, sentences, dropout", *decoder, _cut(8000, SENTENCES), (31, 0), True, 0.1, **common)
        )
    for packs in (1,) if cpu else (1, 4):
        latents, tokens = [1024 * i for i in range(packs + 1)], [PACK * i for i in range(packs + 1)]
        problems.append(Attention(f"latents on tokens, {packs} packs", *encoder, latents, key_offsets=tokens, **common))
        labels = torch.tensor([1000 * i for i in range(packs + 1)])
        blocks = segment_blocks(labels, int(labels[-1]), 16).offsets.tolist()
        problems.append(
            Attention(f"blocks on latents, {packs} packs", *decoder, blocks, key_offsets=latents, alibi=False, **common)
        )
    return problems


class Device:
    """Timing on one device, and the roofline measured on it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cuda = name == "cuda"
        if not self.cuda:
            torch.set_num_threads(1)
        self.flush = torch.empty(256 << 20, dtype=torch.int8, device=name) if self.cuda else None
        side, dtype = (8192, torch.bfloat16) if self.cuda else (1024, torch.float32)
        a, b = torch.randn(2, side, side, device=name, dtype=dtype)
        self.operations = 2 * side**3 / self.seconds(lambda: a @ b)
        x = torch.empty((1 << 30) if self.cuda else (1 << 27), dtype=torch.int8, device=name)
        y = torch.empty_like(x)
        self.bytes = 2 * x.numel() / self.seconds(lambda: y.copy_(x))

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
    functions = {"ours": problem.ours, "SDPA + mask": problem.dense(), "flash-attn": problem.flash()}
    functions["Flex"] = problem.flex()
    for backward in (False, True):
        mine = None
        for what, function in functions.items():
            label = "forward+backward" if backward else "forward"
            if function is None:
                continue
            try:

                def call(function: Callable[..., torch.Tensor] = function, backward: bool = backward) -> None:
                    if not backward:
                        with torch.no_grad():
                            function(*problem.tensors)
                        return
                    torch.autograd.grad(function(*problem.tensors), problem.tensors, problem.grad)

                row = {"name": problem.name, "pass": label, "what": what, "seconds": device.seconds(call)}
                row |= {"operations": problem.operations(backward), "bytes": problem.traffic(backward)}
                row["peak"] = device.peak(call)
            except Exception as error:  # another library's failure is a result, not ours
                if what == "ours":
                    raise
                print(f"  {label:<17} {what:<12} failed: {str(error).splitlines()[0][:90]}")
                continue
            if mine is None:
                mine = row["seconds"]
            else:
                row["ratio"] = row["seconds"] / mine
            rows.append(_line(row, device))
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
    """A training step of a preset on one pack, with the reference and with the kernels."""
    import os

    try:
        from genet5.model import GeneT5Config, GeneT5ForConditionalGeneration
    except ImportError as error:
        print(f"model: not measured, {error}")
        return []
    rows = []
    config = GeneT5Config.from_preset("small" if device.cuda else "micro")
    torch.manual_seed(0)
    model = GeneT5ForConditionalGeneration(config).to(device.name)
    inputs = torch.randint(10, 4000, (1, 2048 if device.cuda else 512), device=device.name)
    targets = torch.randint(10, 4000, (1, 512 if device.cuda else 128), device=device.name)
    print("model: a training step")
    first = None
    for what in ("triton", "reference") if device.cuda else ("reference",):
        os.environ["GENET5_ATTENTION"] = what

        def call() -> None:
            with torch.autocast(device.name, torch.bfloat16, enabled=device.cuda):
                model(input_ids=inputs, decoder_input_ids=targets[:, :-1], labels=targets[:, 1:]).loss.backward()
            model.zero_grad(set_to_none=True)

        row = {"name": "model step", "what": what, "seconds": device.seconds(call), "peak": device.peak(call)}
        first = first or row["seconds"]
        row["ratio"] = row["seconds"] / first
        print(f"  {what:<12} {row['seconds'] * 1e3:9.1f} ms  {row['ratio']:.2f}x of the first")
        rows.append(row)
    del os.environ["GENET5_ATTENTION"]
    return rows


def sweep(device: Device) -> None:
    """Every tile of the table on the encoder's and the decoder's shape, forward and with backward."""
    from genet5.kernels.configuration import all_tiles, forced

    for problem in attention_problems(device.name):
        if not problem.name.startswith(("encoder 4550", f"decoder {14 * PACK}")):
            continue
        print(problem.name)
        for tile in all_tiles():
            try:
                with forced(tile):
                    seconds = [
                        device.seconds(lambda p=problem: p.ours(*p.tensors)),
                        device.seconds(lambda p=problem: torch.autograd.grad(p.ours(*p.tensors), p.tensors, p.grad)),
                    ]
            except Exception as error:  # a tile too large for this device
                print(f"  {tuple(tile)}: {str(error).splitlines()[0][:80]}")
                continue
            print(
                f"  {tuple(tile)}: forward {seconds[0] * 1e3:.3f} ms, with backward {seconds[1] * 1e3:.3f} ms",
                flush=True,
            )


def main() -> int:
    """Prints the tables; `--json` keeps them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="problems whose name contains this word (default: all)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cuda", "cpu"))
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--sweep", action="store_true", help="time every tile of the table instead")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device here; --device cpu measures the PyTorch references", file=sys.stderr)
        return 1
    torch.manual_seed(0)
    device = Device(arguments.device)
    label = torch.cuda.get_device_name() if device.cuda else "CPU, one thread"
    print(
        f"{label}; torch {torch.__version__}; measured: {device.operations / 1e12:.2f} TFLOP/s "
        f"({'bf16' if device.cuda else 'fp32'} product), {device.bytes / 1e9:.1f} GB/s (copy)"
    )
    if arguments.sweep:
        sweep(device)
        return 0
    rows: list[dict] = []
    for problem in attention_problems(arguments.device):
        if arguments.only in problem.name:
            rows += bench_attention(problem, device)
        del problem
    for name, bench in (("experts", bench_experts), ("decode", bench_decode), ("model", bench_model)):
        if arguments.only in name:
            rows += bench(device)
    if arguments.json:
        arguments.json.write_text(json.dumps({"device": label, "torch": torch.__version__, "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
