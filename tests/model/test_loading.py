"""A folder that is no whole model is refused with one sentence that names it."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file, save_file

from genet5.errors import FormatError
from genet5.model import GeneT5Config, GeneT5ForConditionalGeneration
from genet5.model.loading import load_model


@pytest.fixture
def folder(tmp_path):
    config = GeneT5Config.from_preset("micro", encoder_layers=1, decoder_layers=1)
    GeneT5ForConditionalGeneration(config).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_whole_model_loads(folder):
    assert load_model(folder).config.decoder_layers == 1


def test_weights_of_another_shape_are_named(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "head_channels": 96}))
    with pytest.raises(FormatError, match=r"model: .*base_head\..* is \[.*\] and should be \[.*96"):
        load_model(folder)


@pytest.mark.parametrize(("added", "message"), [(None, "lack .*base_head"), ("stray", "have, unexpectedly, stray")])
def test_missing_and_unexpected_weights_are_named(folder, added, message):
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if name.startswith("base_head"))
    value = weights.pop(name) if added is None else weights[name]
    if added is not None:
        weights[added] = value.clone()
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(FormatError, match=message):
        load_model(folder)


def test_damaged_and_missing_weights_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FormatError, match="are damaged"):
        load_model(folder)
    path.unlink()
    with pytest.raises(FormatError, match="is no whole model"):
        load_model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(FormatError, match="is no whole model"):
        load_model(folder)
