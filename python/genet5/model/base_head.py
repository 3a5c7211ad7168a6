"""The base head: logits of every base from six streams of codons.

Both strands are read in all three frames by the same weights. Every strand has its *own coordinates*: base u of the
strand, counted in reading direction from the segment's first base (for `-`: from its last). Reading the reverse
complement swaps the strands and changes nothing else, so without the encoder's states the outputs are exactly mirrored.

    codons -> one step of `head_stride` codons -> residual blocks of dilated convolutions, strands and frames mixed
    -> codon states -> logits of each codon, spread over bases; signal logits at candidates

Each step is also told how far its codons are from the stop codons before and after them in their stream: the length
of the open reading frame says more about coding than anything else that is local, and without it a new model spends
its first epoch learning to look for the absence of stops.

Layout: a *row* is one step of `head_stride` codons in each of the six streams, 3 * head_stride bases of a strand.
The segments of a pack lie end to end on one axis of rows, with gaps of rows that hold zeros. Gaps are as long as the
widest dilation, and every norm is over the channels of one row: segments of any lengths never see each other, and a
segment's output is the same in any pack. A norm over the steps of a window, as GroupNorm takes it, would tie a base's
evidence to where its sequence is cut.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genet5.model.configuration import GeneT5Config

INTRON = 4
SIGNALS = 6
TSS, START, DONOR, ACCEPTOR, STOP, TTS = range(SIGNALS)
CANDIDATE_KINDS = (START, DONOR, ACCEPTOR, STOP)
# Logit of a signal where the DNA has no candidate for it. Nothing reads it; a finite number keeps sums finite.
NO_CANDIDATE = -16.0

_UNKNOWN_CODON = 64  # holds a letter that is none of A, C, G, T
_NO_CODON = 65  # reaches past an end of the segment
_CODONS = 66
_COMPLEMENT = (3, 2, 1, 0, 4)
# Stop codons by their number here: of most genetic codes (TAA, TAG, TGA), of those that read TGA, and of those that
# read TAA and TAG. Which set holds is the network's to find out.
_STOP_SETS = ((48, 50, 56), (48, 50), (56,))
# To the stop before, to the stop after, and both together.
_OPEN_FEATURES = 3 * len(_STOP_SETS)
# Bases around a signal that its own tables read, in triplets: from 28 before to 11 after.
_BEFORE, _AFTER = 28, 11
_TRIPLETS = _BEFORE + _AFTER - 1
# Codon states around a signal, by the position at which their codon starts.
_STATE_OFFSETS = range(-9, 9)


class HeadLayout(NamedTuple):
    """Where bases and codons of a pack lie on the axis of rows; both strands in their own coordinates.

    Attributes:
        letters: int64 [2, places + 2], 0..3 = A C G T, 4 = anything else, 5 = no base.
        codons: int64 [2, places], the codon (0..65) that starts at each place; places = rows * 3 * head_stride.
        valid: [rows, 1], 1 for rows of a segment, 0 in gaps.
        mirror: int64 [rows], the row that covers the same bases on the other strand.
        own: int64 [2, bases], the place of each base.
        sites: int64 [2, bases, 3], the place of the codon of frame 0, 1, 2 that covers each base.
        centre: int64 [2, 3, rows], the flat base at the middle of each row, for the encoder's states.
    """

    letters: Tensor
    codons: Tensor
    valid: Tensor
    mirror: Tensor
    own: Tensor
    sites: Tensor
    centre: Tensor


def head_layout(bases: Tensor, base_offsets: Tensor, stride: int, gap: int, rows: int | None = None) -> HeadLayout:
    """Lay out a pack.

    Args:
        bases: [B] integers 0..3 = A C G T, 4 = anything else.
        base_offsets: int64 [S + 1], first 0, last B.
        stride: codons a row.
        gap: rows of zeros around each segment.
        rows: how many there are in all, where it is known; read from the offsets by default.
    """
    device = bases.device
    width = 3 * stride
    total = bases.shape[0]
    start, length = base_offsets[:-1], base_offsets[1:] - base_offsets[:-1]
    steps = (length + width - 1) // width
    first_row = torch.cat((steps.new_zeros(1), (steps + gap).cumsum(0))) + gap
    rows = int(first_row[-1]) if rows is None else rows
    first_row = first_row[:-1]

    segment = torch.repeat_interleave(torch.arange(len(length), device=device), length, output_size=total)
    forward = torch.arange(total, device=device) - start[segment]
    backward = length[segment] - 1 - forward
    u = torch.stack((forward, backward))
    lead = first_row[segment] * width
    own = lead + u

    letters = bases.to(torch.int64)
    complement = torch.tensor(_COMPLEMENT, device=device)[letters]
    places = torch.full((2, rows * width + 2), 5, dtype=torch.int64, device=device)
    places.scatter_(1, own, torch.stack((letters, complement)))
    first, second, third = places[:, :-2], places[:, 1:-1], places[:, 2:]
    largest = torch.maximum(torch.maximum(first, second), third)
    codons = torch.where(largest < 4, 16 * first + 4 * second + third, largest + (_UNKNOWN_CODON - 4))

    # The codon of frame f that covers base u of strand + starts d = (u - f) mod 3 before it; on -, whose frames count
    # the other way, d = (f - n + u) mod 3. Where that lies before the segment, the next codon of that frame stands in.
    frame = torch.arange(3, device=device)
    back = torch.stack(((forward[:, None] - frame) % 3, (frame - length[segment][:, None] + backward[:, None]) % 3))
    back = torch.where(back > u[..., None], back - 3, back)
    sites = own[..., None] - back

    row = torch.arange(rows, device=device)
    row_segment = (torch.searchsorted(first_row, row, right=True) - 1).clamp(min=0)
    step = row - first_row[row_segment]
    inside = (step >= 0) & (step < steps[row_segment])
    mirror = torch.where(inside, first_row[row_segment] + steps[row_segment] - 1 - step, row)
    middle = step[None] * width + width // 2 + frame[:, None]
    middle = torch.minimum(middle.clamp(min=0), (length[row_segment] - 1).clamp(min=0))
    centre = torch.stack((start[row_segment] + middle, start[row_segment] + length[row_segment] - 1 - middle))
    return HeadLayout(places, codons, inside[:, None], mirror, own, sites, centre.clamp(min=0, max=max(total - 1, 0)))


def open_frames(streams: Tensor) -> Tensor:
    """How open each codon's reading frame is: [..., n] codons of a stream -> float32 [..., n, 9].

    For each set of stop codons the codons to the stop before, to the stop after, and both, as
    (log2(1 + distance) - 5) / 2. Where there is none, the segment's end counts as one.
    """
    place = torch.arange(streams.shape[-1], device=streams.device)
    distances = []
    for stops in _STOP_SETS:
        closed = torch.zeros(_CODONS, dtype=torch.bool, device=streams.device)
        closed[[*stops, _NO_CODON]] = True
        ends = closed[streams]
        before = place - torch.where(ends, place, -1).cummax(-1).values
        reverse = torch.where(ends, -place, -streams.shape[-1]).flip(-1)
        after = -reverse.cummax(-1).values.flip(-1) - place
        distances += [before, after, before + after]
    return (torch.log2(1 + torch.stack(distances, -1).float()) - 5) / 2


class Candidates(NamedTuple):
    """Places that may be signals, int64 [n] each: flat base, strand, kind (index of the signal axis)."""

    base: Tensor
    strand: Tensor
    kind: Tensor


def find_candidates(layout: HeadLayout) -> Tensor:
    """Which signals the DNA allows at each base: bool [bases, 2, 4], kinds in the order of `CANDIDATE_KINDS`.

    The widest set: NTG starts; TAA, TAG, TGA stops (stored at their last base); GT and GC donors (first base of the
    intron); AG acceptors (last base of the intron). Labels and the dynamic programs narrow it by the genetic code.
    """
    before2, before1, here, after1, after2 = (torch.gather(layout.letters, 1, layout.own + d) for d in range(-2, 3))
    a, c, g, t = range(4)
    start = (here < 4) & (after1 == t) & (after2 == g)
    stop = (before2 == t) & (((before1 == a) & ((here == a) | (here == g))) | ((before1 == g) & (here == a)))
    donor = (here == g) & ((after1 == t) | (after1 == c))
    acceptor = (before1 == a) & (here == g)
    found = torch.stack((start, donor, acceptor, stop), -1)
    return found.transpose(0, 1)


class ResidualBlock(nn.Module):
    """Dilated convolution over rows, then what the other streams say."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm = nn.LayerNorm(channels)
        self.convolution = nn.Linear(3 * channels, channels)
        self.mix = nn.Linear(2 * channels, channels, bias=False)

    def forward(self, x: Tensor, valid: Tensor, mirror: Tensor) -> Tensor:
        """x [2, 3, rows, channels] -> the same shape."""
        rows = x.shape[2]
        h = F.gelu(self.norm(x), approximate="tanh") * valid
        d = self.dilation
        padded = F.pad(h, (0, 0, d, d))
        taps = torch.cat((padded[:, :, :rows], h, padded[:, :, 2 * d :]), -1)
        x = x + self.convolution(taps)
        mean = x.mean(1)
        other = mean.flip(0)[:, mirror]
        return x + self.mix(torch.cat((mean, other), -1))[:, None]


class BaseHead(nn.Module):
    """Six streams of codons to logits of every base; see the module's docstring."""

    def __init__(self, config: GeneT5Config) -> None:
        super().__init__()
        channels, codon_channels = config.head_channels, config.head_codon_channels
        self.stride, self.kernel = config.head_stride, config.head_kernel
        self.gap = max(config.head_dilations)
        self.codon_channels = codon_channels
        self.codon_embedding = nn.Embedding(_CODONS, config.head_embedding)
        self.stem = nn.Linear(self.kernel * config.head_embedding, channels)
        features = self.stride * _OPEN_FEATURES
        self.open_in = nn.Linear(features, channels, bias=False) if config.head_open_frames else None
        self.tokens_in = nn.Linear(config.hidden_size, channels, bias=False) if config.encoder_to_head else None
        self.blocks = nn.ModuleList(ResidualBlock(channels, dilation) for dilation in config.head_dilations)
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, self.stride * codon_channels)
        self.local = nn.Embedding(_CODONS, codon_channels)
        # Coding in this stream's frame, intergenic, intron, UTR, tss, tts.
        self.codon_logits = nn.Linear(codon_channels, 6)
        kinds, hidden = len(CANDIDATE_KINDS), config.head_signal_channels
        self.signal_tables = nn.Embedding(kinds * _TRIPLETS * _CODONS, hidden)
        self.signal_states = nn.Linear(len(_STATE_OFFSETS) * codon_channels, hidden, bias=False)
        self.signal_bias = nn.Embedding(kinds, hidden)
        self.signal_out = nn.Embedding(kinds, hidden + 1)

    def layout(self, bases: Tensor, base_offsets: Tensor) -> HeadLayout:
        """The pack's layout; its shapes depend on the data, so it is made outside compiled code."""
        return head_layout(bases, base_offsets, self.stride, self.gap)

    def window_layout(self, bases: Tensor) -> HeadLayout:
        """The layout of one window, whose shapes follow from its length alone."""
        length = bases.shape[0]
        rows = (length + 3 * self.stride - 1) // (3 * self.stride) + 2 * self.gap
        offsets = torch.arange(2, device=bases.device) * length
        return head_layout(bases, offsets, self.stride, self.gap, rows)

    def forward(
        self, layout: HeadLayout, token_states: Tensor | None = None, token_of_base: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Streams to codon states and the logits of every base.

        Args:
            layout: of the pack.
            token_states: [T, hidden], the encoder's; None leaves the streams to themselves.
            token_of_base: int64 [B], the token that holds each base; with `token_states` only.

        Returns:
            codon states [2, places, codon_channels], class logits [B, 2, 6], tss and tts logits [B, 2, 2].
        """
        rows = layout.valid.shape[0]
        valid = layout.valid.to(self.stem.weight.dtype)
        place = (
            3 * torch.arange(rows * self.stride, device=valid.device) + torch.arange(3, device=valid.device)[:, None]
        )
        streams = layout.codons[:, place]
        x = self._stem(streams, rows)
        if self.open_in is not None:
            # An index and not a view: export cannot see that so many codons are whole rows.
            step = torch.arange(self.stride, device=valid.device)
            codon = self.stride * torch.arange(rows, device=valid.device)[:, None] + step
            x = x + self.open_in(open_frames(streams).to(x.dtype)[:, :, codon].flatten(3))
        if self.tokens_in is not None and token_states is not None:
            assert token_of_base is not None
            x = x + self.tokens_in(token_states)[token_of_base[layout.centre]]
        for block in self.blocks:
            x = block(x, valid, layout.mirror)
        # Rows in gaps have heard of both neighbours, and candidates near an edge read a few codons past it.
        x = self.expand(F.gelu(self.norm(x), approximate="tanh") * valid)
        x = x.view(2, 3, rows, self.stride, self.codon_channels).permute(0, 2, 3, 1, 4).flatten(1, 3)
        states = F.gelu(x + self.local(layout.codons), approximate="tanh")
        logits = self.codon_logits(states)
        strand = torch.arange(2, device=logits.device)[:, None, None]
        at_base = logits[strand, layout.sites]
        coding = at_base[..., 0]
        rest = at_base[..., 1:].mean(2)
        classes = torch.cat((rest[..., :1], coding, rest[..., 1:3]), -1)
        return states, classes.transpose(0, 1), rest[..., 3:].transpose(0, 1)

    def _stem(self, streams: Tensor, rows: int) -> Tensor:
        """Codons [2, 3, rows * stride] to rows [2, 3, rows, channels]: a convolution of `head_kernel` codons.

        The embedding and the convolution are linear in the codon, so their product is a table and the convolution a
        sum of its rows: the same numbers for a sixtieth of the operations.
        """
        left = (self.kernel - self.stride) // 2
        padded = F.pad(streams, (left, self.kernel - self.stride - left), value=_NO_CODON)
        weight = self.stem.weight.view(-1, self.kernel, self.codon_embedding.embedding_dim)
        table = torch.einsum("ce,oke->kco", self.codon_embedding.weight, weight)
        taps = padded.unfold(-1, self.kernel, self.stride)
        index = taps + torch.arange(self.kernel, device=taps.device) * _CODONS
        summed = F.embedding_bag(index.reshape(-1, self.kernel), table.flatten(0, 1), mode="sum")
        return summed.view(2, 3, rows, self.stem.out_features) + self.stem.bias

    def signal_logits(self, layout: HeadLayout, states: Tensor, candidates: Candidates) -> Tensor:
        """Logits [n] of candidates, from the DNA around each and the codon states near it."""
        place = layout.own[candidates.strand, candidates.base]
        kind = torch.tensor([-1, 0, 1, 2, 3, -1], device=place.device)[candidates.kind]
        offsets = torch.arange(-_BEFORE, _AFTER - 1, device=place.device)
        around = (place[:, None] + offsets).clamp(max=layout.codons.shape[1] - 1)
        triplets = layout.codons[candidates.strand[:, None], around]
        index = (kind[:, None] * _TRIPLETS + torch.arange(_TRIPLETS, device=place.device)) * _CODONS + triplets
        near = place[:, None] + torch.arange(_STATE_OFFSETS.start, _STATE_OFFSETS.stop, device=place.device)
        flat = candidates.strand[:, None] * states.shape[1] + near.clamp(max=states.shape[1] - 1)
        context = F.embedding(flat, states.reshape(-1, states.shape[-1])).flatten(1)
        hidden = F.embedding_bag(index, self.signal_tables.weight, mode="sum") + self.signal_bias(kind)
        hidden = F.gelu(hidden + self.signal_states(context), approximate="tanh")
        out = self.signal_out(kind)
        return (hidden * out[:, :-1]).sum(-1) + out[:, -1]
