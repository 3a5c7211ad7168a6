"""The whole model on the Triton kernels (interpreted) and on the reference: the same loss and gradients."""

import sys
from pathlib import Path

import pytest
import torch

from genet5.kernels import backend, configuration

sys.path.insert(0, str(Path(__file__).parents[2] / "model"))
pytest.importorskip("transformers")


@pytest.mark.long
def test_model(monkeypatch):
    from tiny_models import tiny_batch, tiny_model

    model = tiny_model(dtype=torch.float32)
    batch = tiny_batch(model, [21, 9], [12, 5])
    results = []
    for choice in ("triton", "reference"):
        monkeypatch.setenv(backend.VARIABLE, choice)
        model.zero_grad()
        with configuration.forced(configuration.Tile(16, 16, 4, 1)):
            loss = model(**batch).loss
            loss.backward()
        results.append((loss.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
    (loss, gradients), (expected, expected_gradients) = results
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=1e-3, atol=1e-5, msg=name)
