"""Packed files: what is written is read, by us and by a reader that knows the documentation alone; damage is not."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import plain_reader
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packed_windows import grown_tokenizer, make_windows

from genet5 import _core, language
from genet5._core import PackedFile, Vocabulary, merge_packed
from genet5.data import PackedDataset, whole_batch, write_packed
from genet5.errors import FormatError, InputError

PER_SEGMENT = ("tokens", "sentence")


def test_a_plain_reader_finds_what_was_written(packed, tokenizer):
    """The documentation is enough: a reader written from it alone finds every window."""
    windows = {window.start: window for window in make_windows(tokenizer, 60, tracks=True)}
    content = plain_reader.read(packed)
    assert content["tokens"] == tokenizer.tokens
    segments = [segment for sample in content["samples"] for segment in sample]
    assert len(segments) == len(windows)
    for segment in segments:
        window = windows.pop(segment["start"])
        for name in ("species", "seqid", "reverse", "genetic_code", "ignore"):
            assert segment[name] == getattr(window, name)
        assert segment["flags"] & ~1 == window.flags
        letters = window.dna.decode().upper()
        assert segment["dna"] == "".join(letter if letter in "ACGT" else "N" for letter in letters)
        assert segment["sentence"].tolist() == window.sentence.tolist()
        assert segment["loss_end"] == (len(window.sentence) if window.loss_end is None else window.loss_end)
        assert np.array_equal(segment["tracks"], window.tracks) or segment["tracks"] is window.tracks is None


def test_batches_are_what_the_plain_reader_says(packed, tokenizer):
    dataset = PackedDataset(packed, tokenizer)
    content = plain_reader.read(packed)["samples"]
    vocabulary = Vocabulary.from_tokens(tokenizer.tokens)
    order = [3, 0, len(content) - 1, 3]
    batch = dataset.batch(order)
    expected = [segment for sample in order for segment in content[sample]]
    assert len(batch) == len(expected)
    assert batch.token_offsets.tolist() == np.cumsum([0, *(len(one["tokens"]) for one in expected)]).tolist()
    assert batch.base_offsets.tolist() == np.cumsum([0, *(one["length"] for one in expected)]).tolist()
    assert batch.target_offsets.tolist() == np.cumsum([0, *(len(one["sentence"]) - 1 for one in expected)]).tolist()
    lengths = tokenizer.token_lengths.astype(np.int64)
    for number, one in enumerate(expected):
        tokens = slice(*batch.token_offsets[number : number + 2])
        bases = slice(*batch.base_offsets[number : number + 2])
        targets = slice(*batch.target_offsets[number : number + 2])
        assert batch.input_ids[tokens].tolist() == one["tokens"].tolist()
        assert batch.positions[tokens].tolist() == (np.cumsum(lengths[one["tokens"]]) - lengths[one["tokens"]]).tolist()
        codes = np.array(["ACGTN".index(letter) for letter in one["dna"]], dtype=np.uint8)
        assert np.array_equal(batch.bases[bases], codes)
        assert batch.decoder_input_ids[targets].tolist() == one["sentence"][:-1].tolist()
        masked = [t if i < one["loss_end"] else -100 for i, t in enumerate(one["sentence"].tolist())][1:]
        assert batch.labels[targets].tolist() == masked
        tracks = one["tracks"] if one["tracks"] is not None else np.zeros(len(one["tokens"]), dtype=np.uint8)
        assert np.array_equal(batch.tracks[tokens], tracks)
        classes, signals = language.base_labels(
            one["sentence"].tolist(), codes, vocabulary, genetic_code=one["genetic_code"], ignore=one["ignore"]
        )
        assert np.array_equal(batch.class_labels[bases], classes)
        assert np.array_equal(batch.signal_labels[bases], signals)
        trace = dataset.segment(int(batch.segment_ids[number]))
        assert (trace.species, trace.seqid, trace.start, trace.dna) == (
            one["species"],
            one["seqid"],
            one["start"],
            one["dna"],
        )
        assert (
            trace.place == f"{one['species']} {one['seqid']}:{trace.start + 1}-{trace.end} ({'-+'[not trace.reverse]})"
        )


def test_batches_have_the_documented_types_and_own_their_memory(packed):
    dataset = PackedDataset(packed)
    batch = dataset.batch(np.arange(len(dataset)))
    bases = len(batch.bases)
    assert batch.class_labels.shape == (bases, 2)
    assert batch.signal_labels.shape == (bases, 2, 6)
    types = {"bases": "uint8", "tracks": "uint8", "class_labels": "int8", "signal_labels": "int8"}
    tensors = batch.to_tensors()
    for name, tensor in tensors.items():
        array = getattr(batch, name)
        assert array.dtype == types.get(name, "int64")
        assert array.flags.writeable
        assert array.flags.c_contiguous
        assert tensor.data_ptr() == array.ctypes.data
    other = dataset.batch(np.arange(len(dataset)))
    batch.input_ids[:] = 0
    assert other.input_ids.any()
    assert len(dataset.batch([])) == 0
    assert len(tensors) == 12


def test_memory_is_used_again_only_when_nothing_refers_to_it(packed):
    dataset = PackedDataset(packed)
    everything = np.arange(len(dataset))
    expected = {name: tensor.clone() for name, tensor in dataset.batch(everything).to_tensors().items()}
    first = dataset.batch(everything)
    place = first.input_ids.ctypes.data
    # Views of views, tensors and buffers over the memory outlive the batch.
    view, tensor, buffer = first.input_ids[3:][1:], first.to_tensors()["signal_labels"][:, 1], memoryview(first.bases)
    kept = view.copy(), tensor.clone(), bytes(buffer)
    del first
    for _ in range(40):
        batch = dataset.batch(everything[::-1].copy())
        assert place != batch.input_ids.ctypes.data
        for array in batch.to_tensors().values():
            array.fill_(7)
    assert np.array_equal(view, kept[0])
    assert tensor.equal(kept[1])
    assert bytes(buffer) == kept[2]
    del view, tensor, buffer
    # What was left in the memory never shows.
    places = set()
    for _ in range(40):
        tensors = dataset.batch(everything).to_tensors()
        places.add(tensors["input_ids"].data_ptr())
        assert all(tensors[name].equal(expected[name]) for name in expected)
        for array in tensors.values():
            array.fill_(7)
        del tensors, array
    assert len(places) <= 4


@pytest.mark.parametrize("threads", [2, 3, 100])
def test_threads_of_a_batch_change_nothing(packed, threads):
    one, several = PackedDataset(packed), PackedDataset(packed, threads=threads)
    for order in ([], [2], [3, 0, 1, 3], range(len(one))):
        expected, found = one.batch(order).to_tensors(), several.batch(order).to_tensors()
        assert expected.keys() == found.keys()
        assert all(found[name].equal(expected[name]) for name in expected)
    with pytest.raises(InputError):
        several.batch([0, 1, len(one)])
    with pytest.raises(InputError):
        PackedDataset(packed, threads=0)


def test_lengths_come_from_the_index(packed):
    dataset = PackedDataset(packed)
    batches = [dataset[i] for i in range(len(dataset))]
    assert dataset.target_lengths.tolist() == [len(batch.labels) for batch in batches]
    assert dataset.token_lengths.tolist() == [len(batch.input_ids) for batch in batches]
    segments = dataset.file.segments()
    assert segments["sample"].tolist() == [i for i, batch in enumerate(batches) for _ in batch.segment_ids]
    assert len(dataset[-1]) == len(batches[-1])
    with pytest.raises(IndexError):
        dataset[len(dataset)]
    for bad in ([len(dataset)], [-len(dataset) - 1], [0.5], [[0]]):
        with pytest.raises(InputError):
            dataset.batch(bad)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_torch_loads_with_worker_processes(packed, method):
    from torch.utils.data import DataLoader

    dataset = PackedDataset(packed)
    order = [[0, 2], [1], [3, 0]]
    loader = DataLoader(
        dataset, batch_sampler=order, collate_fn=whole_batch, num_workers=2, multiprocessing_context=method
    )
    for batch, indices in zip(loader, order, strict=True):
        assert np.array_equal(batch.input_ids, dataset.batch(indices).input_ids)


def test_threads_share_a_dataset(packed):
    dataset = PackedDataset(packed)
    expected = dataset.batch(range(len(dataset))).labels.tolist()
    wrong = []

    def work() -> None:
        for _ in range(20):
            if dataset.batch(range(len(dataset))).labels.tolist() != expected:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_pickles_hold_the_path_and_refuse_another_file(packed, tmp_path, tokenizer):
    path = tmp_path / "training.packed"
    shutil.copy(packed, path)
    dataset = PackedDataset(path)
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 500
    assert pickle.loads(pickled).fingerprint == dataset.fingerprint
    write_packed(path, make_windows(tokenizer, 5, seed=9), tokenizer)
    # What is open stays whole: the old file lives on under the map.
    assert len(dataset.batch([0])) > 0
    with pytest.raises(FormatError, match="was replaced"):
        pickle.loads(pickled)


def test_a_tokenizer_must_continue_the_files(packed, tmp_path, tokenizer):
    longer = grown_tokenizer(tmp_path / "longer", ["<later>"])
    assert PackedDataset(packed, longer.path).tokens == tokenizer.tokens
    shorter = _core.Tokenizer(Path(genet5_resources()) / "tokenizer.json")
    with pytest.raises(InputError, match="token 4096 is 'N' there and nothing here"):
        PackedDataset(packed, shorter)


def genet5_resources() -> Path:
    from packed_windows import RESOURCES

    return RESOURCES


def test_operations_from_python(packed, tmp_path):
    file = PackedFile(packed)
    every = plain_reader.read(packed)["samples"]

    def starts(path: Path) -> list[list[int]]:
        return [[segment["start"] for segment in sample] for sample in plain_reader.read(path)["samples"]]

    whole = [[segment["start"] for segment in sample] for sample in every]
    assert file.subset(tmp_path / "s", fraction=0.24, seed=3) == round(0.24 * len(file))
    part = starts(tmp_path / "s")
    assert [sample for sample in whole if sample in part] == part
    assert file.subset(tmp_path / "s2", count=2, seed=4) == 2
    file.shuffle(tmp_path / "sh", seed=1)
    assert starts(tmp_path / "sh") != whole
    assert sorted(starts(tmp_path / "sh")) == sorted(whole)
    assert sum(file.split([tmp_path / "a", tmp_path / "b"], [3, 1], seed=0)) == len(file)
    assert merge_packed([tmp_path / "a", tmp_path / "b"], tmp_path / "m") == len(file)
    assert sorted(starts(tmp_path / "m")) == sorted(whole)
    metadata = plain_reader.read(tmp_path / "m")["metadata"]
    assert metadata["priors"] == {"genes": 6}
    assert [step["operation"] for step in metadata["history"]] == ["split", "split"]
    merge_packed([packed], tmp_path / "copy", metadata=file.metadata)
    copies = [plain_reader.read(path)["samples"] for path in (tmp_path / "copy", packed)]
    assert str(copies[0]) == str(copies[1])
    merge_packed([tmp_path / "copy"], tmp_path / "again", metadata=file.metadata)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "copy").read_bytes()
    for bad in ({}, {"fraction": 0.0}, {"fraction": 2.0}, {"count": 10**6}, {"fraction": 0.5, "count": 1}):
        with pytest.raises(InputError):
            file.subset(tmp_path / "bad", **bad)
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda whole: whole[: len(whole) // 2], "cut short"),
        (lambda whole: b"", "empty file"),
        (lambda whole: b"\x1f\x8b" + whole[2:], "not a packed file"),
        (lambda whole: whole[:8] + b"\2" + whole[9:], "version 2, newer than the 1"),
        (lambda whole: whole + b"\0", "follow its end"),
        (lambda whole: whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], "damaged"),
        (lambda whole: whole[:-1] + b"!", "damaged"),
    ],
)
def test_what_is_no_whole_packed_file_is_refused(packed, tmp_path, change, message):
    path = tmp_path / "training.packed"
    path.write_bytes(change(packed.read_bytes()))
    with pytest.raises(FormatError, match=message) as caught:
        PackedDataset(path)
    assert str(path) in str(caught.value)
    assert caught.value.file == path


def test_missing_files_and_folders_are_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        PackedDataset(tmp_path / "absent.packed")
    with pytest.raises(IsADirectoryError):
        PackedDataset(tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_bytes_are_refused_or_harmless(packed, tmp_path, data):
    """One byte anywhere, or a cut anywhere: an error, never a crash or other tokens."""
    whole = packed.read_bytes()
    place = data.draw(st.one_of(st.integers(0, 400), st.integers(0, len(whole) - 1)))
    damaged = bytearray(whole)
    damaged[place] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(whole))) :]
    path = tmp_path / "damaged.packed"
    path.write_bytes(damaged)
    try:
        file = PackedFile(path)
        file.verify()
        batch = file.batch(np.arange(len(file)))
    except FormatError:
        return
    expected = PackedFile(packed).batch(np.arange(len(file)))
    for name, array in batch.items():
        assert np.array_equal(array, expected[name]), name


CUT = """
import sys, os
import numpy as np
from genet5._core import PackedFile
from genet5.errors import FormatError
path, length = sys.argv[1], int(sys.argv[2])
file = PackedFile(path)
os.truncate(path, length)
for work in (lambda: file.batch(np.arange(len(file))), lambda: file.segment(0), file.verify,
             lambda: file.subset(path + ".x", fraction=1.0), lambda: file.split([path + ".x", path + ".y"], [1, 1])):
    try:
        work()
        sys.exit("not refused")
    except FormatError as error:
        assert "was cut" in str(error), error
"""


@pytest.mark.parametrize("length", [0, 100, 5000, -1])
def test_a_file_cut_while_it_is_open_is_an_error_and_no_crash(packed, tmp_path, length):
    path = tmp_path / "training.packed"
    shutil.copy(packed, path)
    if length < 0:
        length = path.stat().st_size - 1
    done = subprocess.run([sys.executable, "-c", CUT, path, str(length)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [item.name for item in tmp_path.iterdir()] == ["training.packed"]


def test_a_file_overwritten_while_it_is_open_is_an_error(packed, tmp_path):
    path = tmp_path / "training.packed"
    shutil.copy(packed, path)
    dataset = PackedDataset(path)
    os.utime(path)
    assert len(dataset.batch([0])) > 0
    whole = packed.read_bytes()
    with path.open("r+b") as file:
        file.write(whole[:40] + bytes(8))
    os.utime(path, ns=(1, 1))
    with pytest.raises(FormatError, match="overwritten"):
        dataset.batch([0])


FULL = """
import resource, signal, sys
from genet5._core import PackedFile, Tokenizer
from genet5.data import write_packed
from genet5.errors import GeneT5Error
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = PackedFile(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), -1))
try:
    file.shuffle(sys.argv[2])
except OSError as error:
    print(error.filename, error.errno)
"""


@pytest.mark.parametrize("room", [0, 1000, 50_000])
def test_a_full_disk_is_an_error_and_leaves_nothing(packed, tmp_path, room):
    target = tmp_path / "out.packed"
    target.write_bytes(b"the old file")
    done = subprocess.run(
        [sys.executable, "-c", FULL, packed, target, str(room)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(target), "27"]
    assert target.read_bytes() == b"the old file"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_place_that_cannot_be_written_is_an_error(packed, tokenizer, tmp_path):
    file = PackedFile(packed)
    for place in (Path("/proc/out.packed"), tmp_path / "absent" / "out.packed", tmp_path):
        with pytest.raises(OSError, match=r".") as caught:
            file.shuffle(place)
        assert caught.value.filename is not None
        with pytest.raises(OSError, match=r"."):
            write_packed(place, make_windows(tokenizer, 1), tokenizer)


def test_windows_that_do_not_fit_their_row_are_refused(tokenizer, tmp_path):
    (window,) = make_windows(tokenizer, 1)
    fields = {name: getattr(window, name) for name in window.__dataclass_fields__}
    for change, message in [
        ({"ignore": [(0, 10**6)]}, "ignore interval"),
        ({"sentence": np.array([1], dtype=np.uint32)}, "sentence of 1"),
        ({"sentence": np.array([1, 99_999], dtype=np.uint32)}, "no token"),
        ({"loss_end": 10**6}, "loss ends"),
        ({"dna": b""}, "0 bp long"),
        ({"tracks": np.zeros(1, dtype=np.uint8)}, "tracks"),
    ]:
        with pytest.raises(InputError, match=message):
            write_packed(tmp_path / "out.packed", [type(window)(**{**fields, **change})], tokenizer)
    for budgets in ({"target": 0}, {"target": 10, "hard_limit": 5}, {"hard_limit": 10**9}, {"max_target_len": 0}):
        with pytest.raises(InputError, match="budgets"):
            write_packed(tmp_path / "out.packed", [window], tokenizer, **budgets)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_holds_no_samples(tokenizer, tmp_path):
    path = tmp_path / "out.packed"
    assert write_packed(path, [], tokenizer) == 0
    dataset = PackedDataset(path)
    assert len(dataset) == 0
    assert dataset.batch([]).bases.shape == (0,)
    assert dataset.file.verify() == 0
    assert plain_reader.read(path)["samples"] == []
    assert dataset.target_lengths.shape == (0,)


def _lengths_in_child(dataset, queue) -> None:
    queue.put(int(dataset.batch([1]).input_ids.sum()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_child_processes_read_the_same(packed, method):
    dataset = PackedDataset(packed)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_lengths_in_child, args=(dataset, queue))
    child.start()
    assert queue.get(timeout=60) == int(dataset.batch([1]).input_ids.sum())
    child.join()
