"""Runs tests/kernels/interpreted in a process of its own, where the interpreter is on before triton is imported."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def _run(marker):
    environment = os.environ | {"TRITON_INTERPRET": "1", "GENET5_ATTENTION": "triton", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-m", marker, "-p", "no:cacheprovider", str(HERE / "interpreted")]
    done = subprocess.run(command, cwd=HERE.parent.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return int(re.search(r"(\d+) passed", done.stdout).group(1))


def test_kernels_under_the_interpreter():
    assert _run("not long") >= 40


@pytest.mark.long
def test_kernels_under_the_interpreter_long():
    assert _run("long") >= 100
