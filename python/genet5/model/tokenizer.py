"""The tokenizer as transformers knows it."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.utils import cached_file

from genet5.model.tokens import builtin_tokens

_FILE = "tokenizer.json"
_GAP = re.compile("N+")
_ROLES = {"unk": "[UNK]", "pad": "[PAD]", "mask": "[MASK]", "bos": "<bos>", "eos": "<eos>"}


class GeneT5Tokenizer(PreTrainedTokenizerFast):
    """DNA to token ids with transformers' interface; the ids are those that baking makes.

    Byte-pair encoding of the upper-cased sequence; runs of N are gap tokens (longest first), any other letter is
    `[UNK]`, one base. No `[CLS]` or `[SEP]` is added.

    >>> tokenizer = GeneT5Tokenizer.builtin()
    >>> tokenizer("acgtggtttaaacgNNNRACGT").tokens()
    ['A', 'CGTG', 'GTTTAAA', 'CG', 'N', 'N', 'N', '[UNK]', 'A', 'C', 'GT']
    """

    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012

    @classmethod
    def from_text(cls, text: str, **kwargs: Any) -> GeneT5Tokenizer:
        """From the content of a `tokenizer.json`."""
        document = json.loads(text)
        # Upper-casing comes first here, and is left out of the file, whose readers do it themselves.
        document["normalizer"] = {"type": "Sequence", "normalizers": []}
        document["post_processor"] = None
        for token in document["added_tokens"]:
            token["normalized"] = bool(_GAP.fullmatch(token["content"]))
        held = Tokenizer.from_str(json.dumps(document))
        held.normalizer = _upper_case()
        named = {f"{role}_token": token for role, token in _ROLES.items() if held.token_to_id(token) is not None}
        made = cls(tokenizer_object=held, **{**named, **kwargs})
        made._text = text
        return made

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *_: Any, **kwargs: Any) -> GeneT5Tokenizer:
        """From a folder or a hub id; transformers itself would take the file apart and lose the merges' order."""
        hub = {name: kwargs[name] for name in ("cache_dir", "revision", "token", "local_files_only") if name in kwargs}
        path = cached_file(str(pretrained_model_name_or_path), _FILE, **hub)
        assert path is not None  # cached_file raises where there is none
        return cls.from_text(Path(path).read_text(), name_or_path=str(pretrained_model_name_or_path))

    @classmethod
    def builtin(cls) -> GeneT5Tokenizer:
        """The tokenizer of new models, made from the package's files."""
        text = (resources.files("genet5.resources") / "dnabert2" / _FILE).read_text()
        held = Tokenizer.from_str(text)
        held.add_tokens([AddedToken(token, normalized=False) for token in builtin_tokens()[held.get_vocab_size() :]])
        return cls.from_text(held.to_str())

    def save_pretrained(self, save_directory: str | Path, *_: Any, **__: Any) -> tuple[str, ...]:  # type: ignore[override]
        """Write `tokenizer.json` as it was read, and `tokenizer_config.json`; returns their paths."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"tokenizer_class": type(self).__name__}
        config.update((f"{role}_token", token) for role, token in _ROLES.items())
        (folder / _FILE).write_text(self._text)
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
        return str(folder / _FILE), str(folder / "tokenizer_config.json")


def _upper_case() -> Any:
    from tokenizers import Regex, normalizers

    pairs = [(letter, letter.upper()) for letter in "abcdefghijklmnopqrstuvwxyz"]
    return normalizers.Sequence([normalizers.Replace(Regex(lower), upper) for lower, upper in pairs])
