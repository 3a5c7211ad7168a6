"""DNABERT-2 checkpoints: files and hub ids to the encoder's weights, without running any of their code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genet5.errors import InputError

_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# Of the masked-language head and the pooler, which the encoder does not have.
_LEFT_OUT = ("cls.", "bert.pooler.", "pooler.")
_TOKEN_TYPES = "embeddings.token_type_embeddings.weight"
_LAYER = {
    "attention.self.Wqkv": "qkv",
    "attention.output.dense": "attention_out",
    "attention.output.LayerNorm": "attention_norm",
    "mlp.gated_layers": "gate_up",
    "mlp.wo": "down",
    "mlp.layernorm": "mlp_norm",
}


def checkpoint_directory(source: str | Path) -> Path:
    """The folder of a checkpoint: `source` itself, or what the hub holds under that id (downloaded or cached)."""
    path = Path(source)
    if path.is_dir():
        return path
    if path.exists():
        raise InputError(f"{source} is a file: name the folder that holds config.json and the weights")
    if not _HUB_ID.fullmatch(str(source)):
        raise InputError(f"{source} is neither a folder nor a hub id such as zhihan1996/DNABERT-2-117M")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        held = snapshot_download(str(source), allow_patterns=["config.json", "*.safetensors*", "pytorch_model*"])
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{source} is no folder, and the hub did not give it: {reason}") from error
    return Path(held)


def read_state(directory: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint: safetensors or pickled weights, whole or sharded."""
    found = next((directory / name for name in _FILES if (directory / name).is_file()), None)
    if found is None:
        raise InputError(f"{directory} holds none of {', '.join(_FILES)}")
    if found.suffix != ".json":
        return _read_file(found)
    index = json.loads(found.read_text())["weight_map"]
    state: dict[str, Tensor] = {}
    for name in sorted(set(index.values())):
        if not (directory / name).is_file():
            raise InputError(f"{found} names {name}, which {directory} lacks")
        state.update(_read_file(directory / name))
    missing = sorted(set(index) - set(state))
    if missing:
        raise InputError(f"{found} names tensors that its files lack: {', '.join(missing)}")
    return state


def _read_file(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise InputError(f"{path} is no whole safetensors file: {error}") from error
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is no file of weights that is safe to read: {reason}") from error
    return state


def encoder_configuration(directory: Path) -> dict[str, Any]:
    """Configuration attributes of the encoder from the checkpoint's `config.json`."""
    path = directory / "config.json"
    if not path.is_file():
        raise InputError(f"{path} does not exist: the checkpoint's configuration is needed")
    config = json.loads(path.read_text())
    names = {
        "hidden_size": "hidden_size",
        "num_hidden_layers": "encoder_layers",
        "num_attention_heads": "encoder_heads",
        "intermediate_size": "encoder_ff_dim",
        "hidden_dropout_prob": "encoder_dropout",
        "layer_norm_eps": "layer_norm_eps",
    }
    missing = [name for name in names if name not in config]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}: is this DNABERT-2?")
    return {own: config[name] for name, own in names.items()}


def encoder_state(state: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Tensors by the encoder's own names, from those of `BertModel` or `BertForMaskedLM`.

    Raises:
        InputError: naming every missing and every unexpected key.
    """
    names = {
        "embeddings.word_embeddings.weight": "embedding.weight",
        _TOKEN_TYPES: "token_type",
        "embeddings.LayerNorm.weight": "norm.weight",
        "embeddings.LayerNorm.bias": "norm.bias",
    }
    for layer in range(layers):
        for theirs, own in _LAYER.items():
            for kind in ("weight",) if own == "gate_up" else ("weight", "bias"):
                names[f"encoder.layer.{layer}.{theirs}.{kind}"] = f"layers.{layer}.{own}.{kind}"
    given = {key.removeprefix("bert."): value for key, value in state.items() if not key.startswith(_LEFT_OUT)}
    missing, unexpected = sorted(set(names) - set(given)), sorted(set(given) - set(names))
    if missing or unexpected:
        problems = [f"lacks {', '.join(missing)}"] if missing else []
        problems += [f"has unexpected {', '.join(unexpected)}"] if unexpected else []
        raise InputError(f"the checkpoint is not DNABERT-2's layout of {layers} layers: it {' and '.join(problems)}")
    taken = {own: given[theirs] for theirs, own in names.items()}
    taken["token_type"] = taken["token_type"][0]
    return taken
