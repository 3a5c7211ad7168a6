"""Generation: the cache changes nothing, and does not grow."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny_model
from transformers import LogitsProcessor, LogitsProcessorList

IDS = torch.randint(5, 4096, (3, 30), generator=torch.Generator().manual_seed(1))
IDS[1, 20:] = 3
IDS[2, 7:] = 3


@settings(max_examples=10, deadline=None)
@given(
    window=st.integers(1, 6),
    block=st.integers(1, 5),
    latents=st.sampled_from([0, 5, 16]),
    prompt=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_steps_with_the_cache_equal_the_forward_pass(window, block, latents, prompt, seed):
    model = tiny_model(seed, torch.float32, decoder_window_size=window, decoder_block_size=block, num_latents=latents)
    sentence = torch.randint(4100, 5000, (3, 17), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        whole = model(IDS, sentence).logits
        memory = model.memory(IDS)
        cache = model.new_cache(3)
        parts = [model(decoder_input_ids=sentence[:, :prompt], encoder_outputs=memory, cache=cache).logits]
        for t in range(prompt, 17):
            parts.append(
                model(decoder_input_ids=sentence[:, t : t + 1], encoder_outputs=memory, past_key_values=cache).logits
            )
        without = model(decoder_input_ids=sentence, encoder_outputs=memory).logits
    assert cache.get_seq_length() == 17
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-4, rtol=0)
    torch.testing.assert_close(without, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("block", [1, 3])
@pytest.mark.parametrize(
    "how", [{}, {"num_beams": 3}, {"do_sample": True, "top_k": 5}, {"num_beams": 3, "num_return_sequences": 2}]
)
def test_generate_with_and_without_the_cache_writes_the_same(how, block):
    model = tiny_model(3, decoder_block_size=block)
    written = []
    for use_cache in (True, False):
        torch.manual_seed(0)
        written.append(model.generate(IDS, max_new_tokens=14, use_cache=use_cache, **how))
    assert torch.equal(*written)
    assert written[0].shape[0] == 3 * how.get("num_return_sequences", 1)
    assert (written[0][:, 0] == model.config.bos_token_id).all()


def test_greedy_generation_is_the_best_token_each_time():
    model = tiny_model(4)
    written = model.generate(IDS, max_new_tokens=10, do_sample=False)
    with torch.no_grad():
        best = model(IDS, written).logits.argmax(-1)
    for row in range(3):
        ended = (written[row] == model.config.eos_token_id).nonzero()
        last = int(ended[0]) if len(ended) else written.shape[1] - 1
        assert torch.equal(written[row, 1 : last + 1], best[row, :last])


def test_rows_of_a_batch_write_what_they_write_alone():
    model = tiny_model(5)
    together = model.generate(IDS, max_new_tokens=8, do_sample=False)
    for row, length in enumerate((30, 20, 7)):
        alone = model.generate(IDS[row : row + 1, :length], max_new_tokens=8, do_sample=False)
        assert torch.equal(alone[0], together[row, : alone.shape[1]])


def test_a_given_beginning_is_continued():
    model = tiny_model(6)
    begun = torch.tensor([[4100, 4104, 4106]]).expand(3, -1)
    written = model.generate(IDS, decoder_input_ids=begun, max_new_tokens=4, do_sample=False)
    assert torch.equal(written[:, :3], begun)
    again = model.generate(
        encoder_outputs=model.memory(IDS), decoder_input_ids=begun, max_new_tokens=4, do_sample=False
    )
    assert torch.equal(written, again)


def test_logits_processors_rule():
    class Only(LogitsProcessor):
        def __call__(self, input_ids, scores):
            allowed = torch.full_like(scores, -torch.inf)
            allowed[:, 4200 + input_ids.shape[1]] = 0
            return allowed

    written = tiny_model().generate(IDS, max_new_tokens=5, logits_processor=LogitsProcessorList([Only()]))
    assert written[:, 1:].tolist() == [[4201, 4202, 4203, 4204, 4205]] * 3


def test_the_cache_does_not_grow_and_holds_the_whole_memory():
    model = tiny_model(0, torch.float32, num_latents=64)
    ids = torch.randint(5, 4096, (1, 100), generator=torch.Generator().manual_seed(0))
    memory = model.memory(ids)
    # transformers' own cache would cut the 50 latents to the decoder's window of 5.
    assert memory.last_hidden_state.shape[1] == 50
    cache, sizes = model.new_cache(1), []
    with torch.no_grad():
        for t in range(60):
            model(decoder_input_ids=torch.tensor([[4100 + t]]), encoder_outputs=memory, cache=cache)
            sizes.append(cache.nbytes())
    assert len(set(sizes)) == 1
    assert all(keys.shape[2] == 50 for keys in cache.memory_keys)
    assert all(keys.shape[1] == 5 for keys in cache.keys)
