"""Fits the weights of the dynamic programs to validation regions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genet5 import _core

# Strand, and the coding parts of each isoform, 0-based in the region.
RegionGene = tuple[str, list[list[tuple[int, int]]]]


@dataclass(frozen=True)
class Region:
    """A stretch of a validation genome.

    ``classes`` (class minus intergenic logits) and ``signals`` are float32 ``[bases, 2, 6]``; frames count from the
    region's first base. ``genes`` are those that lie in it whole.
    """

    sequence: bytes
    classes: NDArray[np.float32]
    signals: NDArray[np.float32]
    genes: list[RegionGene]
    genetic_code: int = 1


def region_genes(annotation: _core.Annotation, seqid: str, start: int, end: int) -> list[RegionGene]:
    """The coding genes of ``[start, end)`` of a sequence that are whole there, relative to its start."""
    genes: list[RegionGene] = []
    for gene in annotation.genes:
        if gene.seqid != seqid or gene.start < start or gene.end > end or "pseudogene" in gene.flags:
            continue
        chains = [
            [(a - start, b - start) for a, b in transcript.cds]
            for transcript in gene.transcripts
            if transcript.cds and not transcript.flags and not transcript.partial_5 and not transcript.partial_3
        ]
        if chains:
            genes.append((gene.strand, chains))
    return genes


def fit_parameters(
    regions: Iterable[Region],
    parameters_json: str,
    rounds: int = 0,
    threads: int = 0,
    progress: Callable[[int, int, float, float], object] | None = None,
) -> str:
    """Gene parameters with weights fitted to ``regions``; see :func:`genet5._core.fit_gene_parameters`."""
    rows = [
        (
            region.sequence,
            np.ascontiguousarray(region.classes, dtype=np.float32),
            np.ascontiguousarray(region.signals, dtype=np.float32),
            region.genes,
            region.genetic_code,
        )
        for region in regions
    ]
    return _core.fit_gene_parameters(rows, parameters_json, rounds, threads, progress)
