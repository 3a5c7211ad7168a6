"""Shared fixtures: where the real genomes are, and what to do where they are not.

`real_genomes` is importable by its name.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).parent))


def data_directory() -> Path | None:
    """`GENET5_DATA`, by default `../shared/data` beside the checkout; None where it is absent."""
    path = Path(os.environ.get("GENET5_DATA", ROOT.parent / "shared" / "data"))
    return path if path.is_dir() else None


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real genomes, dialects and the DNABERT-2 tokenizer."""
    path = data_directory()
    if path is None:
        pytest.skip("real genomes are absent: set GENET5_DATA to the folder that holds them")
    return path
