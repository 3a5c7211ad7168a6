"""Two processes over gloo do what one process does with the same batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_run import TinyModel, tiny_trainer

SCRIPT = Path(__file__).with_name("tiny_run.py")


def torchrun(output, options, stop_at=-1):
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [sys.executable, *command, str(SCRIPT), str(output), json.dumps(options), str(stop_at)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A run on two processes: 23 batches of one pack, 3 a process and step, so that the last step has uneven shares."""
    output = tmp_path_factory.mktemp("two")
    options = {"max_batch_size": 1, "grad_accum": 3, "text_every": 2}
    result = torchrun(output, options)
    assert result.returncode == 0, result.stderr
    return output, options, result


def test_two_processes_equal_one(both, tmp_path):
    output, options, result = both
    model = TinyModel(seed=0)
    one = tiny_trainer(tmp_path, model, **(options | {"grad_accum": 6}))
    one.run()
    first, second = (torch.load(output / f"rank{rank}.pt") for rank in (0, 1))
    for name, value in model.state_dict().items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-6)
    assert result.stdout.count("validation after step 4") == 1


def test_a_signal_to_one_process_saves_and_the_run_goes_on(both, tmp_path):
    whole, options, _ = both
    stopped = torchrun(tmp_path, options, stop_at=2)
    assert stopped.returncode != 0
    assert "exitcode  : 75" in stopped.stderr, stopped.stderr
    assert torch.load(tmp_path / "last" / "trainer_state.pt")["progress"]["step"] == 2
    resumed = torchrun(tmp_path, options)
    assert resumed.returncode == 0, resumed.stderr
    expected = torch.load(whole / "last" / "weights.pt")
    found = torch.load(tmp_path / "last" / "weights.pt")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
