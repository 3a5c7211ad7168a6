"""The examples in docstrings run, in a folder that holds the files they name."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import sys
from pathlib import Path

import pytest

import genet5
import genet5.data

sys.path.insert(0, str(Path(__file__).parent / "data"))

MODULES = [
    *(f"genet5.{name}" for name in ("annotation", "language", "tokenize", "windows", "files", "errors")),
    *(f"genet5.data.{module.name}" for module in pkgutil.iter_modules(genet5.data.__path__)),
]
GENES = """##gff-version 3
chrI | SGD | telomere | 1 | 801 | . | - | . | ID=TEL01L
chrI | SGD | gene | 335 | 649 | . | + | . | ID=YAL069W;Name=YAL069W
chrI | SGD | mRNA | 335 | 649 | . | + | . | ID=YAL069W_mRNA;Parent=YAL069W
chrI | SGD | CDS | 335 | 649 | . | + | 0 | Parent=YAL069W_mRNA
chrI | SGD | gene | 1807 | 2169 | . | - | . | ID=YAL068C;Name=PAU8
chrI | SGD | mRNA | 1807 | 2169 | . | - | . | ID=YAL068C_mRNA;Parent=YAL068C
chrI | SGD | CDS | 1807 | 2169 | . | - | 0 | Parent=YAL068C_mRNA
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from packed_windows import grown_tokenizer, make_windows

    from genet5.data import write_packed

    folder = tmp_path_factory.mktemp("examples")
    (folder / "genes.gff3").write_text(GENES.replace(" | ", "\t"))
    tokenizer = grown_tokenizer(folder)
    write_packed(folder / "training.packed", make_windows(tokenizer, 80), tokenizer, target=150, hard_limit=200)
    return folder


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert doctest.testmod(importlib.import_module(name)).failed == 0
