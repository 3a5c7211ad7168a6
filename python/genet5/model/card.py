"""A template of a model card."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genet5.model.modeling import GeneT5ForConditionalGeneration

_TEMPLATE = "model_card.md"


def write_card(model: GeneT5ForConditionalGeneration, directory: Path) -> None:
    """Write `README.md` with what is known of the model; one that is there already is left alone."""
    path = directory / "README.md"
    if path.exists() or not directory.is_dir():
        return
    config = model.config
    parts = "\n".join(
        f"| {name} | {sum(parameter.numel() for parameter in module.parameters()):,} |"
        for name, module in model.named_children()
    )
    template = (resources.files("genet5.resources") / _TEMPLATE).read_text()
    text = template.format(
        preset=config.preset or "none (own configuration)",
        parameters=f"{model.num_parameters():,}",
        parts=parts,
        encoder_window=config.encoder_window_size,
        decoder_window=config.decoder_window_size,
        latents=config.num_latents,
        experts=f"{config.num_experts}, {config.moe_top_k} a token" if config.use_moe else "none",
    )
    path.write_text(text)
