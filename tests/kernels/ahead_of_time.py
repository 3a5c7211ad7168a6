"""Compiling a kernel for a GPU that is not here, and what the machine code needs: shared memory, registers, spills."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

# Bytes of shared memory that one block may ask for (CUDA C++ programming guide, table of compute capabilities).
SHARED_LIMIT = {90: 227 * 1024, 121: 99 * 1024}
TYPES = {
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.float32: "*fp32",
    torch.int32: "*i32",
    torch.int64: "*i64",
}


class Machine(NamedTuple):
    """Shared memory in bytes, registers a thread, bytes of spilled registers a thread (None without cuobjdump).

    `warpgroup_products` counts Hopper's matrix instructions of whole warp groups: any other product is slower there.
    """

    shared: int
    registers: int | None
    spilled: int | None
    warpgroup_products: int


def cuobjdump() -> str | None:
    """The disassembler that triton's wheel brings, or None."""
    for name in ("cuobjdump", "cuobjdump.exe"):
        for path in Path(triton.__file__).parent.rglob(name):
            return str(path)
    return None


def compile_for(kernel, arguments: dict, constants: dict, capability: int, warps: int, stages: int) -> Machine:
    """Compile `kernel` for sm_`capability`.

    `arguments` maps names to a dtype (an aligned pointer), `int` (a stride, a multiple of 16), `"length"` (an int
    that is not specialised) or `float`.
    """
    signature, attributes = {}, {}
    for index, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = "constexpr"
            continue
        kind = arguments[name]
        if isinstance(kind, torch.dtype):
            signature[name] = TYPES[kind]
        else:
            signature[name] = "fp32" if kind is float else "i32"
        if isinstance(kind, torch.dtype) or kind is int:
            attributes[(index,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes)
    compiled = triton.compile(
        source,
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": warps, "num_stages": stages, "enable_fp_fusion": True},
    )
    registers = spilled = None
    tool = cuobjdump()
    if tool is not None:
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(compiled.asm["cubin"])
            file.flush()
            report = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True)
        text = report.stdout + report.stderr
        registers = int(re.search(r"REG:(\d+)", text).group(1))
        # Spills live on the stack; so would indexed local arrays, which these kernels have none of.
        spilled = int(re.search(r"STACK:(\d+)", text).group(1))
    return Machine(compiled.metadata.shared, registers, spilled, compiled.asm["ptx"].count("wgmma.mma_async"))


def attention_arguments(dtype: torch.dtype) -> dict:
    """Types of the attention kernels' arguments, for all three."""
    pointers = dict.fromkeys(("q", "k", "v", "out", "grad", "grad_q", "grad_k", "grad_v"), dtype)
    pointers |= dict.fromkeys(("lse", "deltas", "positions", "slopes"), torch.float32)
    pointers |= dict.fromkeys(("rows", "columns"), torch.int32) | {"seeds": torch.int64}
    strides = dict.fromkeys(
        ("q_token", "q_head", "k_token", "k_head", "v_token", "v_head", "grad_token", "grad_head"), int
    )
    lengths = dict.fromkeys(("queries", "keys", "threshold"), "length")
    return pointers | strides | lengths | dict.fromkeys(("scale", "rescale", "plain_scale"), float)
