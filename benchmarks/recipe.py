"""Runs every command of the recipe on real input and writes docs/recipe.md: what each printed, how long it took.

    python benchmarks/recipe.py --data ../shared/data --work recipe_run --output docs/recipe.md

The folder of real data is the one that the tests use (`GENET5_DATA`). Sizes are scaled down so that the whole takes
some minutes on two cores; flags and their order are the recipe's.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

GENOMES = {
    "caenorhabditis_elegans": "celegans_1pct",
    "mycoplasma_genitalium": "mycoplasma_genitalium_g37",
}

STEPS: list[tuple[str, str, str]] = [
    (
        "Init the model",
        "The recipe's flags with smaller numbers; the folder holds random weights in DNABERT-2's format.",
        """python {bin}/init_model.py
    --save_dir model/init
    --dnabert_path {data}/dnabert2/golden/small
    --tokenizer {data}/dnabert2/tokenizer.json
    --tie_weights
    --decoder_layers 2
    --decoder_heads 4
    --decoder_kv_heads 2
    --decoder_ff_dim 128
    --decoder_dropout 0.1
    --use_moe
    --num_experts 4
    --moe_top_k 2
    --init_std 0.02
    --init_embed_std 0.02
    --init_ffn_std 0.02
    --init_attn_std 0.02
    --init_moe_router_std 0.006
    --encoder_window_size 512
    --decoder_block_size 16
    --decoder_window_size 32
    --num_latents 64""",
    ),
    (
        "Data baking",
        "A megabase of *C. elegans* (spliced genes) and *M. genitalium* (a bacterium, code 4), with their annotation.",
        """python {bin}/bake_data
    --raw_dir raw
    --output_dir baked/5k4.5k
    --n_workers 1
    --species_parallel 2
    --tokenizer model/init
    --window_size 10000""",
    ),
    (
        "Subsetting",
        "",
        """python {bin}/subset_packed
    baked/5k4.5k/training.packed
    baked/5%5k4.5k/training.packed
    --fraction 0.05""",
    ),
    ("Token list", "", "python {bin}/init_tk.py data/new_tokens.txt"),
    ("Append new tokens", "", "python {bin}/append_tk.py data/new_tokens.txt model/init/tokenizer.json"),
    ("Resize embeddings", "", "python {bin}/resize_model.py model/init model/init"),
    (
        "Single-node fine-tuning",
        "The recipe's command line with fewer epochs and less accumulation, so that there are steps to take.",
        """python {bin}/finet
    baked/5k4.5k/training.packed
    baked/5k4.5k/validation.packed
    model/run_001
    model/init
    --epochs 1
    --lr 1e-4
    --token_budget 45500
    --max_batch_size 8
    --grad_accum 2
    --weight_decay 0.01
    --warmup_ratio 0.03
    --max_grad_norm 1.0
    --label_smoothing 0.1
    --early_stopping 2
    --save_steps 500
    --empty_cache_steps 100
    --memwatch
    --log_every_pct 5""",
    ),
    (
        "Distributed fine-tuning",
        "Two processes on this machine (gloo); on two machines `--nnodes 2 --node-rank N --master ADDRESS`.",
        """{bin}/distributed.sh
    baked/5k4.5k/training.packed
    baked/5k4.5k/validation.packed
    model/run_002_dist
    model/init
    --nnodes 1 --node-rank 0 --master 127.0.0.1 --nproc_per_node 2
    --epochs 1 --lr 1e-4 --token_budget 45500 --max_batch_size 8
    --grad_accum 2 --log_every_pct 5 --memwatch""",
    ),
    (
        "Prediction",
        "The worm with the model of a minute's training: it shows the command, not quality (`make demo` does).",
        """python {bin}/predict
    raw/caenorhabditis_elegans/genome.fna.gz
    --model model/run_001
    --taxon invertebrates
    --output predictions.gff
    --protein predictions.faa
    --cds predictions.fna""",
    ),
    (
        "Evaluation",
        "",
        """python {bin}/eval_f1
    --predictions predictions.gff
    --reference raw/caenorhabditis_elegans/genes.gff3.gz""",
    ),
    (
        "BUSCO",
        "BUSCO is a program of its own; where it is missing, the command says how to get it and exits with 1.",
        """python {bin}/eval_busco
    --predictions predictions.gff
    --genome raw/caenorhabditis_elegans/genome.fna.gz
    --lineage lineage_dataset""",
    ),
]


def shorten(text: str, limit: int = 60) -> str:
    """The output as a reader wants it: no carriage returns, no local paths, long listings cut in the middle."""
    text = re.sub(r"[^\n]*\r", "", text)
    lines = text.rstrip().splitlines()
    if len(lines) > limit:
        head, tail = limit * 2 // 3, limit // 3
        lines = [*lines[:head], f"... ({len(lines) - head - tail} lines) ...", *lines[-tail:]]
    return "\n".join(line[:180] for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GENET5_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument(
        "--work", type=Path, default=Path("recipe_run"), help="folder for the run (default: recipe_run)"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "recipe.md")
    options = parser.parse_args()
    data, work = options.data.resolve(), options.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    for species, folder in GENOMES.items():
        target = work / "raw" / species
        target.mkdir(parents=True)
        for name in ("genome.fna.gz", "genes.gff3.gz"):
            (target / name).symlink_to(data / "genomes" / folder / name)

    import torch
    import transformers

    page = [
        "# The recipe, run",
        "",
        "Written by `python benchmarks/recipe.py`: every command of the recipe on real input, sizes scaled down.",
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}; "
        + (f"GPU {torch.cuda.get_device_name()}." if torch.cuda.is_available() else "no GPU."),
        "",
    ]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    failures = 0
    for title, remark, command in STEPS:
        words = command.format(bin=os.path.relpath(ROOT / "bin", work), data=os.path.relpath(data, work)).split()
        print(f"=== {title}", flush=True)
        begin = time.perf_counter()
        done = subprocess.run(words, cwd=work, env=environment, text=True, capture_output=True, check=False)
        seconds = time.perf_counter() - begin
        expected_failure = title == "BUSCO" and shutil.which("busco") is None
        if done.returncode != 0 and not expected_failure:
            failures += 1
            print(done.stdout[-2000:], done.stderr[-2000:])
        shown = " \\\n    ".join(line.strip() for line in command.format(bin="bin", data="DATA").splitlines())
        output = shorten((done.stdout + done.stderr).replace(str(data), "DATA").replace(str(work), "WORK"))
        page += [f"## {title}", "", *([remark, ""] if remark else []), "```bash", shown, "```", ""]
        page += ["```text", output, "```", "", f"Exit code {done.returncode}, {seconds:.1f} s.", ""]
        print(f"    exit {done.returncode}, {seconds:.1f} s", flush=True)
    options.output.write_text("\n".join(page))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
