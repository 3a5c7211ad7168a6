"""The learning rate: positive in every step, highest after the warm-up, falling to the end."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genet5.train.schedule import Schedule


def test_by_steps():
    schedule = Schedule(epoch_limit=2.0, warmup_ratio=0.1)
    factors = [schedule.factor(schedule.done(step / 50, 0.0), 50) for step in range(100)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == pytest.approx(1.0)
    assert factors[55] == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(0.01 / 0.9)
    assert schedule.done(2.0, 0.0) == 1.0


def test_by_the_clock():
    schedule = Schedule(seconds_limit=100.0, warmup_ratio=0.1)
    assert schedule.factor(schedule.done(0.0, 5.0), 7) == pytest.approx(0.5)
    assert schedule.factor(schedule.done(3.0, 55.0), 7) == pytest.approx(0.5)
    assert schedule.done(1e6, 99.0) < 1.0
    assert schedule.done(0.0, 100.0) == 1.0


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.floats(0.1, 100) | st.just(math.inf),
    st.floats(1, 1e6) | st.just(math.inf),
    st.floats(0, 0.99),
    st.floats(0, 1),
    st.integers(1, 10**6),
)
def test_positive_and_at_most_one(epochs, seconds, warmup, share, steps):
    schedule = Schedule(epochs, seconds, warmup)
    assert 0 < schedule.factor(share, steps) <= 1
