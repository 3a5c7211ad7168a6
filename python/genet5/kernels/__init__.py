"""Sparse attention kernels in Triton, their PyTorch references, and the choice between them."""

from genet5.kernels.attention import cross_attention, windowed_attention
from genet5.kernels.decode import window_decode_step
from genet5.kernels.experts import grouped_mlp
from genet5.kernels.ranges import (
    Blocks,
    Ranges,
    anchor_positions,
    cross_ranges,
    segment_blocks,
    window_ranges,
)

__all__ = [
    "Blocks",
    "Ranges",
    "anchor_positions",
    "cross_attention",
    "cross_ranges",
    "grouped_mlp",
    "segment_blocks",
    "window_decode_step",
    "window_ranges",
    "windowed_attention",
]
