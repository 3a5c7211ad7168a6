"""Fixtures of the model's tests; `tiny_models` is importable by its name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from tiny_models import tiny_model


@pytest.fixture(scope="session")
def model():
    return tiny_model()


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
