#!/usr/bin/env python3
"""The recipe's `init_tk.py`: the same as `genet5 tokens init`."""

import sys

from genet5.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command(("tokens", "init"), sys.argv[1:], prog="init_tk.py"))
