#!/usr/bin/env python3
"""Forward, training step and generation of a preset beside a T5 of transformers with the same tokens, in one run.

The T5 has the preset's width, layers and heads, gated feed-forward parts, and as wide a decoder feed-forward part as
the experts that a token goes through together: about the same parameters active for a token. Attention in T5 is full.
Both sides run in turns, and the best of the repetitions counts; on a CPU, time is of its cores. The share of the
machine's peak is of the speed of one large matrix product in the same run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, EncoderDecoderCache, T5Config, T5ForConditionalGeneration

from genet5.model import GeneT5Config, GeneT5ForConditionalGeneration
from genet5.model.counting import count
from genet5.model.modeling import CACHE_NAME


def best_of(repetitions: int, device: torch.device, *actions: Callable[[], object]) -> list[float]:
    """Best time in seconds of each action, run in turns after one warm-up.

    On a CPU these are seconds of its cores, which other programs on the machine do not change.
    """
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    times = [float("inf")] * len(actions)
    for repetition in range(repetitions + 1):
        for index, action in enumerate(actions):
            begin = clock()
            action()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if repetition:
                times[index] = min(times[index], clock() - begin)
    return times


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product."""
    size = 1024 if device.type == "cpu" else 8192
    a = torch.randn(size, size, device=device, dtype=dtype)
    return 2 * size**3 / best_of(3, device, lambda: a @ a)[0]


def t5_like(config: GeneT5Config) -> T5ForConditionalGeneration:
    """A T5 of the preset's sizes."""
    chosen = config.moe_top_k if config.use_moe else 1
    t5 = T5ForConditionalGeneration(
        T5Config(
            vocab_size=config.vocab_size,
            d_model=config.hidden_size,
            d_kv=config.hidden_size // config.decoder_heads,
            d_ff=config.encoder_ff_dim,
            num_layers=config.encoder_layers,
            num_decoder_layers=config.decoder_layers,
            num_heads=config.decoder_heads,
            feed_forward_proj="gated-gelu",
            dropout_rate=config.decoder_dropout,
            pad_token_id=3,
            decoder_start_token_id=config.bos_token_id,
            eos_token_id=config.eos_token_id,
        )
    )
    for block in t5.decoder.block:
        part = block.layer[-1].DenseReluDense
        part.wi_0, part.wi_1 = (
            torch.nn.Linear(config.hidden_size, chosen * config.decoder_ff_dim, bias=False) for _ in range(2)
        )
        part.wo = torch.nn.Linear(chosen * config.decoder_ff_dim, config.hidden_size, bias=False)
    return t5


def main() -> None:
    """Measure and print a table, or JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="micro")
    parser.add_argument("--windows", type=int, default=2, help="windows of a batch (default: 2)")
    parser.add_argument("--tokens", type=int, default=2000, help="DNA tokens of a window (default: 2000)")
    parser.add_argument("--targets", type=int, default=300, help="sentence tokens of a window (default: 300)")
    parser.add_argument("--new_tokens", type=int, default=200, help="tokens that are generated (default: 200)")
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    device = torch.device(args.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(0)
    config = GeneT5Config.from_preset(args.preset)
    own = GeneT5ForConditionalGeneration(config).to(device)
    other = t5_like(config).to(device)
    ids = torch.randint(5, 4096, (args.windows, args.tokens), device=device)
    sentence = torch.randint(4100, config.vocab_size, (args.windows, args.targets), device=device)
    bases = int(own.token_lengths[ids].sum())

    def autocast() -> torch.autocast:
        return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)

    def forward(model: torch.nn.Module) -> Callable[[], object]:
        def action() -> None:
            model.eval()
            with torch.no_grad(), autocast():
                model(input_ids=ids, decoder_input_ids=sentence)

        return action

    def step(model: torch.nn.Module) -> Callable[[], object]:
        def action() -> None:
            model.train()
            model.zero_grad()
            with autocast():
                loss = model(input_ids=ids, decoder_input_ids=sentence, labels=sentence).loss
            loss.backward()

        return action

    def generate(model: torch.nn.Module) -> Callable[[], object]:
        def action() -> None:
            model.eval()
            length = {"min_new_tokens": args.new_tokens, "max_new_tokens": args.new_tokens}
            if model is other:
                # With unequal numbers of layers, T5's own choice of a cache has too few of them.
                length[CACHE_NAME] = EncoderDecoderCache(DynamicCache(), DynamicCache())
            with autocast():
                model.generate(ids, do_sample=False, **length)

        return action

    tokens = args.windows * (args.tokens + args.targets)
    latents = args.windows * min(config.num_latents, -(-args.tokens // 2))
    units = {"token": args.windows * args.tokens, "base": bases, "latent": latents}
    units["sentence token"] = args.windows * args.targets
    own_flops = sum(row.flops * units[row.unit] for row in count(config, args.tokens))
    with FlopCounterMode(display=False) as counter:
        forward(other)()
    flops = (own_flops, counter.get_total_flops())
    top = peak(device, dtype)
    active = sum(row.active for row in count(config))
    print(
        f"{args.preset} on {device.type}, {torch.get_num_threads()} threads: {active:,} parameters active a token, T5 "
        f"{other.num_parameters():,}; {args.windows} windows of {args.tokens} tokens, {args.targets} sentence tokens"
    )
    evidence = best_of(args.repetitions, device, lambda: _evidence(own, ids))[0]
    print(f"evidence of bases alone: {bases / evidence / 1000:,.0f} kb/s")
    for name, action, work, count_of in (
        ("forward", forward, tokens, 1),
        ("training step", step, tokens, 3),
        ("generation", generate, args.windows * args.new_tokens, 0),
    ):
        times = best_of(args.repetitions, device, action(own), action(other))
        row = {"what": name}
        for label, seconds, operations in zip(("genet5", "t5"), times, flops, strict=True):
            row[f"{label}_tokens_per_s"] = round(work / seconds)
            if count_of:
                row[f"{label}_gflop"] = round(count_of * operations / 1e9, 1)
                row[f"{label}_share_of_peak"] = round(count_of * operations / seconds / top, 3)
        row["times_t5"] = round(times[1] / times[0], 2)
        print(json.dumps(row) if args.json else "  ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def _evidence(model: GeneT5ForConditionalGeneration, ids: torch.Tensor) -> None:
    model.eval()
    with torch.no_grad():
        model(ids)


if __name__ == "__main__":
    main()
