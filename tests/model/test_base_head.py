"""The base head: mirrored, isolated, and reading what the definitions say."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny_model

from genet5.language import Vocabulary, base_labels
from genet5.model import GeneT5Config, GeneT5ForConditionalGeneration
from genet5.model.base_head import ACCEPTOR, DONOR, NO_CANDIDATE, START, STOP, find_candidates, head_layout, open_frames
from genet5.model.modeling import Evidence
from genet5.model.segments import Segments, offsets_of


def random_bases(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    letters = torch.randint(0, 4, (sum(lengths),), generator=generator)
    letters[torch.rand(sum(lengths), generator=generator) < 0.02] = 4
    return letters.to(torch.uint8)


def run(model, bases, lengths):
    """Class and signal logits without the encoder."""
    offsets = offsets_of(torch.tensor(lengths))
    layout = model.base_head.layout(bases, offsets)
    with torch.no_grad():
        states, classes, ends = model.base_head(layout)
        signals, _ = model.signal_logits(Evidence(None, layout, states, classes, ends, offsets))
    return classes, signals


def reverse_complement(bases):
    return torch.tensor([3, 2, 1, 0, 4], dtype=torch.uint8)[bases.long().flip(0)]


def mirrored(classes, signals):
    """Outputs of the reverse complement from those of the sequence."""
    length = len(classes)
    classes, signals = classes.flip(0).flip(1), signals.flip(0).flip(1)
    frames = [1 + (length - frame) % 3 for frame in range(3)]
    return torch.cat((classes[..., :1], classes[..., frames], classes[..., 4:]), -1), signals


@settings(max_examples=12, deadline=None)
@given(length=st.integers(1, 200), seed=st.integers(0, 1000))
def test_the_reverse_complement_gives_exactly_the_mirrored_output(model, length, seed):
    bases = random_bases([length], seed)
    classes, signals = mirrored(*run(model, bases, [length]))
    other_classes, other_signals = run(model, reverse_complement(bases), [length])
    torch.testing.assert_close(other_classes, classes, atol=1e-11, rtol=0)
    torch.testing.assert_close(other_signals, signals, atol=1e-11, rtol=0)


@settings(max_examples=12, deadline=None)
@given(lengths=st.lists(st.integers(1, 300), min_size=2, max_size=5), seed=st.integers(0, 1000))
def test_segments_give_the_same_packed_and_alone(model, lengths, seed):
    bases = random_bases(lengths, seed)
    classes, signals = run(model, bases, lengths)
    parts = zip(bases.split(lengths), classes.split(lengths), signals.split(lengths), lengths, strict=True)
    for own, own_classes, own_signals, length in parts:
        alone_classes, alone_signals = run(model, own, [length])
        torch.testing.assert_close(alone_classes, own_classes, atol=1e-11, rtol=0)
        torch.testing.assert_close(alone_signals, own_signals, atol=1e-11, rtol=0)


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_codons_lie_where_the_definitions_say(lengths, seed):
    bases = random_bases(lengths, seed)
    layout = head_layout(bases, offsets_of(torch.tensor(lengths)), stride=8, gap=8)
    begin = 0
    for length in lengths:
        own = bases[begin : begin + length].tolist()
        for i in range(length):
            for strand in range(2):
                for frame in range(3):
                    # Leftmost base of the codon of this frame that covers base i; one that lies before the strand's
                    # first base is replaced by the next.
                    left = i - (i - frame) % 3
                    if strand == 0 and left < 0:
                        left += 3
                    if strand == 1 and left + 2 >= length:
                        left -= 3
                    letters = [own[j] if 0 <= j < length else 5 for j in range(left, left + 3)]
                    if strand == 1:
                        letters = [(3, 2, 1, 0, 4, 5)[letter] for letter in letters[::-1]]
                    a, b, c = letters
                    expected = 16 * a + 4 * b + c if max(letters) < 4 else 60 + max(letters)
                    place = layout.sites[strand, begin + i, frame]
                    assert layout.codons[strand, place] == expected
        begin += length


@settings(max_examples=30, deadline=None)
@given(codons=st.lists(st.sampled_from([0, 21, 48, 50, 56, 64, 65]), min_size=1, max_size=40))
def test_open_frames_are_the_distances_to_the_stops_on_both_sides(codons):
    found = open_frames(torch.tensor([codons, codons[::-1]]))
    for i in range(len(codons)):
        for number, stops in enumerate(((48, 50, 56), (48, 50), (56,))):
            ends = {-1, len(codons), *(j for j, codon in enumerate(codons) if codon in (*stops, 65))}
            before, after = i - max(j for j in ends if j <= i), min(j for j in ends if j >= i) - i
            expected = [(math.log2(1 + distance) - 5) / 2 for distance in (before, after, before + after)]
            assert found[0, i, 3 * number : 3 * number + 3].tolist() == pytest.approx(expected, abs=1e-6)
            mirrored = [expected[1], expected[0], expected[2]]
            assert found[1, -1 - i, 3 * number : 3 * number + 3].tolist() == pytest.approx(mirrored, abs=1e-6)


def test_candidates_are_those_of_the_labels(model):
    """The labels, computed in Rust from a sentence without genes, know the same candidates."""
    vocabulary = Vocabulary.builtin()
    sentence = vocabulary.ids(["<bos>", "<NOUTR>", "<CODING>", "<eos>"])
    bases = random_bases([700], 3)
    starts = ["ATG", "CTG", "GTG", "TTG"]
    _, expected = base_labels(sentence, bases.numpy(), vocabulary, starts=starts)
    layout = model.base_head.layout(bases, torch.tensor([0, 700]))
    found = find_candidates(layout)
    labelled = torch.from_numpy(expected) >= 0
    for index, kind in enumerate((START, DONOR, ACCEPTOR, STOP)):
        torch.testing.assert_close(found[..., index], labelled[..., kind])
        assert found[..., index].any()


def test_logits_stand_at_candidates_only(model):
    bases = random_bases([400], 5)
    _, signals = run(model, bases, [400])
    found = find_candidates(model.base_head.layout(bases, torch.tensor([0, 400])))
    assert ((signals[:, :, 1:5] != NO_CANDIDATE) == found).all()


def test_letters_beside_a_segment_do_not_matter_for_its_signals(model):
    """Candidates at a segment's edge read past it, where its neighbours must not be."""
    one, other = random_bases([50], 1), random_bases([50], 2)
    _, first = run(model, torch.cat((one, random_bases([50], 3))), [50, 50])
    _, second = run(model, torch.cat((one, other)), [50, 50])
    torch.testing.assert_close(first[:50], second[:50], atol=0, rtol=0)


def test_special_parts_begin_as_they_must():
    head = GeneT5ForConditionalGeneration(GeneT5Config.from_preset("micro")).base_head
    # No worse than without the encoder at first, and few candidates are true.
    assert not head.tokens_in.weight.any()
    assert head.codon_logits.bias.tolist() == [0, 0, 0, 0, -6, -6]
    assert head.signal_out.weight[:, -1].tolist() == [-4] * 4
    assert 0.04 < head.signal_tables.weight.std() < 0.06


@pytest.mark.parametrize("switch", ["encoder_to_head", "head_to_tokens"])
def test_switches_cut_a_path(switch):
    ids = torch.randint(5, 4096, (1, 20), generator=torch.Generator().manual_seed(0))
    sentence = torch.tensor([[4100, 4104, 4106]])
    for on in (True, False):
        model = tiny_model(**{switch: on})
        before = model(ids, sentence)
        with torch.no_grad():
            if switch == "encoder_to_head":
                model.encoder.layers[1].down.weight.mul_(-1)
                changed = model(ids, sentence).class_logits - before.class_logits
            else:
                model.base_head.expand.weight.mul_(-1)
                changed = model(ids, sentence).logits - before.logits
        assert bool(changed.abs().max() > 1e-9) == on


def test_segments_type_is_the_contract():
    assert Segments._fields == ("token_offsets", "base_offsets", "target_offsets")
