"""Makes `tiny_run` importable by the tests and by the processes that they start."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
torch.set_num_threads(1)
