"""The run's folder: never overwritten unasked, recovered after a crash."""

import pytest

from genet5.errors import InputError
from genet5.train.session import companions, model_directory, prepare_output


def test_a_run_is_not_overwritten_unasked(tmp_path):
    output = tmp_path / "a" / "run"
    assert not prepare_output(output, resume=False, overwrite=False)
    (output / "last").mkdir()
    (output / "training_log.csv").write_text("old")
    with pytest.raises(InputError, match=r"already holds a run: .*--resume.*--overwrite"):
        prepare_output(output, resume=False, overwrite=False)
    assert prepare_output(output, resume=True, overwrite=False)
    assert (output / "training_log.csv").exists()
    assert not prepare_output(output, resume=False, overwrite=True)
    assert not any(output.iterdir())
    assert not prepare_output(output, resume=True, overwrite=False)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="run is a file"):
        prepare_output(tmp_path / "run", resume=False, overwrite=False)


def test_what_a_crash_left_is_put_back(tmp_path):
    (tmp_path / ".last.previous").mkdir()
    (tmp_path / ".last.new-x").mkdir()
    assert prepare_output(tmp_path, resume=True, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_a_runs_folder_means_its_best_model(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        model_directory(tmp_path / "none")
    with pytest.raises(InputError, match="holds no model"):
        model_directory(tmp_path)
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "config.json").write_text("{}")
    assert model_directory(tmp_path) == tmp_path / "best"
    assert model_directory(tmp_path / "best") == tmp_path / "best"


def test_companions_are_what_is_neither_weights_nor_state(tmp_path):
    for name in (
        *("config.json", "model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json"),
        *("trainer_state.pt", "pytorch_model.bin", "tokenizer.json", "gene_parameters.json", ".hidden"),
    ):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder").mkdir()
    assert companions(tmp_path) == {name: name.encode() for name in ("gene_parameters.json", "tokenizer.json")}
