"""Options: one definition for command line and trainer, ranges checked, TOML that other readers understand."""

import argparse
import dataclasses
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genet5.cli import finetune
from genet5.errors import InputError
from genet5.train import toml
from genet5.train.losses import intron_weight
from genet5.train.options import TrainingOptions

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")

RECIPE = (
    "t.packed v.packed run init --epochs 4 --lr 1e-4 --token_budget 45500 --max_batch_size 8 --grad_accum 64 "
    "--weight_decay 0.01 --warmup_ratio 0.03 --max_grad_norm 1.0 --label_smoothing 0.1 --early_stopping 2 "
    "--save_steps 500 --empty_cache_steps 100 --compile --memwatch --log_every_pct 5"
)


def parse(arguments):
    parser = argparse.ArgumentParser()
    finetune.add_arguments(parser)
    return parser.parse_args(arguments)


def test_the_recipes_flags():
    args = parse(RECIPE.split())
    names = [field.name for field in dataclasses.fields(TrainingOptions)]
    options = TrainingOptions(**{name: getattr(args, name) for name in names})
    options.validate()
    assert options.grad_accum == 64
    assert options.epoch_limit == 4
    assert options.compile
    assert options.memwatch
    assert not options.mxfp8
    assert options.early_stopping == 2


def test_the_clock_alone_limits_a_run():
    assert TrainingOptions().epoch_limit == 4
    assert TrainingOptions(time_limit=5).epoch_limit == float("inf")
    assert TrainingOptions(time_limit=5, epochs=2).epoch_limit == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("epochs", 0),
        ("lr", -1.0),
        ("lr", float("nan")),
        ("token_budget", 0),
        ("grad_accum", 0),
        ("warmup_ratio", 1.0),
        ("label_smoothing", 1.0),
        ("log_every_pct", 0),
        ("text_every", 0),
        ("seed", -1),
        ("time_limit", 0),
    ],
)
def test_out_of_range_names_the_flag(option, value):
    with pytest.raises(InputError, match=f"--{option} .* out of range"):
        TrainingOptions(**{option: value}).validate()


@pytest.mark.parametrize("options", [{"text_weight": 0, "base_weight": 0}, {"base_weight": 0, "text_every": 2}])
def test_nothing_to_train(options):
    with pytest.raises(InputError, match="base_weight"):
        TrainingOptions(**options).validate()


def test_every_option_states_its_default():
    for field in dataclasses.fields(TrainingOptions):
        assert "(default: " in field.metadata["help"], field.name


def test_help_is_quick():
    """Half a second on an idle machine; no import of torch gets near it."""
    code = "import sys; from genet5.cli.main import run_command; run_command(('finetune',), ['--help'])"
    check = f"try:\n    {code}\nfinally:\n    assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    began = time.monotonic()
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "--grad_accum N" in result.stdout
    assert time.monotonic() - began < 5


plain = st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from("abcdef") | st.text(), plain | st.lists(st.integers(-9, 9)), max_size=5))
def test_toml_reads_back(table):
    assert tomllib.loads(toml.dumps({"table": table, "other": {"none": None}})) == {"table": table, "other": {}}


def test_rare_introns_weigh_more():
    assert intron_weight({"genes": 5500, "introns": 280}) == pytest.approx(4.43, abs=0.01)
    assert intron_weight({"genes": 100_000, "introns": 100}) == 5
    assert intron_weight({"genes": 1000, "introns": 9000}) == 1
    assert intron_weight({"genes": 4000, "introns": 3}) == intron_weight(None) == 1
