"""Mixture of experts: dropless top-k routing over gated MLPs (Switch Transformer, ST-MoE).

    p = softmax(W x)                       in float32
    y = sum over the k largest e of  p_e / (sum of the k largest) * down_e(gelu(gate_e x) * up_e x)

Load-balance loss (Fedus et al. 2022, arXiv:2101.03961): experts * sum_e f_e P_e, with f_e the share of assignments
that go to expert e and P_e its mean probability; 1 where all is even. Router z-loss (Zoph et al. 2022,
arXiv:2202.08906): mean of logsumexp(W x)^2.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from genet5.kernels import grouped_mlp
from genet5.model.configuration import GeneT5Config


class RouterRecord(NamedTuple):
    """What a layer's router did: losses as sums over tokens, share of assignments of each expert, entropy (nats)."""

    balance: Tensor
    router_z: Tensor
    load: Tensor
    entropy: Tensor


class Experts(nn.Module):
    """`num_experts` gated MLPs, `moe_top_k` of them a token. No token is dropped."""

    def __init__(self, config: GeneT5Config) -> None:
        super().__init__()
        self.experts, self.top_k = config.num_experts, config.moe_top_k
        self.router = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.gate_up = nn.Parameter(torch.empty(self.experts, 2 * config.decoder_ff_dim, config.hidden_size))
        self.down = nn.Parameter(torch.empty(self.experts, config.hidden_size, config.decoder_ff_dim))
        self.dropout = nn.Dropout(config.decoder_dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, RouterRecord]:
        """x [L, hidden] -> [L, hidden] and what the router did."""
        logits, probabilities, weights, chosen = self._route(x)
        out, counts = self._mix(x, weights, chosen)
        share = counts.to(torch.float32) / max(chosen.numel(), 1)
        balance = self.experts * (share * probabilities.sum(0)).sum()
        z = logits.logsumexp(-1).square().sum()
        with torch.no_grad():
            entropy = -(probabilities * probabilities.clamp(min=1e-9).log()).sum(-1).mean()
        return self.dropout(out), RouterRecord(balance, z, share, entropy)

    def step(self, x: Tensor) -> Tensor:
        """x [batch, hidden] -> the same, without a record: for generation."""
        _, _, weights, chosen = self._route(x)
        return self._mix(x, weights, chosen)[0]

    def _route(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits and probabilities [L, experts], weights and experts of the chosen [L, top_k]."""
        with torch.autocast(x.device.type, enabled=False):
            logits = x.float() @ self.router.weight.float().t()
            probabilities = logits.softmax(-1)
        weights, chosen = probabilities.topk(self.top_k, -1)
        return logits, probabilities, weights / weights.sum(-1, keepdim=True), chosen

    def _mix(self, x: Tensor, weights: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The chosen experts' outputs, weighted, [L, hidden]; and assignments an expert, int64 [experts]."""
        flat = chosen.flatten()
        order = flat.argsort(stable=True)
        counts = (flat[:, None] == torch.arange(self.experts, device=x.device)).sum(0)
        rows = grouped_mlp(x[order // self.top_k], counts.cumsum(0).to(torch.int32), self.gate_up, self.down)
        # The inverse of a permutation is a gather both ways: deterministic, unlike adding rows up.
        mixed = rows[order.argsort()].view(x.shape[0], self.top_k, -1)
        return (mixed * weights[..., None].to(mixed.dtype)).sum(1), counts
