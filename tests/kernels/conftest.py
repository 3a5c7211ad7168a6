"""Kernel tests: helpers beside the tests are importable, and the interpreter's tests run only where it is on."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

# The interpreter must be chosen before triton is imported: these run in a process of their own (test_interpreter.py).
collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["interpreted/*"]
