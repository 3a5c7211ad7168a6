"""Token ids are Hugging Face's for the upper-cased sequence, and tokenizers only grow."""

from __future__ import annotations

import gzip
import itertools
import json
import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st
from real_genomes import genomes

import genet5.tokenize
from genet5.cli.main import main
from genet5.errors import FormatError, InputError
from genet5.tokenize import (
    append_tokens,
    builtin_tokens,
    default_tokenizer,
    load_tokenizer,
    new_biotype_tokens,
    read_token_list,
    token_starts,
)

RESOURCES = Path(genet5.tokenize.__file__).parent / "resources" / "dnabert2"


@pytest.fixture(scope="module")
def grown(tmp_path_factory) -> Path:
    """DNABERT-2's tokenizer with the built-in list appended."""
    folder = tmp_path_factory.mktemp("tokenizer")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(RESOURCES / name, folder)
    append_tokens(folder, builtin_tokens())
    return folder


@pytest.fixture(scope="module")
def pair(grown):
    """Ours and Hugging Face's, of the same file."""
    return load_tokenizer(grown), tokenizers.Tokenizer.from_file(str(grown / "tokenizer.json"))


def windows(genome: Path, size: int, step: int) -> list[str]:
    sequences: list[list[str]] = []
    with gzip.open(genome, "rt") as file:
        for line in file:
            if line.startswith(">"):
                sequences.append([])
            else:
                sequences[-1].append(line.strip())
    joined = ("".join(lines) for lines in sequences)
    return [sequence[i : i + size] for sequence in joined for i in range(0, len(sequence), step)]


def assert_same_ids(pair, sequences: list[str]) -> None:
    ours, theirs = pair
    ids, offsets = ours.encode_batch([sequence.encode() for sequence in sequences], threads=2)
    expected = theirs.encode_batch([sequence.upper() for sequence in sequences], add_special_tokens=False)
    for sequence, one, (begin, end) in zip(sequences, expected, itertools.pairwise(offsets), strict=True):
        assert np.array_equal(ids[begin:end], one.ids), sequence[:60]
        assert ours.token_lengths[ids[begin:end]].sum() == len(sequence)


@pytest.mark.parametrize(
    "species", ["saccharomyces_cerevisiae_sgd", "trypanosoma_brucei_chr1", "mycoplasma_genitalium_g37"]
)
def test_windows_of_genomes_have_hugging_face_ids(pair, data, species):
    every = windows(data / "genomes" / species / "genome.fna.gz", 10_000, 10_000)
    assert_same_ids(pair, random.Random(0).sample(every, min(50, len(every))))


def test_windows_with_runs_of_n_have_hugging_face_ids(pair):
    generator = random.Random(1)
    pieces = ["".join(generator.choices("ACGT", k=generator.randrange(300))) for _ in range(400)]
    runs = [generator.choice("Nn") * generator.choice((1, 2, 7, 8, 9, 63, 72, 511, 585, 1100)) for _ in range(400)]
    text = "".join(itertools.chain.from_iterable(zip(pieces, runs, strict=True)))
    assert_same_ids(pair, [text[i : i + 3000] for i in range(0, len(text), 3000)])


@pytest.mark.parametrize("species", genomes())
def test_all_windows_of_a_genome_have_hugging_face_ids(pair, data, species):
    every = windows(data / "genomes" / species / "genome.fna.gz", 10_000, 10_000)
    for begin in range(0, len(every), 200):
        assert_same_ids(pair, every[begin : begin + 200])


PIECES = st.one_of(
    st.text("ACGT", max_size=80),
    st.text("acgtACGTNnRYKMSWBDHVryk", max_size=30),
    st.sampled_from("ACGTN").flatmap(lambda letter: st.integers(0, 700).map(lambda n: letter * n)),
    st.text("ACGT", min_size=1, max_size=6).flatmap(lambda unit: st.integers(0, 40).map(lambda n: unit * n)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=8).map("".join))
@example("")
@example("N" * 2049 + "a" + "n" * 63)
@example("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" * 3)
def test_any_sequence_has_hugging_face_ids(pair, sequence):
    assert_same_ids(pair, [sequence])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=30),
    st.lists(st.text("ACGT", max_size=60), min_size=1, max_size=12),
    st.sampled_from(["ACGT", "ACG", "ACGTN"]),
)
def test_any_model_has_hugging_face_ids(tmp_path_factory, choices, sequences, letters):
    """Merge lists that the linear encoder cannot take (tokens that encode otherwise) go to the heap."""
    tokens = ["[UNK]", *letters]
    merges = []
    for left, right in choices:
        parts = [tokens[1 + choice % (len(tokens) - 1)] for choice in (left, right)]
        if len("".join(parts)) <= 20 and parts not in merges:
            merges.append(parts)
            if "".join(parts) not in tokens:
                tokens.append("".join(parts))
    model = {
        "type": "BPE",
        "unk_token": "[UNK]",
        "merges": merges,
        "vocab": {token: i for i, token in enumerate(tokens)},
    }
    path = tmp_path_factory.mktemp("model") / "tokenizer.json"
    path.write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))
    assert_same_ids((load_tokenizer(path), tokenizers.Tokenizer.from_file(str(path))), sequences)


def test_the_packages_tokenizer_is_dnabert2s(data):
    for name in ("tokenizer.json", "tokenizer_config.json", "LICENSE"):
        assert (RESOURCES / name).read_bytes() == (data / "dnabert2" / name).read_bytes()
    tokenizer = default_tokenizer()
    assert len(tokenizer) == 4096
    assert tokenizer.is_linear


def test_transformers_loads_a_grown_tokenizer(grown, pair):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(grown)
    sequence = "ACGTN" * 100 + "N" * 600
    assert theirs(sequence, add_special_tokens=False)["input_ids"] == pair[0].encode(sequence.encode()).tolist()
    assert theirs.convert_ids_to_tokens(list(range(len(theirs)))) == pair[0].tokens


def test_growing_keeps_ids_and_the_rest_of_the_file(grown, tmp_path):
    before = default_tokenizer()
    after = load_tokenizer(grown)
    assert after.tokens == before.tokens + builtin_tokens()
    old, new = (json.loads((folder / "tokenizer.json").read_text()) for folder in (RESOURCES, grown))
    assert new["added_tokens"][: len(old["added_tokens"])] == old["added_tokens"]
    assert {**old, "added_tokens": 0} == {**new, "added_tokens": 0}
    # What is there already is passed over; a dry run writes nothing.
    shutil.copy(grown / "tokenizer.json", tmp_path)
    stamp = (tmp_path / "tokenizer.json").read_bytes()
    assert append_tokens(tmp_path, ["<bos>", "<new>"], dry_run=True) == [("<new>", len(after))]
    assert (tmp_path / "tokenizer.json").read_bytes() == stamp
    assert append_tokens(tmp_path, builtin_tokens()) == []
    assert append_tokens(tmp_path, ["<new>", "<new>"]) == [("<new>", len(after))]
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


@pytest.mark.parametrize("token", ["", "two words", "ACGT", "tab\t", "A"])
def test_tokens_that_would_change_dna_are_refused(tmp_path, token):
    shutil.copy(RESOURCES / "tokenizer.json", tmp_path)
    if token == "A":
        # It is there already.
        assert append_tokens(tmp_path, [token]) == []
        return
    with pytest.raises(InputError, match="cannot be"):
        append_tokens(tmp_path, ["<fine>", token])
    assert len(load_tokenizer(tmp_path)) == 4096


def test_hashes_are_xxh3_of_the_tokens(pair):
    tokenizer = pair[0]
    for count in (0, 1, 4096, len(tokenizer)):
        text = "".join(f"{token}\n" for token in tokenizer.tokens[:count])
        digest = xxhash.xxh3_64_intdigest(text.encode())
        assert tokenizer.prefix_hash(count) == digest.to_bytes(8, "little").hex()
    assert tokenizer.prefix_hash(4096) == default_tokenizer().prefix_hash()
    with pytest.raises(InputError, match="fewer than"):
        tokenizer.prefix_hash(len(tokenizer) + 1)


def test_positions_count_bases(pair):
    ids = pair[0].encode(b"ACGTNNNNNNNNNRACGT")
    starts = token_starts(pair[0], ids)
    assert starts[0] == 0
    assert (np.diff(starts) == pair[0].token_lengths[ids[:-1]]).all()


def test_tokenizers_are_pickled_by_path(pair):
    copy = pickle.loads(pickle.dumps(pair[0]))
    assert copy.tokens == pair[0].tokens
    assert copy.path == pair[0].path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a tokenizer.json"),
        ("[]", "not a tokenizer.json"),
        ('{"model": {"vocab": {"A": 0}, "merges": []}}', "unk_token"),
        ('{"model": {"type": "WordPiece", "vocab": {}, "merges": []}}', "not byte-pair"),
        ('{"model": {"unk_token": "U", "vocab": {"U": 0, "A": 2}, "merges": []}}', "ids are missing"),
        ('{"model": {"unk_token": "U", "vocab": {"U": 0, "A": 0}, "merges": []}}', "two tokens|ids are missing"),
        ('{"model": {"unk_token": "U", "vocab": {"U": 0}, "merges": ["A A"]}}', "merge 0"),
        ('{"model": {"unk_token": "U", "vocab": {"U": 0}, "merges": [], "dropout": 0.5}}', "dropout"),
        ('{"normalizer": {"type": "NFC"}, "model": {"unk_token": "U", "vocab": {"U": 0}, "merges": []}}', "normalizer"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, content, message):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(FormatError, match=message) as caught:
        load_tokenizer(path)
    assert str(path) in str(caught.value)
    with pytest.raises(OSError, match="No such file"):
        load_tokenizer(tmp_path / "absent" / "tokenizer.json")


def test_token_lists_are_made_and_merged(tmp_path, capsys):
    path = tmp_path / "new" / "new_tokens.txt"
    assert main(["tokens", "init", str(path)]) == 0
    assert read_token_list(path) == builtin_tokens()
    path.write_text("<mine>\n\n<bos>\n")
    annotation = tmp_path / "genes.gff3"
    annotation.write_text(
        "##gff-version 3\n"
        "1\tx\tgene\t1\t9\t.\t+\t.\tID=g\n"
        "1\tx\tmy_odd_RNA\t1\t9\t.\t+\t.\tID=t;Parent=g\n"
        "1\tx\texon\t1\t9\t.\t+\t.\tParent=t\n"
    )
    assert new_biotype_tokens([annotation]) == ["<my_odd_RNA>"]
    assert main(["tokens", "init", str(path), "--gff", str(annotation)]) == 0
    tokens = read_token_list(path)
    assert tokens[:2] == ["<mine>", "<bos>"]
    assert tokens[-1] == "<my_odd_RNA>"
    assert sorted(tokens) == sorted([*builtin_tokens(), "<mine>", "<my_odd_RNA>"])
    before = path.stat().st_mtime_ns
    assert main(["tokens", "init", str(path)]) == 0
    assert path.stat().st_mtime_ns == before
    assert "0 of them new" in capsys.readouterr().out


def test_appending_from_a_list(tmp_path, capsys):
    shutil.copy(RESOURCES / "tokenizer.json", tmp_path)
    tokens = tmp_path / "new_tokens.txt"
    assert main(["tokens", "init", str(tokens)]) == 0
    command = ["tokens", "append", str(tokens), str(tmp_path / "tokenizer.json")]
    assert main([*command, "--dry_run"]) == 0
    assert len(load_tokenizer(tmp_path)) == 4096
    assert main(command) == 0
    assert load_tokenizer(tmp_path).tokens[4096:] == builtin_tokens()
    assert main(command) == 0
    assert "nothing to append" in capsys.readouterr().out


@pytest.mark.parametrize(("content", "line"), [("<a>\n<b> <c>\n", 2), ("<a>\n<b>\n<a>\n", 3)])
def test_bad_token_lists_are_refused_with_their_line(tmp_path, capsys, content, line):
    tokens = tmp_path / "new_tokens.txt"
    tokens.write_text(content)
    assert main(["tokens", "append", str(tokens), str(RESOURCES)]) == 1
    assert f"line {line}" in capsys.readouterr().err
