#!/usr/bin/env python3
"""The recipe's `resize_model.py`: the same as `genet5 resize`."""

import sys

from genet5.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command(("resize",), sys.argv[1:], prog="resize_model.py"))
