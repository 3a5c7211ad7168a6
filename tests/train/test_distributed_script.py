"""`bin/distributed.sh`: the recipe's command line becomes a torchrun command."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bin" / "distributed.sh"
POSITIONAL = ["training.packed", "validation.packed", "run dir", "init"]


def call(*arguments, **environment):
    return subprocess.run(
        [str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", **environment},
        timeout=30,
    )


def dry(*arguments, **environment):
    result = call(*arguments, "--dry_run", **environment)
    assert result.returncode == 0, result.stderr
    words = shlex.split(result.stdout)
    assert words[0] == "env"
    program = words.index("-m") - 1
    return dict(word.split("=", 1) for word in words[1:program]), words[program:]


def test_the_recipe():
    flags = ["--epochs", "4", "--lr", "1e-4", "--compile"]
    own = ["--nnodes", "2", "--node-rank", "1", "--master", "192.168.100.10"]
    environment, command = dry(*POSITIONAL, *own, *flags, PYTHON="python3.12")
    assert command[:3] == ["python3.12", "-m", "torch.distributed.run"]
    script = command.index(str(SCRIPT.with_name("finet")))
    assert command[script + 1 :] == POSITIONAL + flags
    options = dict(zip(command[3:script:2], command[4:script:2], strict=True))
    assert options["--nnodes"] == "2"
    assert options["--node-rank"] == "1"
    assert options["--master-addr"] == "192.168.100.10"
    assert environment["NCCL_IB_DISABLE"] == "0"


def test_transports():
    environment, _ = dry(*POSITIONAL, "--transport=socket", "--interface", "eth7")
    assert environment["NCCL_IB_DISABLE"] == "1"
    assert environment["NCCL_SOCKET_IFNAME"] == environment["GLOO_SOCKET_IFNAME"] == "eth7"
    environment, _ = dry(*POSITIONAL, "--hca", "rocep1s0f1")
    assert environment["NCCL_IB_HCA"] == "rocep1s0f1"


def test_both_spellings_and_defaults():
    _, first = dry(*POSITIONAL, "--nproc_per_node=2", "--master-port", "29501")
    _, second = dry("--master_port=29501", *POSITIONAL, "--nproc-per-node", "2")
    assert first == second


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "b", "c"], "TRAINING VALIDATION OUT MODEL are missing"),
        ([*POSITIONAL, "--nnodes", "two"], "--nnodes two is not a whole number"),
        ([*POSITIONAL, "--nnodes"], "--nnodes needs a value"),
        ([*POSITIONAL, "--nnodes", "2", "--node-rank", "2", "--master", "h"], "nodes count from 0"),
        ([*POSITIONAL, "--nnodes", "2", "--node-rank", "1"], "--master is missing"),
        ([*POSITIONAL, "--transport", "pigeon"], "--transport pigeon is unknown"),
    ],
)
def test_wrong_usage(arguments, message):
    result = call(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert not result.stdout


def test_the_recipes_lines_for_sockets(tmp_path):
    """The recipe says which two lines to uncomment where RDMA fails."""
    lines = SCRIPT.read_text().splitlines()
    for number in (126, 127):
        assert lines[number].startswith("# environment+=")
        lines[number] = lines[number].removeprefix("# ")
    copy = tmp_path / "distributed.sh"
    copy.write_text("\n".join(lines))
    result = subprocess.run(["bash", str(copy), *POSITIONAL, "--dry_run"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 0
    assert "NCCL_IB_DISABLE=1 NCCL_NET=Socket" in result.stdout


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck():
    result = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout
