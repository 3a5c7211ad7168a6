#!/usr/bin/env python3
"""The recipe's `init_model.py`: the same as `genet5 init`."""

import sys

from genet5.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command(("init",), sys.argv[1:], prog="init_model.py"))
