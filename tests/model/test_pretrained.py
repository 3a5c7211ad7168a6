"""At home in transformers: saving, loading, Auto classes, checkpointing, autocast, compile, export."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import tiny_batch, tiny_config, tiny_model
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM

from genet5.errors import InputError
from genet5.model import GeneT5Config, GeneT5ForConditionalGeneration
from genet5.model.configuration import preset_names
from genet5.model.counting import count, evidence_active, skeleton


@pytest.fixture
def saved(tmp_path):
    model = tiny_model(dtype=torch.float32)
    model.save_pretrained(tmp_path / "model")
    return model, tmp_path / "model"


def test_a_reloaded_model_is_the_same_in_every_parameter_and_buffer(saved):
    model, path = saved
    for again in (
        GeneT5ForConditionalGeneration.from_pretrained(path),
        AutoModel.from_pretrained(path),
        AutoModelForSeq2SeqLM.from_pretrained(path),
    ):
        assert type(again) is GeneT5ForConditionalGeneration
        for kind in ("named_parameters", "named_buffers"):
            mine, theirs = dict(getattr(model, kind)()), dict(getattr(again, kind)())
            assert mine.keys() == theirs.keys()
            for name, value in mine.items():
                assert value.dtype == theirs[name].dtype
                assert torch.equal(value, theirs[name]), name
        assert again.lm_head.weight is again.decoder.embedding.weight
        assert again.config.to_dict() == {**model.config.to_dict(), **_volatile(again.config)}
    assert isinstance(AutoConfig.from_pretrained(path), GeneT5Config)


def _volatile(config):
    return {name: getattr(config, name) for name in ("_name_or_path", "transformers_version") if hasattr(config, name)}


def test_a_tied_head_is_stored_once_and_an_untied_one_twice(saved, tmp_path):
    _, path = saved
    assert "lm_head.weight" not in load_file(path / "model.safetensors")
    model = tiny_model(dtype=torch.float32, tie_weights=False)
    model.save_pretrained(tmp_path / "untied")
    again = GeneT5ForConditionalGeneration.from_pretrained(tmp_path / "untied")
    assert again.lm_head.weight is not again.decoder.embedding.weight
    assert torch.equal(again.lm_head.weight, model.lm_head.weight)
    assert torch.equal(again.decoder.embedding.weight, model.decoder.embedding.weight)


def test_large_models_are_sharded(tmp_path):
    model = tiny_model(dtype=torch.float32)
    model.save_pretrained(tmp_path, max_shard_size="500KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    again = GeneT5ForConditionalGeneration.from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("where", ["cpu", "auto", {"": "cpu"}], ids=str)
def test_a_device_map_is_taken(saved, where):
    pytest.importorskip("accelerate")
    model, path = saved
    again = GeneT5ForConditionalGeneration.from_pretrained(path, device_map=where)
    assert {parameter.device.type for parameter in again.parameters()} == {"cpu"}
    batch = tiny_batch(model, [12, 7], [6, 4])
    with torch.no_grad():
        torch.testing.assert_close(again(**batch).logits, model(**batch).logits)
        torch.testing.assert_close(again(**batch).class_logits, model(**batch).class_logits)


def test_half_precision_is_stored_but_not_trained(tmp_path):
    model = tiny_model(dtype=torch.float32)
    model.half().save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors")["encoder.norm.weight"].dtype == torch.float16
    assert {parameter.dtype for parameter in GeneT5ForConditionalGeneration.from_pretrained(tmp_path).parameters()} == {
        torch.float32
    }
    asked = GeneT5ForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert asked.dtype == torch.bfloat16
    assert asked.encoder.slopes.dtype == torch.float32


def test_a_card_is_written_once(saved):
    _, path = saved
    card = path / "README.md"
    assert "base_head" in card.read_text()
    card.write_text("mine")
    tiny_model(dtype=torch.float32).save_pretrained(path)
    assert card.read_text() == "mine"


def test_gradient_checkpointing_changes_no_gradient():
    model = tiny_model().train()
    batch = tiny_batch(model, [30, 12], [9, 6])
    gradients = []
    for on in (False, True):
        if on:
            model.gradient_checkpointing_enable()
            assert model.decoder.gradient_checkpointing
        model.zero_grad()
        model(**batch).loss.backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain, atol=1e-9, rtol=1e-6)


def test_autocast_trains_close_to_full_precision():
    model = tiny_model(dtype=torch.float32).train()
    batch = tiny_batch(model, [30, 12], [9, 6])
    full = model(**batch).loss
    with torch.autocast("cpu", torch.bfloat16):
        half = model(**batch)
    half.loss.backward()
    assert half.loss.dtype == torch.float32
    assert float((half.loss - full).detach().abs() / full.detach()) < 0.05


def test_parts_compile_without_a_break_and_give_the_same():
    model = tiny_model(dtype=torch.float32)
    batches = [tiny_batch(model, [20, 9], [8, 5], 1), tiny_batch(model, [31], [13], 2)]
    with torch.no_grad():
        expected = [model(**batch) for batch in batches]
        for name in ("encoder", "base_head", "compressor", "decoder"):
            getattr(model, name).compile(dynamic=None, backend="aot_eager", fullgraph=True)
        for batch, eager in zip(batches, expected, strict=True):
            output = model(**batch)
            torch.testing.assert_close(output.logits, eager.logits, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(output.class_logits, eager.class_logits, atol=1e-4, rtol=1e-4)


@pytest.mark.long
def test_training_compiled_by_inductor_gives_the_same_gradients():
    model = tiny_model(dtype=torch.float32).train()
    batch = tiny_batch(model, [20, 9], [8, 5], 1)
    model(**batch).loss.backward()
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    for name in ("encoder", "base_head", "compressor", "decoder"):
        getattr(model, name).compile(dynamic=None)
    model(**batch).loss.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-3, rtol=1e-3)


def test_encoder_and_base_head_export_for_windows_of_any_length():
    from genet5.model.export import export_evidence

    model = tiny_model(dtype=torch.float32)
    program = export_evidence(model).module()
    for tokens in (12, 57):
        batch = tiny_batch(model, [tokens], [2], tokens)
        with torch.no_grad():
            eager = model(input_ids=batch["input_ids"], bases=batch["bases"], segments=batch["segments"])
        starts = torch.cat((torch.zeros(1), model.token_lengths[batch["input_ids"]].cumsum(0)[:-1])).long()
        classes, ends = program(batch["input_ids"], batch["bases"], starts)
        torch.testing.assert_close(classes, eager.class_logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ends, eager.signal_logits[..., [0, 5]], atol=1e-5, rtol=1e-5)


def test_presets_have_the_sizes_that_are_promised():
    assert set(preset_names()) == {"micro", "small", "base"}
    micro = GeneT5Config.from_preset("micro")
    assert evidence_active(micro) <= 3_000_000
    assert sum(row.parameters for row in count(micro)) < 10_000_000
    assert micro.store_dtype == "float16"
    assert 35e6 < sum(row.parameters for row in count(GeneT5Config.from_preset("small"))) < 50e6
    recipe = skeleton(GeneT5Config.from_preset("base"))
    assert 1.45e9 < recipe.num_parameters() < 1.65e9
    assert recipe.num_parameters() == sum(row.parameters for row in count(recipe.config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder_kv_heads": 3}, "--decoder_heads 4 is no multiple of --decoder_kv_heads 3"),
        ({"decoder_heads": 5}, "--decoder_heads 5 does not divide the hidden size 32"),
        ({"decoder_window_size": 0}, "--decoder_window_size 0 must be at least 1"),
        ({"loss_weights": {"words": 1.0}}, "no part"),
        ({"store_dtype": "int8"}, "--store_dtype int8"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        tiny_config(**changes)


def test_an_unknown_preset_is_refused_with_the_list():
    with pytest.raises(InputError, match="presets are base, micro, small"):
        GeneT5Config.from_preset("huge")
