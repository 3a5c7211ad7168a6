"""The encoder against what DNABERT-2's original implementation returned for the same weights."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_models import tiny_config

from genet5.errors import InputError
from genet5.kernels import window_ranges
from genet5.model import dnabert2
from genet5.model.encoder import Encoder
from genet5.model.segments import offsets_of

CHECKPOINTS = ("small", "odd_heads")


def load(directory, **changes) -> Encoder:
    settings = {**dnabert2.encoder_configuration(directory), "encoder_window_size": -1, **changes}
    config = tiny_config(**settings, vocab_size=4096, decoder_heads=4)
    encoder = Encoder(config).eval()
    state = dnabert2.encoder_state(dnabert2.read_state(directory), config.encoder_layers)
    encoder.load_state_dict(state | {"tracks": encoder.tracks})
    return encoder


def forms(source, directory, kind):
    """The checkpoint as it is, as safetensors, or in two shards of either kind."""
    if kind == "pickled":
        return source
    directory.mkdir()
    shutil.copy(source / "config.json", directory)
    state = torch.load(source / "pytorch_model.bin", weights_only=True)
    state = {name: value.clone() for name, value in state.items()}
    if kind == "safetensors":
        save_file(state, directory / "model.safetensors")
        return directory
    names = sorted(state)
    halves = [names[::2], names[1::2]]
    stem, suffix = ("pytorch_model", ".bin") if kind == "shards" else ("model", ".safetensors")
    where = {}
    for number, half in enumerate(halves, 1):
        file = f"{stem}-0000{number}-of-00002{suffix}"
        part = {name: state[name] for name in half}
        (torch.save if suffix == ".bin" else save_file)(part, directory / file)
        where.update(dict.fromkeys(half, file))
    (directory / f"{stem}{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return directory


@pytest.mark.parametrize("kind", ["pickled", "safetensors", "shards", "safetensors_shards"])
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_states_equal_the_original_in_every_layer(data, tmp_path, name, kind):
    golden = data / "dnabert2" / "golden" / name
    encoder = load(forms(golden, tmp_path / "copy", kind))
    expected = np.load(golden / "expected.npz")
    mask = torch.from_numpy(expected["attention_mask"]).bool()
    ids = torch.from_numpy(expected["input_ids"])
    offsets = offsets_of(mask.sum(1))
    states: list[torch.Tensor] = []
    with torch.no_grad():
        encoder(ids[mask], offsets, window_ranges(offsets, int(mask.sum())), states=states)
    layers = [torch.from_numpy(expected["embeddings"])[mask]]
    layers += [torch.from_numpy(expected[key]) for key in sorted(expected) if key.startswith("layer_")]
    assert len(states) == len(layers)
    for state, layer in zip(states, layers, strict=True):
        torch.testing.assert_close(state.double(), layer, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_padded_rows_give_the_same_through_the_whole_model(data, name):
    from genet5.model import GeneT5ForConditionalGeneration

    golden = data / "dnabert2" / "golden" / name
    encoder = load(golden)
    settings = {**dnabert2.encoder_configuration(golden), "encoder_window_size": -1}
    model = GeneT5ForConditionalGeneration(tiny_config(**settings, vocab_size=4096)).eval()
    model.encoder.load_state_dict(encoder.state_dict())
    expected = np.load(golden / "expected.npz")
    mask = torch.from_numpy(expected["attention_mask"]).bool()
    # The original's [CLS] and [SEP] stand for no bases.
    model.token_lengths.clamp_(min=1)
    with torch.no_grad():
        output = model(torch.from_numpy(expected["input_ids"]), attention_mask=mask)
    last = torch.from_numpy(expected[max(key for key in expected if key.startswith("layer_"))])
    torch.testing.assert_close(output.encoder_last_hidden_state[mask].double(), last, atol=1e-4, rtol=0)
    assert not output.encoder_last_hidden_state[~mask].any()


def test_a_window_limits_what_a_token_sees(data):
    golden = data / "dnabert2" / "golden" / "small"
    encoder = load(golden, encoder_window_size=6)
    ids = torch.randint(5, 4096, (40,), generator=torch.Generator().manual_seed(0))
    offsets = torch.tensor([0, 40])
    ranges = window_ranges(offsets, 40, (3, 3))
    changed = ids.clone()
    changed[0] = 5 if ids[0] != 5 else 6
    with torch.no_grad():
        difference = (encoder(ids, offsets, ranges) - encoder(changed, offsets, ranges)).abs().amax(1)
    # Three layers of three tokens each.
    assert (difference[:10] > 0).all()
    assert not difference[10:].any()


def test_missing_and_unexpected_keys_are_named(data):
    state = dnabert2.read_state(data / "dnabert2" / "golden" / "small")
    with pytest.raises(InputError, match=r"lacks encoder\.layer\.3\.attention"):
        dnabert2.encoder_state(state, 4)
    with pytest.raises(InputError, match=r"unexpected encoder\.layer\.2\.attention"):
        dnabert2.encoder_state(state, 2)
    del state["bert.encoder.layer.1.mlp.wo.bias"]
    with pytest.raises(InputError, match=r"lacks encoder\.layer\.1\.mlp\.wo\.bias$"):
        dnabert2.encoder_state(state, 3)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(InputError, match="neither a folder nor a hub id"):
        dnabert2.checkpoint_directory(tmp_path / "missing")
    with pytest.raises(InputError, match=r"holds none of model\.safetensors"):
        dnabert2.read_state(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x10\x00\x00")
    with pytest.raises(InputError, match="no whole safetensors file"):
        dnabert2.read_state(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"not a pickle")
    with pytest.raises(InputError, match="safe to read"):
        dnabert2.read_state(tmp_path)
