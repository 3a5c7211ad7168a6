"""Makes `packed_windows` and `plain_reader` importable, and a packed file of every kind of window."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """DNABERT-2's tokenizer with the built-in list appended."""
    from packed_windows import grown_tokenizer

    return grown_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def packed(tmp_path_factory, tokenizer):
    """A packed file of 60 windows in packs of a few."""
    from packed_windows import make_windows

    from genet5.data import write_packed

    path = tmp_path_factory.mktemp("packed") / "training.packed"
    metadata = {"species": [{"name": "species 0"}, {"name": "species 1"}], "priors": {"genes": 3}, "flags": {"seed": 0}}
    write_packed(
        path, make_windows(tokenizer, 60, tracks=True), tokenizer, target=150, hard_limit=200, metadata=metadata
    )
    return path
