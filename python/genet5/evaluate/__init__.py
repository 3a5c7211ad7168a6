"""Comparison with a reference annotation, and BUSCO."""

from genet5.evaluate.busco import BuscoResult, run_busco
from genet5.evaluate.f1 import Evaluation, Levels, evaluate_f1, table

__all__ = ["BuscoResult", "Evaluation", "Levels", "evaluate_f1", "run_busco", "table"]
