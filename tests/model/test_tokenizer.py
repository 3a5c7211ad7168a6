"""The transformers tokenizer gives the ids that baking makes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from genet5 import _core
from genet5.model import GeneT5Tokenizer
from genet5.model.tokens import base_table, builtin_tokens, token_ids


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    GeneT5Tokenizer.builtin().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def loaded(folder):
    return GeneT5Tokenizer.from_pretrained(folder)


@settings(max_examples=40, deadline=None)
@given(text=st.text("ACGTACGTACGTNRYKacgtn", max_size=120), gap=st.integers(0, 1200))
def test_ids_are_those_of_the_core(folder, loaded, text, gap):
    sequence = text + "N" * gap + text
    assert loaded.encode(sequence) == _core.Tokenizer(folder).encode(sequence.encode()).tolist()


def test_it_loads_by_its_configuration_and_saves_what_it_read(folder, tmp_path):
    from genet5.model import GeneT5Config

    GeneT5Config.from_preset("micro").save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert type(tokenizer) is GeneT5Tokenizer
    assert (tokenizer.pad_token_id, tokenizer.bos_token, tokenizer.eos_token) == (3, "<bos>", "<eos>")
    tokenizer.save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    padded = tokenizer(["ACGTACGTAA", "A"], padding=True, return_tensors="pt")
    assert padded.input_ids[1].tolist()[1:] == [3] * (padded.input_ids.shape[1] - 1)


def test_the_language_is_the_one_that_rust_writes():
    tokens = builtin_tokens()
    assert list(tokens[4096:]) == _core.builtin_tokens()
    ids = token_ids(tokens)
    assert ids["number_token_id"] == tokens.index("<0>")
    assert (ids["bos_token_id"], ids["eos_token_id"], ids["pad_token_id"]) == (4100, 4101, 3)


def test_the_table_of_letters_knows_every_token(folder):
    letters, lengths = base_table(builtin_tokens())
    assert lengths.tolist() == _core.Tokenizer(folder).token_lengths.tolist()
    for index in (5, 100, 4095):
        token = builtin_tokens()[index]
        assert "".join("ACGT"[letter] for letter in letters[index, : lengths[index]]) == token
