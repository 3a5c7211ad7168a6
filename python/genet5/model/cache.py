"""The decoding cache: its size does not depend on how much has been written."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache


class GeneT5Cache(Cache):
    """Rings of the last keys and values of self-attention, and what cross-attention needs, by decoder layer.

    Attributes:
        keys, values: by layer [batch, window, kv_heads, d], slot = position mod window.
        memory_keys, memory_values: by layer [batch, kv_heads, memory, d], computed once; None before the first token.
        seen: one entry for all layers, bool [batch, 1, 1, memory], or None where no row's memory is padded.
        carried: by layer [batch, hidden], cross-attention's output for the block at hand.
        length: tokens written so far.
    """

    def __init__(self, layers: int, batch: int, window: int, kv_heads: int, size: int, like: Tensor) -> None:
        super().__init__(layers=[])
        shape = (batch, window, kv_heads, size)
        self.keys = [like.new_zeros(shape) for _ in range(layers)]
        self.values = [like.new_zeros(shape) for _ in range(layers)]
        self.memory_keys: list[Tensor | None] = [None] * layers
        self.memory_values: list[Tensor | None] = [None] * layers
        self.seen: list[Tensor | None] = [None]
        self.carried: list[Tensor | None] = [None] * layers
        self.length = 0

    def _held(self) -> tuple[list[Any], ...]:
        return self.keys, self.values, self.memory_keys, self.memory_values, self.seen, self.carried

    def _each(self, change: Any) -> None:
        for held in self._held():
            held[:] = [None if tensor is None else change(tensor) for tensor in held]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens written so far."""
        return self.length

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """-1: there is no limit."""
        return -1

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Row i becomes what row `beam_idx[i]` was."""
        self._each(lambda tensor: tensor.index_select(0, beam_idx.to(tensor.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row."""
        self._each(lambda tensor: tensor.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows."""
        self._each(lambda tensor: tensor[indices])

    def reset(self) -> None:
        """Forget everything; the memory's keys too."""
        for tensor in (*self.keys, *self.values):
            tensor.zero_()
        for kept in (self.memory_keys, self.memory_values, self.seen, self.carried):
            kept[:] = [None] * len(kept)
        self.length = 0

    def nbytes(self) -> int:
        """Bytes held."""
        return sum(tensor.nbytes for held in self._held() for tensor in held if tensor is not None)

    def crop(self, tokens_to_remove: int) -> None:
        """Not possible: a ring has forgotten what lay before its window."""
        raise NotImplementedError("a cache of the last tokens cannot be cropped; start a new one")

    @property
    def batch_size(self) -> int:
        """Rows."""
        return int(self.keys[0].shape[0])

    @property
    def is_compileable(self) -> bool:
        """False: `generate` does not compile the forward pass by itself."""
        return False

    @property
    def is_initialized(self) -> bool:
        """The rings exist from the start."""
        return True

    @property
    def is_croppable(self) -> bool:
        """False, see :meth:`crop`."""
        return False

    @property
    def is_linear(self) -> list[bool]:
        """By layer: attention, not a recurrence."""
        return [False] * len(self.keys)

    @property
    def is_sliding(self) -> list[bool]:
        """By layer: the ring slides."""
        return [True] * len(self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"GeneT5Cache(layers={len(self.keys)}, batch={self.batch_size}, length={self.length})"


def new_cache(config: Any, batch: int, like: Tensor) -> GeneT5Cache:
    """An empty cache for `batch` rows, of the dtype and device of `like`."""
    return GeneT5Cache(
        config.decoder_layers,
        batch,
        config.decoder_window_size,
        config.decoder_kv_heads,
        config.hidden_size // config.decoder_heads,
        torch.empty(0, dtype=like.dtype, device=like.device),
    )
