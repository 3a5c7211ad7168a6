"""The options of a bake."""

# Annotations are evaluated here: a NamedTuple compiles those that are text, each time that it is imported.

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple


class BakeOptions(NamedTuple):
    """The flags of ``genet5 bake``; sizes in bp or tokens, shares between 0 and 1."""

    n_workers: int = os.cpu_count() or 1
    species_parallel: int = 1
    scheduler: str | None = None
    resume: bool = False
    dry_run: bool = False
    lenient: bool = False
    seed: int = 0
    limits: Path | None = None
    taxa: tuple[str, ...] = ()
    species: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    codes: Mapping[str, int] = MappingProxyType({})
    organelles: bool = False
    window_size: int | None = None
    margin: int = 50
    overlap: int | None = None
    max_n_ratio: float = 0.1
    intergenic_fraction: float = 0.15
    gene_limit: int | None = None
    reverse_complement: bool = False
    isoforms: str = "canonical"
    hints: bool = False
    hint_ratio: float = 0.5
    soft_masking: bool = False
    validation_fraction: float = 0.05
    validation_seqids: tuple[str, ...] = ()
    test_seqids: tuple[str, ...] = ()
    target: int = 4550
    hard_limit: int = 5005
    max_target_len: int = 8000
    extend_tokenizer: bool = False
