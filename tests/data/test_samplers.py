"""The order of samples is a pure function of seed, epoch, world and rank; budgets hold; every sample comes once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genet5.data import TokenBudgetSampler, pack_windows
from genet5.errors import InputError

SETTINGS = {
    "lengths": st.lists(st.integers(1, 60), max_size=120),
    "budget": st.integers(1, 200),
    "size": st.integers(1, 9),
    "world": st.integers(1, 5),
    "seed": st.integers(0, 5),
    "shuffle": st.booleans(),
}


@settings(max_examples=150, deadline=None)
@given(**SETTINGS)
def test_every_sample_comes_once_within_the_budgets(lengths, budget, size, world, seed, shuffle):
    ranks = [
        TokenBudgetSampler(lengths, budget, size, seed=seed, rank=rank, world_size=world, shuffle=shuffle)
        for rank in range(world)
    ]
    steps = [list(rank) for rank in ranks]
    assert len({len(one) for one in steps}) == 1, "every rank has the same number of batches"
    assert len(ranks[0]) == len(steps[0])
    for batch in (batch for one in steps for batch in one):
        assert 1 <= len(batch) <= size
        assert len(batch) == 1 or sum(lengths[i] for i in batch) <= budget
    # Batches of the last step may come from the beginning again; without those every sample comes once.
    every = [steps[rank][step] for step in range(len(steps[0])) for rank in range(world)]
    seen = np.concatenate([np.zeros(0, dtype=int), *every])
    assert set(seen.tolist()) == set(range(len(lengths)))
    again = len(seen) - len(lengths)
    assert again <= (world - 1) * size


@settings(max_examples=60, deadline=None)
@given(step=st.integers(0, 40), epoch=st.integers(0, 3), **SETTINGS)
def test_a_run_goes_on_at_any_step(lengths, budget, size, world, seed, shuffle, step, epoch):
    def sampler() -> TokenBudgetSampler:
        return TokenBudgetSampler(lengths, budget, size, seed=seed, rank=world - 1, world_size=world, shuffle=shuffle)

    whole = sampler()
    whole.set_position(epoch)
    resumed = sampler()
    resumed.set_position(epoch, step)
    expected = [batch.tolist() for batch in whole][step:]
    assert [batch.tolist() for batch in resumed] == expected


def test_epochs_and_seeds_differ_and_the_files_order_is_kept_without_shuffling():
    lengths = np.random.default_rng(0).integers(1, 50, 500)

    def order(seed: int, epoch: int, shuffle: bool = True) -> list[int]:
        sampler = TokenBudgetSampler(lengths, 100, 4, seed=seed, shuffle=shuffle)
        sampler.set_position(epoch)
        return np.concatenate(list(sampler)).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    assert order(0, 3, shuffle=False) == list(range(500))


def test_ranks_of_a_step_have_batches_of_like_size():
    lengths = np.random.default_rng(0).integers(10, 1000, 20_000)
    samplers = [TokenBudgetSampler(lengths, 10**6, 8, rank=rank, world_size=4) for rank in range(4)]
    sums = np.array([[lengths[batch].sum() for batch in sampler] for sampler in samplers])
    spread = (sums.max(axis=0) - sums.min(axis=0)) / sums.mean(axis=0)
    assert np.median(spread) < 0.1


def test_bad_settings_are_refused():
    for arguments in ({"token_budget": 0}, {"max_batch_size": 0}, {"rank": 1}, {"rank": -1}):
        with pytest.raises(InputError):
            TokenBudgetSampler([1], **{"token_budget": 1, "max_batch_size": 1, **arguments})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=80), st.integers(1, 60), st.integers(0, 20))
def test_packs_hold_their_limits(sizes, target, slack):
    tokens, labels = [a for a, _ in sizes], [b for _, b in sizes]
    plan = pack_windows(tokens, labels, target=target, hard_limit=target + slack, max_target_len=60)
    assert plan.packs.shape == (len(sizes),)
    assert plan.count >= plan.lower_bound
    for pack in range(plan.count):
        held = [sizes[i] for i in np.flatnonzero(plan.packs == pack)]
        assert held
        assert len(held) == 1 or sum(a for a, _ in held) <= target + slack
        assert len(held) == 1 or sum(b for _, b in held) <= 60
