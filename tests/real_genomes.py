"""The genomes of the test data, for tests that take each of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

NAMES = (
    "aeropyrum_pernix_k1",
    "arabidopsis_1pct",
    "celegans_1pct",
    "celegans_chrI_ensembl",
    "chlamydia_trachomatis",
    "clostridium_cellulosi",
    "deinococcus_deserti",
    "drosophila_1pct",
    "drosophila_chr2R_lifted",
    "ecoli_k12_mg1655",
    "halobacterium_salinarum_r1",
    "human_chrY_ensembl75",
    "mycoplasma_genitalium_g37",
    "mycoplasma_mycoides",
    "saccharomyces_cerevisiae_ncbi",
    "saccharomyces_cerevisiae_sgd",
    "schizosaccharomyces_pombe",
    "streptococcus_pyogenes_m1gas",
    "synechocystis_pcc6803",
    "tiny_enterobacteria_phages",
    "tiny_lambda",
    "tiny_phix174",
    "tiny_sarscov2",
    "trypanosoma_brucei_chr1",
    "vibrio_fischeri_es114",
)


def genomes(long: Collection[str] = NAMES) -> list[Any]:
    """All of them as parameters of a test; those in `long` are left to `make test-long`."""
    return [pytest.param(name, marks=pytest.mark.long if name in long else ()) for name in NAMES]
