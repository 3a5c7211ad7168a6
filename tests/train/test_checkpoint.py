"""Checkpoints appear whole or not at all, also where folders cannot be exchanged in one step."""

import os

import pytest
import torch
from safetensors import SafetensorError

from genet5.errors import FormatError, GeneT5Error, InputError
from genet5.files import write_whole
from genet5.train import checkpoint


def write(target, text):
    with checkpoint.replaced_directory(target) as new:
        (new / "file").write_text(text)


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("exchange", [True, False])
def test_replaces_whole_folders(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(checkpoint, "_exchange", lambda first, second: False)
    target = tmp_path / "run" / "last"
    write(target, "one")
    write(target, "two")
    assert (target / "file").read_text() == "two"
    assert entries(target.parent) == ["last"]


@pytest.mark.parametrize("exchange", [True, False])
def test_an_error_leaves_the_old_folder(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(checkpoint, "_exchange", lambda first, second: False)
    target = tmp_path / "last"
    write(target, "one")

    def fail(new):
        (new / "file").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk"):
        checkpoint.save(target, fail, {})
    assert (target / "file").read_text() == "one"
    assert entries(tmp_path) == ["last"]


def test_recovers_from_a_crash_between_two_renames(tmp_path):
    target = tmp_path / "last"
    write(target, "one")
    target.rename(tmp_path / ".last.previous")
    (tmp_path / ".last.new-abc").mkdir()
    checkpoint.recover(target)
    assert (target / "file").read_text() == "one"
    assert entries(tmp_path) == ["last"]


def test_copies_share_nothing_that_changes(tmp_path):
    write(tmp_path / "last", "one")
    checkpoint.copy_directory(tmp_path / "last", tmp_path / "best")
    write(tmp_path / "last", "two")
    write_whole(tmp_path / "best" / "extra", "new")
    assert (tmp_path / "best" / "file").read_text() == "one"
    assert entries(tmp_path / "last") == ["file"]


def test_folders_and_files_follow_the_umask(tmp_path):
    write(tmp_path / "last", "one")
    write_whole(tmp_path / "file", "text")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "last").stat().st_mode & 0o777 == 0o777 & ~umask
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask


def test_damaged_state_is_refused(tmp_path):
    checkpoint.save(tmp_path / "last", lambda folder: None, {"version": 1, "tensor": torch.arange(1000)})
    assert checkpoint.load_state(tmp_path / "last")["version"] == 1
    state = tmp_path / "last" / checkpoint.STATE_FILE
    state.write_bytes(state.read_bytes()[:700])
    with pytest.raises(FormatError, match=r"trainer_state\.pt is damaged"):
        checkpoint.load_state(tmp_path / "last")
    state.unlink()
    with pytest.raises(InputError, match="does not exist"):
        checkpoint.load_state(tmp_path / "last")


def test_a_disk_that_fills_while_saving_leaves_the_checkpoint_and_says_what_to_do(tmp_path):
    """torch and safetensors raise errors of their own there, not OSError."""
    write(tmp_path / "last", "one")

    def full(folder):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with pytest.raises(GeneT5Error, match=r"No space left.*is untouched.*--resume"):
        checkpoint.save(tmp_path / "last", full, {})
    assert (tmp_path / "last" / "file").read_text() == "one"
    assert entries(tmp_path) == ["last"]
