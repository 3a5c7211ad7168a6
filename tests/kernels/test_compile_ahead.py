"""Machine code for GPUs that are not here: every tile of the tables must build for sm_90 and sm_121 without spills."""

import itertools

import pytest
import torch

pytest.importorskip("triton")

from ahead_of_time import SHARED_LIMIT, attention_arguments, compile_for, cuobjdump

from genet5.kernels import attention_triton, configuration, decode_triton, experts_triton
from genet5.kernels.backend import interpreted

pytestmark = pytest.mark.skipif(interpreted(), reason="the interpreter does not compile")
KERNELS = {
    "forward": attention_triton.forward_kernel,
    "grad_query": attention_triton.grad_query_kernel,
    "grad_key": attention_triton.grad_key_kernel,
}
ENCODER, DECODER = (12, 12, 513), (12, 3, 32)
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def _fits(machine, capability):
    assert machine.shared <= SHARED_LIMIT[capability]
    assert cuobjdump() is not None, "triton's wheel brings cuobjdump"
    assert machine.registers <= 255
    assert machine.spilled == 0, f"{machine.spilled} bytes of registers are spilled"


def _attention(kernel, shape, size, dtype, bias, dropout, capability):
    heads, kv_heads, width = shape
    dtype = DTYPES[dtype]
    limit = SHARED_LIMIT[capability]
    tile = configuration.choose(kernel, width, size, dtype.itemsize, limit, dropout)
    precision = "tf32" if dtype == torch.float32 else "ieee"
    narrow = configuration.is_narrow(width)
    known = attention_triton.constants(heads, kv_heads, size, bias, dropout, precision, narrow, tile)
    machine = compile_for(KERNELS[kernel], attention_arguments(dtype), known, capability, tile.warps, tile.stages)
    _fits(machine, capability)
    return machine


@pytest.mark.parametrize("capability", SHARED_LIMIT)
@pytest.mark.parametrize("kernel", KERNELS)
def test_recipe(kernel, capability):
    """The encoder's window without dropout on one device, the decoder's with it on the other."""
    if capability == 90:
        machine = _attention(kernel, ENCODER, 64, "bf16", attention_triton.OWN_INDEX, False, capability)
        assert machine.warpgroup_products > 0
    else:
        _attention(kernel, DECODER, 64, "bf16", attention_triton.OWN_INDEX, True, capability)


ALL = list(
    itertools.product(
        KERNELS,
        (ENCODER, DECODER),
        ((64, "bf16"), (128, "bf16"), (256, "fp16"), (32, "fp32"), (64, "fp32")),
        (False, True),
    )
)


@pytest.mark.long
@pytest.mark.parametrize("capability", SHARED_LIMIT)
@pytest.mark.parametrize(("kernel", "shape", "kind", "dropout"), ALL, ids=str)
def test_every_tile(kernel, shape, kind, dropout, capability):
    _attention(kernel, shape, *kind, attention_triton.OWN_INDEX, dropout, capability)


@pytest.mark.long
@pytest.mark.parametrize("capability", SHARED_LIMIT)
@pytest.mark.parametrize(("kernel", "size"), list(itertools.product(KERNELS, (128, 256))))
def test_float32_of_wide_heads(kernel, size, capability):
    _attention(kernel, ENCODER, size, "fp32", attention_triton.OWN_INDEX, False, capability)


@pytest.mark.long
@pytest.mark.parametrize("capability", SHARED_LIMIT)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("kv_heads", [12, 3])
def test_cross_attention(kernel, kv_heads, capability):
    bias = attention_triton.PLACE if kv_heads == 12 else attention_triton.NO_BIAS
    _attention(kernel, (12, kv_heads, -1), 64, "bf16", bias, False, capability)


EXPERTS = {"EXPERTS": 16, "SLOTS": 16}
EXPERT_KERNELS = {
    "gate_up": (experts_triton.gate_up_kernel, {"HIDDEN": 3072, "ACTIVATION": "gelu", **EXPERTS}),
    "rows": (experts_triton.rows_kernel, {"WIDTH": 768, **EXPERTS}),
    "grad_hidden": (experts_triton.grad_hidden_kernel, {"HIDDEN": 3072, "ACTIVATION": "gelu", **EXPERTS}),
    "weight": (experts_triton.weight_kernel, {"HEIGHT": 6144, "WIDTH": 768}),
}


def _experts(kernel, dtype, capability):
    function, known = EXPERT_KERNELS[kernel]
    dtype = DTYPES[dtype]
    pointers = ("x", "weight", "pre", "hidden", "grad", "grad_pre", "a", "b", "out")
    strides = ("x_row", "grad_row", "a_row", "b_row", "b_expert", "b_depth", "b_column", "width", "depth")
    arguments = dict.fromkeys(pointers, dtype) | dict.fromkeys(strides, int)
    arguments |= {"offsets": torch.int32, "rows": "length"}
    if kernel == "rows":
        # The weights' columns are next to each other in one of the two products; Triton makes such a stride a constant.
        known = known | {"b_depth": 1}
    tile = experts_triton.choose(kernel in ("gate_up", "grad_hidden"), dtype.itemsize, SHARED_LIMIT[capability])
    known = known | {"ROWS": tile.rows, "COLUMNS": tile.columns, "DEPTH": tile.depth, "PRECISION": "tf32"}
    _fits(compile_for(function, arguments, known, capability, tile.warps, tile.stages), capability)


@pytest.mark.parametrize(("kernel", "capability"), [("gate_up", 90), ("weight", 121)])
def test_experts_of_the_recipe(kernel, capability):
    _experts(kernel, "bf16", capability)


@pytest.mark.long
@pytest.mark.parametrize("capability", SHARED_LIMIT)
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
@pytest.mark.parametrize("kernel", EXPERT_KERNELS)
def test_every_experts_kernel(kernel, dtype, capability):
    _experts(kernel, dtype, capability)


@pytest.mark.parametrize(("heads", "window", "capability"), [((12, 3), 32, 90), ((12, 12), 512, 121)], ids=str)
def test_decoding_step(heads, window, capability):
    known = decode_triton.constants(*heads, 64, window, True)
    pointers = dict.fromkeys(("q", "k", "v", "cache_k", "cache_v", "out"), torch.bfloat16)
    arguments = pointers | {"positions": torch.int64, "slopes": torch.float32, "scale": float}
    arguments |= {name: int for name in decode_triton.window_decode_kernel.arg_names if name not in arguments}
    _fits(compile_for(decode_triton.window_decode_kernel, arguments, known, capability, 4, 1), capability)
