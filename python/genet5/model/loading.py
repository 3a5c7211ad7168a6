"""Loads a model's folder, and says in one sentence what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from genet5.errors import FormatError
from genet5.model.modeling import GeneT5ForConditionalGeneration


def load_model(directory: Path, device: torch.device | str = "cpu") -> GeneT5ForConditionalGeneration:
    """The model in `directory`, float32 on `device`.

    Raises FormatError where the weights are missing, damaged, or of another shape than `config.json` says.
    """
    model: Any  # transformers' own stub of `.to` takes no device
    level = transformers.utils.logging.get_verbosity()
    # Its report of every tensor that does not fit; ours is one sentence.
    transformers.utils.logging.set_verbosity_error()
    try:
        model, found = GeneT5ForConditionalGeneration.from_pretrained(
            directory, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
        )
    except SafetensorError as error:
        raise FormatError(
            f"{directory}: the weights are damaged ({error}); copy the model again, or make it anew", directory
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise
        # transformers' own, without an errno: no file of weights, or a configuration that is no JSON.
        reason = str(error).splitlines()[0].removeprefix("Error ").rstrip(".")
        raise FormatError(
            f"{directory} is no whole model ({reason}); copy it again, or make it anew", directory
        ) from error
    finally:
        transformers.utils.logging.set_verbosity(level)
    if found["mismatched_keys"]:
        key, stored, expected = sorted(found["mismatched_keys"])[0]
        raise FormatError(
            f"{directory}: the weights have another shape than config.json says: {key} is {list(stored)} and should be "
            f"{list(expected)} ({len(found['mismatched_keys'])} such); use the configuration that was saved with them",
            directory,
        )
    for kind, what in (("missing_keys", "lack"), ("unexpected_keys", "have, unexpectedly,")):
        if found[kind]:
            names = sorted(found[kind])
            raise FormatError(
                f"{directory}: the weights {what} {', '.join(names[:3])}{' ...' if len(names) > 3 else ''} "
                f"({len(names)} in all); use the configuration that was saved with them",
                directory,
            )
    return model.to(device)
