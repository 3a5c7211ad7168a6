"""What the model returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class GeneT5Output(ModelOutput):
    """Output of :class:`GeneT5ForConditionalGeneration`.

    Attributes:
        loss: weighted sum of the parts' means, a scalar; None without labels.
        loss_sums, loss_counts: by part, scalar tensors (`docs/architecture.md`, "A batch").
        logits: [L, vocabulary], or padded [batch, length, vocabulary]; None where the decoder did not run.
        class_logits: [B, 2, 6], or padded [batch, bases, 2, 6].
        signal_logits: as `class_logits`; -16 where the DNA has no candidate. While training with `signal_labels`, only
            the candidates that take a loss have a logit.
        encoder_last_hidden_state: [T, hidden], or padded; None where the encoder did not run.
        router: what the routers did, over all layers: `expert_load_max` and `expert_load_min` (share of a layer's
            assignments that one expert gets), `router_entropy` (nats); None without a mixture of experts.
        router_loads: [decoder layers, experts], shares of the assignments. They add up to 1: no token is dropped.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    class_logits: Tensor | None = None
    signal_logits: Tensor | None = None
    loss_sums: dict[str, Tensor] | None = None
    loss_counts: dict[str, Tensor] | None = None
    encoder_last_hidden_state: Tensor | None = None
    router: dict[str, Tensor] | None = None
    router_loads: Tensor | None = None


@dataclass
class GeneT5Memory(ModelOutput):
    """What the decoder reads, as `generate` hands it on.

    Attributes:
        last_hidden_state: [batch, memory, hidden], padded at the end.
        lengths: int64 [batch].
    """

    last_hidden_state: Tensor | None = None
    lengths: Tensor | None = None
