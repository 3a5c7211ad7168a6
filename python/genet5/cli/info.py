"""Print a model's parts, parameters, memory and FLOPs.

MODEL is a folder that `genet5 init` or a run made, or the name of a preset. Memory is of weights, gradients and AdamW's
state, and of what a training step keeps for the backward pass, estimated from shapes.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Positional arguments and options."""
    parser.add_argument("model", metavar="MODEL", help="folder of a model, or a preset: micro, small, base")
    parser.add_argument(
        "--windows", type=int, default=4, metavar="N", help="windows of the batch that memory is told for (default: 4)"
    )
    parser.add_argument("--window_size", type=int, default=10_000, metavar="BP", help="of a window (default: 10000)")
    parser.add_argument(
        "--target_len", type=int, default=500, metavar="N", help="sentence tokens of a window (default: 500)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON (default: a table)")


def _size(count: float) -> str:
    for unit in ("", "k", "M", "G", "T"):
        if abs(count) < 1000:
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:.3g}P"


def run(args: argparse.Namespace) -> int:
    """Count and print."""
    import json
    from pathlib import Path

    from genet5.errors import InputError
    from genet5.model import GeneT5Config
    from genet5.model.configuration import preset_names
    from genet5.model.counting import BASES_A_TOKEN, activation_bytes, count, evidence_active

    if min(args.windows, args.window_size, args.target_len) < 1:
        raise InputError("--windows, --window_size and --target_len must be at least 1")
    path = Path(args.model)
    if path.is_dir():
        found = next((p for p in (path, path / "best") if (p / "config.json").is_file()), None)
        if found is None:
            raise InputError(f"{path} holds no model (no config.json)")
        config = GeneT5Config.from_pretrained(found)
    elif args.model in preset_names():
        config = GeneT5Config.from_preset(args.model)
    else:
        raise InputError(f"{args.model} is neither a folder nor a preset ({', '.join(preset_names())})")

    tokens = max(1, round(args.window_size / BASES_A_TOKEN))
    rows = count(config, tokens)
    total = sum(row.parameters for row in rows)
    activations = activation_bytes(config, args.windows, args.window_size, tokens, args.target_len)
    memory = {"weights": 4 * total, "gradients": 4 * total, "adamw": 8 * total, "activations": activations}
    if args.json:
        report = {
            "parts": [row._asdict() for row in rows],
            "parameters": total,
            "active_evidence": evidence_active(config),
            "memory_bytes": memory,
        }
        print(json.dumps(report, indent=2))
        return 0
    print(f"{'part':<26}{'parameters':>14}{'active':>14}{'FLOPs':>9}  a")
    for row in rows:
        print(f"{row.part:<26}{row.parameters:>14,}{row.active:>14,}{_size(row.flops):>9}  {row.unit}")
    print(f"{'all':<26}{total:>14,}{sum(row.active for row in rows):>14,}")
    print(f"active a token in the evidence of bases: {evidence_active(config):,}")
    latents = min(config.num_latents, -(-tokens // 2)) if config.num_latents else 0
    per_window = {"token": tokens, "base": args.window_size, "latent": latents, "sentence token": args.target_len}
    flops = sum(row.flops * per_window[row.unit] for row in rows)
    print(f"a window of {args.window_size:,} bp ({tokens:,} tokens): {_size(flops)}FLOPs forward")
    print(
        f"training in fp32, {args.windows} windows: weights {_size(memory['weights'])}B, gradients "
        f"{_size(memory['gradients'])}B, AdamW {_size(memory['adamw'])}B, activations about {_size(activations)}B, "
        f"together {_size(sum(memory.values()))}B"
    )
    return 0
