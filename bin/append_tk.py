#!/usr/bin/env python3
"""The recipe's `append_tk.py`: the same as `genet5 tokens append`."""

import sys

from genet5.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command(("tokens", "append"), sys.argv[1:], prog="append_tk.py"))
