"""The whole model: causal, isolated, the same flat and padded."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import segment, tiny_batch, tiny_model

from genet5.errors import InputError
from genet5.model import Segments

LENGTHS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 14)), min_size=1, max_size=4)


@settings(max_examples=15, deadline=None)
@given(
    lengths=LENGTHS,
    window=st.integers(1, 7),
    block=st.integers(1, 6),
    latents=st.sampled_from([0, 3, 16]),
    experts=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_the_decoder_is_strictly_causal(lengths, window, block, latents, experts, seed):
    model = tiny_model(seed, decoder_window_size=window, decoder_block_size=block, num_latents=latents, use_moe=experts)
    batch = tiny_batch(model, [tokens for tokens, _ in lengths], [targets for _, targets in lengths], seed)
    ids = batch["decoder_input_ids"]
    place = seed % len(ids)
    changed = ids.clone()
    changed[place] = 4100 + (int(ids[place]) - 4100 + 1) % 1000
    with torch.no_grad():
        before = model(**batch).logits
        after = model(**{**batch, "decoder_input_ids": changed}).logits
    segments = batch["segments"].target_offsets
    own = int(torch.searchsorted(segments[1:].contiguous(), place, right=True))
    untouched = torch.ones(len(ids), dtype=torch.bool)
    untouched[place : segments[own + 1]] = False
    torch.testing.assert_close(after[untouched], before[untouched], atol=1e-5, rtol=0)
    assert (after[place] - before[place]).abs().max() > 1e-6


@settings(max_examples=8, deadline=None)
@given(lengths=LENGTHS.filter(lambda x: len(x) > 1), latents=st.sampled_from([0, 4, 16]), seed=st.integers(0, 1000))
# The router works in float32, whose rounding depends on the number of rows.
def test_segments_give_the_same_packed_and_alone(lengths, latents, seed):
    model = tiny_model(num_latents=latents)
    batch = tiny_batch(model, [tokens for tokens, _ in lengths], [targets for _, targets in lengths], seed)
    with torch.no_grad():
        packed = model(**batch)
        alone = [model(**segment(batch, index)) for index in range(len(lengths))]
    for name in ("logits", "class_logits", "signal_logits", "encoder_last_hidden_state"):
        joined = torch.cat([getattr(output, name) for output in alone])
        torch.testing.assert_close(joined, getattr(packed, name), atol=1e-5, rtol=0)
    for part in ("text", "class", "signal"):
        joined = sum(output.loss_sums[part] for output in alone)
        torch.testing.assert_close(joined, packed.loss_sums[part], atol=1e-4, rtol=1e-6)
        assert sum(output.loss_counts[part] for output in alone) == packed.loss_counts[part]


def test_padded_rows_equal_flat_segments(model):
    batch = tiny_batch(model, [9, 4, 13], [5, 8, 2])
    del batch["tracks"]
    flat = model(**batch)
    offsets = batch["segments"]

    def rows(values, bounds, fill):
        parts = [values[a:b] for a, b in itertools.pairwise(bounds)]
        return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=fill)

    names = {"input_ids": (0, 3), "decoder_input_ids": (2, 3), "labels": (2, -100)}
    names |= {"bases": (1, 4), "class_labels": (1, -1), "signal_labels": (1, -1)}
    padded = {name: rows(batch[name], offsets[of].tolist(), fill) for name, (of, fill) in names.items()}
    output = model(**padded)
    torch.testing.assert_close(output.loss, flat.loss)
    for name, of in (("logits", 2), ("class_logits", 1), ("encoder_last_hidden_state", 0)):
        cut = [row[:n] for row, n in zip(getattr(output, name), offsets[of].diff().tolist(), strict=True)]
        torch.testing.assert_close(torch.cat(cut), getattr(flat, name))
    # Bases and positions are rebuilt from the tokens.
    del padded["bases"]
    torch.testing.assert_close(model(**padded).class_logits, output.class_logits)


def test_losses_are_what_the_contract_says(model):
    batch = tiny_batch(model, [30, 20], [9, 6])
    output = model(**batch)
    labels, classes, signals = batch["labels"], batch["class_labels"], batch["signal_labels"]
    text = torch.nn.functional.cross_entropy(output.logits, labels, reduction="sum")
    torch.testing.assert_close(output.loss_sums["text"].double(), text, atol=1e-4, rtol=1e-5)
    assert output.loss_counts["text"] == (labels != -100).sum()
    assert output.loss_counts["class"] == (classes >= 0).sum()
    assert output.loss_counts["signal"] == (signals == 1).sum()
    assert output.loss_counts["balance"] == output.loss_counts["router_z"] == len(labels)
    expected = sum(
        model.config.loss_weights[part] * output.loss_sums[part] / output.loss_counts[part]
        for part in ("text", "class", "signal", "balance", "router_z")
    )
    torch.testing.assert_close(output.loss, expected)


def test_training_computes_the_same_losses_as_evaluation(model):
    batch = tiny_batch(model, [30, 20], [9, 6])
    evaluated = model(**batch)
    model.train()
    try:
        trained = model(**batch)
    finally:
        model.eval()
    for part, value in evaluated.loss_sums.items():
        torch.testing.assert_close(trained.loss_sums[part], value)


def test_without_a_sentence_the_decoder_does_not_run(model):
    batch = tiny_batch(model, [12], [4])
    output = model(**{name: batch[name] for name in ("input_ids", "bases", "segments")})
    assert output.logits is None
    assert output.loss is None
    assert output.loss_sums == {}


def test_every_parameter_gets_a_gradient():
    model = tiny_model().train()
    model(**tiny_batch(model, [60, 40], [14, 12])).loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not without


def test_label_smoothing_applies_in_training_only():
    model = tiny_model(label_smoothing=0.1)
    batch = tiny_batch(model, [12], [8])
    plain = tiny_model()(**batch).loss_sums["text"]
    torch.testing.assert_close(model(**batch).loss_sums["text"], plain)
    assert not torch.allclose(model.train()(**batch).loss_sums["text"], plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_ids": torch.tensor([7, 8])}, "flat tokens need `segments`"),
        ({"input_ids": torch.tensor([[3, 8]])}, "padding must follow"),
        ({"input_ids": torch.tensor([[1, 8]])}, "token 1 stands for no bases"),
        ({"input_ids": torch.tensor([[7, 8]]), "labels": torch.tensor([[5]])}, "labels need decoder_input_ids"),
        ({"input_ids": torch.tensor([[7, 8]]), "decoder_input_ids": torch.tensor([5])}, "as many rows as input_ids"),
        (
            {"input_ids": torch.tensor([7, 8]), "segments": Segments(torch.tensor([0, 3]), torch.tensor([0, 2]))},
            "end at 3, but there are 2",
        ),
        ({"input_ids": torch.tensor([[7, 8]]), "bases": torch.zeros(3, dtype=torch.uint8)}, "there are 3 bases"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(model, change, message):
    with pytest.raises(InputError, match=message):
        model(**change)
