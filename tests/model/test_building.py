"""New models: where weights come from; growing a model; the commands."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import SIZES, tiny_batch, tiny_config

from genet5 import _core
from genet5.cli.main import main
from genet5.errors import InputError
from genet5.model import GeneT5ForConditionalGeneration, building
from genet5.model.resizing import grow_rows, resize_optimizer
from genet5.model.tokens import builtin_tokens

TINY = [
    word
    for name in ("num_latents", "decoder_heads", "decoder_kv_heads", "decoder_ff_dim", "num_experts", "decoder_layers")
    for word in (f"--{name}", str(SIZES[name]))
]


def build(data, **changes):
    golden = data / "dnabert2" / "golden" / "small"
    tokens = list(builtin_tokens())
    overrides = {"num_latents": 8, "decoder_layers": 4, "decoder_heads": 4, "decoder_kv_heads": 2, "num_experts": 2}
    overrides |= {"decoder_ff_dim": 64, "moe_top_k": 1, "init_attn_std": 0.004, **changes}
    config = building.new_configuration("micro", overrides, tokens, golden)
    return (*building.build(config, tokens, 5, golden), torch.load(golden / "pytorch_model.bin", weights_only=True))


def test_weights_of_dnabert2_are_taken_and_their_table_told(data):
    model, rows, state = build(data)
    assert torch.equal(model.encoder.embedding.weight[:4096], state["bert.embeddings.word_embeddings.weight"])
    assert torch.equal(model.encoder.layers[2].down.weight, state["bert.encoder.layer.2.mlp.wo.weight"])
    sources = {row.part: row for row in rows}
    assert sources["encoder"].source == "DNABERT-2 (small)"
    assert sources["decoder self-attention"].source == "encoder layers 1 to 3"
    assert sum(row.parameters for row in rows) == model.num_parameters()


def test_the_decoder_begins_with_the_encoders_attention_pooled_by_group(data):
    model, _, state = build(data)
    weight = state["bert.encoder.layer.1.attention.self.Wqkv.weight"]
    q, k, v = weight.chunk(3)
    attention = model.decoder.layers[1].self_attention
    assert torch.equal(attention.query.weight, q)
    keys, values = attention.key_value.weight.chunk(2)
    size = 96 // 4
    for own, theirs in ((keys, k), (values, v)):
        for group in range(2):
            heads = [theirs[size * head : size * (head + 1)] for head in (2 * group, 2 * group + 1)]
            torch.testing.assert_close(own[size * group : size * (group + 1)], (heads[0] + heads[1]) / 2)
    # There is no fourth layer to take: it is new.
    assert model.decoder.layers[3].self_attention.query.weight.std() < 0.005


def test_new_weights_follow_their_deviations_and_the_seed():
    stds = {"init_std": 0.11, "init_embed_std": 0.05, "init_ffn_std": 0.07, "init_attn_std": 0.03}
    config = tiny_config(hidden_size=64, **stds, init_moe_router_std=0.006, tie_weights=False)
    tokens = list(builtin_tokens())
    model, _ = building.build(config, tokens, 1)
    layer = model.decoder.layers[0]
    for weight, std in (
        (model.decoder.embedding.weight, 0.05),
        (model.lm_head.weight, 0.05),
        (model.encoder.embedding.weight, 0.05),
        (layer.mlp.gate_up, 0.07),
        (layer.mlp.down, 0.07),
        (layer.mlp.router.weight, 0.006),
        (layer.cross_attention.key_value.weight, 0.03),
        (model.encoder.layers[0].qkv.weight, 0.03),
        (model.encoder.layers[0].gate_up.weight, 0.07),
        (model.positions.sinusoids.weight, 0.11),
    ):
        assert float(weight.detach().std()) == pytest.approx(std, rel=0.12)
    again, other = (building.build(config, tokens, seed)[0] for seed in (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert not torch.equal(model.encoder.embedding.weight, other.encoder.embedding.weight)


def test_new_rows_have_the_old_ones_mean_and_covariance():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 6, generator=generator)
    old = torch.randn(600, 6, generator=generator) @ mixing + torch.arange(6.0)
    grown = grow_rows(old, 12_600, generator)
    assert torch.equal(grown[:600], old)
    new = grown[600:]
    torch.testing.assert_close(new.mean(0), old.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(new.T.cov(), old.T.cov(), atol=0.35, rtol=0.1)


def initialised(folder, *more):
    assert main(["init", "--save_dir", str(folder), "--preset", "micro", *TINY, *more]) == 0
    return folder


def test_init_writes_a_model_that_loads_and_reads_dna(tmp_path, capsys):
    folder = initialised(tmp_path / "model", "--encoder_to_head", "off", "--no-tie_weights")
    out = capsys.readouterr().out
    assert "decoder experts" in out
    assert "5,153 tokens" in out
    model = GeneT5ForConditionalGeneration.from_pretrained(folder)
    assert model.config.encoder_to_head is False
    assert model.config.tie_weights is False
    assert load_file(folder / "model.safetensors")["encoder.norm.weight"].dtype == torch.float16
    assert json.loads((folder / "gene_parameters.json").read_text())
    sequence = b"ACGTTGACCANNACGATTTAGACA"
    ids = _core.Tokenizer(folder).encode(sequence)
    output = model(torch.from_numpy(ids.astype(np.int64))[None])
    assert output.class_logits.shape == (1, len(sequence), 2, 6)
    assert _core.Tokenizer(folder).tokens == list(builtin_tokens())


def test_init_takes_dnabert2_by_its_folder(data, tmp_path):
    golden = data / "dnabert2" / "golden" / "small"
    folder = tmp_path / "model"
    more = ["--dnabert_path", str(golden), "--store_dtype", "float32", "--tokenizer", str(data / "dnabert2")]
    initialised(folder, *more)
    state = load_file(folder / "model.safetensors")
    original = torch.load(golden / "pytorch_model.bin", weights_only=True)
    assert torch.equal(state["encoder.embedding.weight"][:4096], original["bert.embeddings.word_embeddings.weight"])


def test_init_replaces_a_model_only_when_told(tmp_path, capsys):
    folder = initialised(tmp_path / "model")
    before = (folder / "model.safetensors").read_bytes()
    assert main(["init", "--save_dir", str(folder), "--preset", "micro", *TINY]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (folder / "model.safetensors").read_bytes() == before
    initialised(folder, "--overwrite", "--seed", "1")
    assert (folder / "model.safetensors").read_bytes() != before


def test_a_failed_init_leaves_nothing_behind(tmp_path, capsys):
    folder = tmp_path / "model"
    assert main(["init", "--save_dir", str(folder), "--preset", "micro", "--decoder_heads", "5"]) == 1
    assert "--decoder_heads 5" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tied", [True, False])
def test_resizing_grows_in_place(tmp_path, tied, capsys):
    folder = initialised(tmp_path / "model", *([] if tied else ["--no-tie_weights"]))
    old = GeneT5ForConditionalGeneration.from_pretrained(folder)
    before = load_file(folder / "model.safetensors")
    optimizer = torch.optim.AdamW(old.parameters())
    old(**tiny_batch(old, [9], [4])).loss.backward()
    optimizer.step()
    torch.save({"optimizer": optimizer.state_dict(), "progress": {"step": 1}}, folder / "trainer_state.pt")
    (folder / "notes.txt").write_text("kept")
    _core.append_tokens(folder, ["<new_biotype>", "<another>"])
    assert main(["resize", str(folder), str(folder)]) == 0
    assert "5,153 to 5,155" in capsys.readouterr().out

    after = load_file(folder / "model.safetensors")
    grown = {"encoder.embedding.weight", "decoder.embedding.weight", "token_letters", "token_lengths"}
    grown |= set() if tied else {"lm_head.weight"}
    for name, value in before.items():
        assert after[name].dtype == value.dtype
        assert torch.equal(after[name][: len(value)] if name in grown else after[name], value)
    assert all(len(after[name]) == 5155 for name in grown)
    model = GeneT5ForConditionalGeneration.from_pretrained(folder)
    assert model.config.vocab_size == 5155
    assert (model.lm_head.weight is model.decoder.embedding.weight) == tied
    again = torch.optim.AdamW(model.parameters())
    again.load_state_dict(torch.load(folder / "trainer_state.pt", weights_only=True)["optimizer"])
    model(**tiny_batch(model, [9], [4])).loss.backward()
    again.step()
    assert (folder / "notes.txt").read_text() == "kept"
    assert main(["resize", str(folder), str(folder)]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_resizing_refuses_other_tokenizers_and_to_shrink(data, tmp_path, capsys):
    folder = initialised(tmp_path / "model")
    before = (folder / "model.safetensors").read_bytes()
    plain = data / "dnabert2"
    assert main(["resize", str(folder), str(plain)]) == 1
    assert "--allow_shrink" in capsys.readouterr().err
    document = json.loads((folder / "tokenizer.json").read_text())
    document["model"]["vocab"] = {
        {"A": "C", "C": "A"}.get(token, token): number for token, number in document["model"]["vocab"].items()
    }
    other = tmp_path / "other"
    other.mkdir()
    (other / "tokenizer.json").write_text(json.dumps(document))
    assert main(["resize", str(folder), str(other)]) == 1
    assert "tokenizers only grow" in capsys.readouterr().err
    assert (folder / "model.safetensors").read_bytes() == before
    assert main(["resize", str(folder), str(plain), "--allow_shrink"]) == 0
    assert len(load_file(folder / "model.safetensors")["encoder.embedding.weight"]) == 4096


def test_eight_bit_moments_are_dropped():
    state = {"state": {0: {"state1": torch.zeros(10, 4, dtype=torch.uint8)}, 1: {"exp_avg": torch.ones(3)}}}
    assert resize_optimizer(state, 10, 12, 4) == (0, 1)
    assert list(state["state"]) == [1]


def test_info_tells_parameters_and_memory(tmp_path, capsys):
    folder = initialised(tmp_path / "model")
    capsys.readouterr()
    assert main(["info", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["parameters"] == GeneT5ForConditionalGeneration.from_pretrained(folder).num_parameters()
    assert report["memory_bytes"]["adamw"] == 8 * report["parameters"]
    assert main(["info", "micro"]) == 0
    assert "active a token" in capsys.readouterr().out
    assert main(["info", str(tmp_path / "none")]) == 1
    assert "neither a folder nor a preset" in capsys.readouterr().err


def test_a_checkpoint_that_is_not_dnabert2_is_refused_by_name(data, tmp_path):
    golden = data / "dnabert2" / "golden" / "small"
    shutil.copy(golden / "config.json", tmp_path)
    state = torch.load(golden / "pytorch_model.bin", weights_only=True)
    del state["bert.embeddings.LayerNorm.bias"]
    torch.save(state, tmp_path / "pytorch_model.bin")
    tokens = list(builtin_tokens())
    config = building.new_configuration("micro", {"decoder_heads": 4}, tokens, tmp_path)
    with pytest.raises(InputError, match=r"lacks embeddings\.LayerNorm\.bias"):
        building.build(config, tokens, 0, tmp_path)
