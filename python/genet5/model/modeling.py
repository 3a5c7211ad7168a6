"""The whole model."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init

from genet5.errors import InputError
from genet5.kernels import window_ranges
from genet5.model.alibi import alibi_slopes
from genet5.model.base_head import (
    CANDIDATE_KINDS,
    NO_CANDIDATE,
    SIGNALS,
    TSS,
    TTS,
    BaseHead,
    Candidates,
    HeadLayout,
    find_candidates,
)
from genet5.model.cache import GeneT5Cache, new_cache
from genet5.model.compressor import Compressor, latent_layout
from genet5.model.configuration import GeneT5Config
from genet5.model.decoder import Decoder, decoder_layout
from genet5.model.encoder import Encoder
from genet5.model.initialization import initialise_module, mark
from genet5.model.losses import class_loss, router_losses, signal_loss, text_loss, weighted_mean
from genet5.model.output import GeneT5Memory, GeneT5Output
from genet5.model.positions import Positions, frequencies
from genet5.model.segments import Segments, offsets_of, segment_of
from genet5.model.tokens import base_table, builtin_tokens

# transformers 5.24 calls generation's cache `cache`, before that it was `past_key_values`.
CACHE_NAME = (
    "cache"
    if "cache" in inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
    else "past_key_values"
)


class Batch(NamedTuple):
    """Flat inputs, complete."""

    input_ids: Tensor
    bases: Tensor
    positions: Tensor
    tracks: Tensor | None
    segments: Segments


class Evidence(NamedTuple):
    """What encoder and base head say of a flat batch.

    Attributes:
        token_states: [T, hidden]; None where the encoder was not needed.
        layout: of the base head.
        codon_states: [2, places, channels].
        class_logits: [B, 2, 6].
        end_logits: [B, 2, 2], tss and tts.
        token_of_base: int64 [B].
    """

    token_states: Tensor | None
    layout: HeadLayout
    codon_states: Tensor
    class_logits: Tensor
    end_logits: Tensor
    token_of_base: Tensor


class HeadToTokens(nn.Module):
    """The base head's codon states, averaged over each token, for what the decoder reads.

    Of both strands and all three frames side by side, so that the decoder knows in which frame a token's bases lie.
    """

    def __init__(self, config: GeneT5Config) -> None:
        super().__init__()
        self.channels = config.head_codon_channels
        self.projection = nn.Linear(6 * self.channels, config.hidden_size, bias=False)

    def forward(self, codon_states: Tensor, layout: HeadLayout, starts: Tensor) -> Tensor:
        """codon_states [2, places, C], each token's first base [T] -> [T, hidden]."""
        bases = layout.own.shape[1]
        places = codon_states.shape[1]
        strand = torch.arange(2, device=starts.device)[:, None, None]
        index = (layout.sites + strand * places).permute(0, 2, 1).reshape(-1)
        bag = torch.arange(6, device=starts.device)[:, None] * bases + starts
        mean = nn.functional.embedding_bag(index, codon_states.reshape(2 * places, -1), bag.reshape(-1), mode="mean")
        mean = mean.view(6, starts.shape[0], self.channels).transpose(0, 1).reshape(starts.shape[0], -1)
        return self.projection(mean)


class GeneT5PreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation."""

    config_class = GeneT5Config
    base_model_prefix = ""
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _no_split_modules = ["EncoderLayer", "LatentLayer", "DecoderLayer", "BaseHead"]  # noqa: RUF012

    def _init_weights(self, module: Any) -> None:
        initialise_module(module, cast(GeneT5Config, self.config))
        # Buffers that are not stored come out of `from_pretrained` uninitialised.
        if hasattr(module, "slopes"):
            init.copy_(module.slopes, alibi_slopes(module.slopes.shape[0]))
        if isinstance(module, Positions):
            init.copy_(module.frequencies, frequencies(module.frequencies.shape[0]))
        if isinstance(module, GeneT5ForConditionalGeneration):
            letters, lengths = module._default_table()
            init.copy_(module.token_letters, letters)
            init.copy_(module.token_lengths, lengths)

    def _set_gradient_checkpointing(self, enable: bool = True, *_: Any, **__: Any) -> None:
        for module in self.modules():
            if isinstance(module, Encoder | Compressor | Decoder):
                module.gradient_checkpointing = enable


class GeneT5ForConditionalGeneration(GeneT5PreTrainedModel, GenerationMixin):
    """DNA to evidence for every base, and to a sentence of annotation.

    Parts: `encoder` (DNABERT-2), `base_head` (six codon streams), `positions`, `head_to_tokens`, `compressor`
    (Perceiver; absent with `num_latents` 0), `decoder`, `lm_head`.
    """

    _tied_weights_keys = {"lm_head.weight": "decoder.embedding.weight"}  # noqa: RUF012
    token_letters: Tensor
    token_lengths: Tensor

    def __init__(self, config: GeneT5Config) -> None:
        super().__init__(config)
        self.encoder = Encoder(config)
        self.base_head = BaseHead(config)
        self.positions = Positions(config) if config.positions else None
        self.head_to_tokens = HeadToTokens(config) if config.head_to_tokens else None
        self.compressor = Compressor(config) if config.num_latents else None
        self.decoder = Decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        letters, lengths = self._default_table()
        self.register_buffer("token_letters", letters)
        self.register_buffer("token_lengths", lengths)
        mark(self)
        self.post_init()

    # --- tokens ---

    def _default_table(self) -> tuple[Tensor, Tensor]:
        """The built-in tokenizer's table, cut or filled to the vocabulary (rows without letters have no length)."""
        letters, lengths = base_table(builtin_tokens()[: self.config.vocab_size])
        missing = self.config.vocab_size - letters.shape[0]
        return nn.functional.pad(letters, (0, 0, 0, missing), value=4), nn.functional.pad(lengths, (0, missing))

    def set_tokens(self, tokens: list[str]) -> None:
        """Take the letters of each token, in the order of ids; there must be as many as the vocabulary has."""
        if len(tokens) != self.config.vocab_size:
            raise InputError(
                f"the tokenizer has {len(tokens)} tokens, the model {self.config.vocab_size}: resize the model first"
            )
        letters, lengths = base_table(tokens)
        self.token_letters.copy_(letters)
        self.token_lengths.copy_(lengths)

    def get_input_embeddings(self) -> nn.Module:
        """The encoder's embedding of DNA tokens."""
        return self.encoder.embedding

    def set_input_embeddings(self, value: Any) -> None:
        """Replace the encoder's embedding."""
        self.encoder.embedding = value

    def get_output_embeddings(self) -> nn.Module:
        """The head, tied with the decoder's embedding where `tie_weights` is on."""
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the head."""
        self.lm_head = value

    def get_encoder(self, modality: str | None = None) -> nn.Module:
        """The encoder."""
        return self.encoder

    def get_decoder(self) -> nn.Module:
        """The decoder."""
        return self.decoder

    # --- inputs ---

    def _flatten(
        self,
        input_ids: Tensor,
        bases: Tensor | None,
        segments: Segments | None,
        positions: Tensor | None,
        tracks: Tensor | None,
        attention_mask: Tensor | None,
    ) -> tuple[Batch, Tensor | None, Tensor | None]:
        """Flat inputs with what is missing filled in; masks [batch, length] of tokens and bases of padded input."""
        mask = base_mask = None
        if segments is None:
            if input_ids.dim() != 2:
                raise InputError(
                    f"input_ids is [batch, length], not {list(input_ids.shape)}; flat tokens need `segments`"
                )
            mask = (input_ids != self.config.pad_token_id) if attention_mask is None else attention_mask.bool()
            if bool((mask[:, 1:] & ~mask[:, :-1]).any()):
                raise InputError("padding must follow the tokens of a row, not precede them")
            lengths = mask.sum(1)
            input_ids = input_ids[mask]
            positions = None if positions is None else positions[mask]
            tracks = None if tracks is None else tracks[mask]
            token_offsets = offsets_of(lengths)
            if bases is not None and bases.dim() == 2:
                row_bases = self._row_bases(input_ids, token_offsets)
                longest = torch.arange(bases.shape[1], device=bases.device)
                bases = bases[longest < row_bases[:, None]]
        else:
            token_offsets = segments.token_offsets.to(torch.int64)
        _check_offsets("token", token_offsets, input_ids.shape[0])
        token_lengths = None
        if bases is None or segments is None:
            token_lengths = self._lengths(input_ids)
            ends = offsets_of(token_lengths)
            base_offsets = ends[token_offsets]
            if bases is None:
                bases = self._letters(input_ids, token_lengths)
            elif bases.shape[0] != int(base_offsets[-1]):
                raise InputError(f"there are {bases.shape[0]} bases, but the tokens stand for {int(base_offsets[-1])}")
        else:
            base_offsets = segments.base_offsets.to(torch.int64)
        _check_offsets("base", base_offsets, bases.shape[0])
        if positions is None:
            token_lengths = self._lengths(input_ids) if token_lengths is None else token_lengths
            starts = offsets_of(token_lengths)[:-1]
            positions = starts - base_offsets[segment_of(token_offsets, input_ids.shape[0])]
        target = None if segments is None else segments.target_offsets
        if segments is None:
            size = int((base_offsets[1:] - base_offsets[:-1]).max()) if len(base_offsets) > 1 else 0
            base_mask = torch.arange(size, device=bases.device) < (base_offsets[1:] - base_offsets[:-1])[:, None]
        batch = Batch(input_ids, bases, positions, tracks, Segments(token_offsets, base_offsets, target))
        return batch, mask, base_mask

    def _lengths(self, input_ids: Tensor) -> Tensor:
        lengths = self.token_lengths[input_ids]
        if not torch.compiler.is_compiling() and bool((lengths == 0).any()):
            bad = int(input_ids[lengths == 0][0])
            raise InputError(f"token {bad} stands for no bases: give DNA tokens, without [CLS], [SEP] and sentences")
        return lengths

    def _row_bases(self, input_ids: Tensor, token_offsets: Tensor) -> Tensor:
        ends = offsets_of(self._lengths(input_ids))[token_offsets]
        return ends[1:] - ends[:-1]

    def _letters(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """Bases of the tokens, uint8 [B]."""
        offsets = offsets_of(lengths)
        token = torch.repeat_interleave(torch.arange(len(input_ids), device=input_ids.device), lengths)
        within = torch.arange(len(token), device=input_ids.device) - offsets[token]
        return self.token_letters[input_ids[token], within.clamp(max=self.token_letters.shape[1] - 1)]

    # --- parts ---

    def encode(self, batch: Batch, states: list[Tensor] | None = None) -> Tensor:
        """Token states [T, hidden] of a flat batch; `states` receives the embeddings and each layer's output."""
        ranges = window_ranges(batch.segments.token_offsets, batch.input_ids.shape[0], self.config.encoder_window)
        return self.encoder(batch.input_ids, batch.segments.token_offsets, ranges, batch.tracks, states)

    def evidence(self, batch: Batch, with_tokens: bool = False) -> Evidence:
        """Run encoder and base head. The encoder is left out where nothing needs it."""
        starts = self._token_starts(batch)
        count = torch.arange(batch.bases.shape[0], device=starts.device)
        token_of_base = (torch.searchsorted(starts, count, right=True) - 1).clamp(min=0)
        token_states = self.encode(batch) if with_tokens or self.config.encoder_to_head else None
        layout = self.base_head.layout(batch.bases, batch.segments.base_offsets)
        informed = token_states if self.config.encoder_to_head else None
        codon_states, class_logits, end_logits = self.base_head(layout, informed, token_of_base)
        return Evidence(token_states, layout, codon_states, class_logits, end_logits, token_of_base)

    def _token_starts(self, batch: Batch) -> Tensor:
        segment = segment_of(batch.segments.token_offsets, batch.input_ids.shape[0])
        return batch.segments.base_offsets[segment] + batch.positions

    def remember(self, batch: Batch, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """The memory that the decoder reads: states [M, hidden] and offsets [S + 1]."""
        x = evidence.token_states
        assert x is not None
        if self.positions is not None:
            x = x + self.positions(batch.positions, self.decoder.embedding.weight)
        if self.head_to_tokens is not None:
            x = x + self.head_to_tokens(evidence.codon_states, evidence.layout, self._token_starts(batch))
        if self.compressor is None:
            return x, batch.segments.token_offsets
        layout = latent_layout(batch.segments.token_offsets, x.shape[0], self.config.num_latents)
        return self.compressor(x, batch.segments.token_offsets, layout), layout.offsets

    def signal_logits(self, evidence: Evidence, wanted: Tensor | None = None) -> tuple[Tensor, Candidates]:
        """Dense signal logits [B, 2, 6] and the candidates that have one; `wanted` bool [B, 2, 6] narrows them."""
        found = find_candidates(evidence.layout)
        if wanted is not None:
            found = found & wanted[:, :, list(CANDIDATE_KINDS)]
        base, strand, kind = found.nonzero().unbind(1)
        candidates = Candidates(base, strand, kind + CANDIDATE_KINDS[0])
        values = self.base_head.signal_logits(evidence.layout, evidence.codon_states, candidates)
        ends = evidence.end_logits
        dense = ends.new_full((ends.shape[0], 2, SIGNALS), NO_CANDIDATE)
        dense[:, :, TSS], dense[:, :, TTS] = ends[..., 0], ends[..., 1]
        return dense.index_put((base, strand, candidates.kind), values.to(dense.dtype)), candidates

    # --- forward ---

    def forward(
        self,
        input_ids: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        labels: Tensor | None = None,
        bases: Tensor | None = None,
        segments: Segments | None = None,
        positions: Tensor | None = None,
        tracks: Tensor | None = None,
        class_labels: Tensor | None = None,
        signal_labels: Tensor | None = None,
        attention_mask: Tensor | None = None,
        encoder_outputs: GeneT5Memory | None = None,
        cache: GeneT5Cache | None = None,
        past_key_values: GeneT5Cache | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> GeneT5Output | tuple[Any, ...]:
        """Evidence for every base and, with `decoder_input_ids`, logits of the sentence.

        Args:
            input_ids: DNA tokens, int [T] with `segments`, else [batch, length] padded at the end with `[PAD]`.
            decoder_input_ids: int [L], or [batch, length]; without them compressor and decoder do not run.
            labels: as `decoder_input_ids`, one token on; -100 takes no loss.
            bases: uint8 [B] (0..3 = A C G T, 4 = anything else), or padded [batch, bases]; by default rebuilt from the
                tokens.
            segments: where the segments of a flat batch lie; by default rows are segments.
            positions: int64, as `input_ids`: each token's start in bp within its window; by default from the tokens'
                lengths.
            tracks: uint8, as `input_ids`, or None.
            class_labels: int8 [B, 2], -1 takes no loss; or padded [batch, bases, 2].
            signal_labels: int8 [B, 2, 6]; or padded [batch, bases, 2, 6].
            attention_mask: of padded `input_ids`, 1 for tokens; by default all but `[PAD]`.
            encoder_outputs: the memory of :meth:`memory`, in place of `input_ids`; only the decoder runs.
            cache, past_key_values: generation's cache (two names for one thing).
            use_cache: ignored; a cache is used where one is given.
            return_dict: False for a tuple.

        Raises:
            InputError: for inputs that do not fit together.
        """
        if encoder_outputs is not None:
            if decoder_input_ids is None:
                raise InputError("encoder_outputs need decoder_input_ids")
            held = cache if cache is not None else past_key_values
            output = GeneT5Output(logits=self._decode(decoder_input_ids, encoder_outputs, held))
            return output if return_dict is not False else output.to_tuple()
        if input_ids is None:
            raise InputError("input_ids are missing")
        batch, mask, base_mask = self._flatten(input_ids, bases, segments, positions, tracks, attention_mask)
        evidence = self.evidence(batch, with_tokens=decoder_input_ids is not None)

        sums: dict[str, Tensor] = {}
        counts: dict[str, Tensor] = {}
        if base_mask is not None:
            class_labels = None if class_labels is None else class_labels[base_mask]
            signal_labels = None if signal_labels is None else signal_labels[base_mask]
        wanted = (signal_labels >= 0) if self.training and signal_labels is not None else None
        signal_logits, _candidates = self.signal_logits(evidence, wanted)
        if class_labels is not None:
            sums["class"], counts["class"] = class_loss(evidence.class_logits, class_labels, self.config.intron_weight)
        if signal_labels is not None:
            taken = (signal_labels >= 0) & (signal_logits.detach() != NO_CANDIDATE)
            sums["signal"] = signal_loss(signal_logits, signal_labels, taken, self.config.intron_weight)
            counts["signal"] = (signal_labels == 1).sum()

        logits = records = None
        if decoder_input_ids is not None:
            logits, records = self._write(batch, evidence, decoder_input_ids, segments, labels, sums, counts)
        elif labels is not None:
            raise InputError("labels need decoder_input_ids: the sentence without its last token")
        output = GeneT5Output(
            loss=weighted_mean(sums, counts, self.config.loss_weights),
            logits=logits,
            class_logits=_unflatten(evidence.class_logits, base_mask),
            signal_logits=_unflatten(signal_logits, base_mask),
            loss_sums=sums,
            loss_counts=counts,
            encoder_last_hidden_state=_unflatten(evidence.token_states, mask),
            router=None,
        )
        if records:
            loads = torch.stack([record.load for record in records]).detach()
            output.router_loads = loads
            output.router = {
                "expert_load_max": loads.max(),
                "expert_load_min": loads.min(),
                "router_entropy": torch.stack([record.entropy for record in records]).mean(),
            }
        return output if return_dict is not False else output.to_tuple()

    def _write(
        self,
        batch: Batch,
        evidence: Evidence,
        decoder_input_ids: Tensor,
        segments: Segments | None,
        labels: Tensor | None,
        sums: dict[str, Tensor],
        counts: dict[str, Tensor],
    ) -> tuple[Tensor, list[Any]]:
        """Compressor, decoder and head; adds the losses of the text."""
        target_mask = None
        if segments is None:
            if decoder_input_ids.dim() != 2 or decoder_input_ids.shape[0] != len(batch.segments.token_offsets) - 1:
                raise InputError("decoder_input_ids is [batch, length], with as many rows as input_ids")
            target_mask = _written(decoder_input_ids, self.config.pad_token_id)
            targets = offsets_of(target_mask.sum(1))
            decoder_input_ids = decoder_input_ids[target_mask]
            labels = None if labels is None else labels[target_mask]
        elif segments.target_offsets is None:
            raise InputError("segments have no target_offsets, but there are decoder_input_ids")
        else:
            targets = segments.target_offsets.to(torch.int64)
        memory, memory_offsets = self.remember(batch, evidence)
        layout = decoder_layout(targets, memory_offsets, decoder_input_ids.shape[0], memory.shape[0], self.config)
        hidden, records = self.decoder(decoder_input_ids, memory, layout)
        logits = self.lm_head(hidden)
        if labels is not None:
            smoothing = self.config.label_smoothing if self.training else 0.0
            sums["text"], counts["text"] = text_loss(logits, labels, smoothing)
            if records:
                sums.update(router_losses(records))
                counts["balance"] = counts["router_z"] = torch.tensor(len(labels), device=labels.device)
        return _unflatten(logits, target_mask), records  # type: ignore[return-value]

    # --- generation ---

    def memory(
        self,
        input_ids: Tensor,
        bases: Tensor | None = None,
        segments: Segments | None = None,
        positions: Tensor | None = None,
        tracks: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> GeneT5Memory:
        """What the decoder reads, one row a segment; the arguments are those of :meth:`forward`."""
        batch, _, _ = self._flatten(input_ids, bases, segments, positions, tracks, attention_mask)
        states, offsets = self.remember(batch, self.evidence(batch, with_tokens=True))
        lengths = offsets[1:] - offsets[:-1]
        mask = torch.arange(int(lengths.max()), device=states.device) < lengths[:, None]
        return GeneT5Memory(last_hidden_state=_unflatten(states, mask), lengths=lengths)

    def new_cache(self, batch: int, like: Tensor | None = None) -> GeneT5Cache:
        """An empty cache for `batch` rows."""
        return new_cache(self.config, batch, self.lm_head.weight if like is None else like)

    def _decode(self, ids: Tensor, encoder_outputs: GeneT5Memory, cache: GeneT5Cache | None) -> Tensor:
        """Logits [batch, length, vocabulary] of tokens [batch, length] after those in the cache."""
        memory, lengths = encoder_outputs.last_hidden_state, encoder_outputs.lengths
        assert memory is not None
        assert lengths is not None
        if cache is not None:
            states = [self.decoder.step(ids[:, t], memory, lengths, cache) for t in range(ids.shape[1])]
            return self.lm_head(torch.stack(states, 1))
        rows, length = ids.shape
        offsets = torch.arange(rows + 1, device=ids.device) * length
        seen = torch.arange(memory.shape[1], device=ids.device) < lengths[:, None]
        memory_offsets = offsets_of(lengths)
        layout = decoder_layout(offsets, memory_offsets, rows * length, int(memory_offsets[-1]), self.config)
        hidden, _ = self.decoder(ids.reshape(-1), memory[seen], layout)
        return self.lm_head(hidden).view(rows, length, -1)

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, **kwargs: Any) -> Any:
        """Write sentences; as `GenerationMixin.generate`, with the inputs of :meth:`forward`.

        DNA tokens are `inputs` or `input_ids`; `decoder_input_ids` [batch, length] is what is already written (by
        default `<bos>`). Greedy, sampling, beam search and logits processors work as in transformers.
        """
        given = {name: kwargs.pop(name, None) for name in ("input_ids", "bases", "segments", "positions", "tracks")}
        mask = kwargs.pop("attention_mask", None)
        if inputs is not None:
            given["input_ids"] = inputs
        if kwargs.get("encoder_outputs") is None:
            if given["input_ids"] is None:
                raise InputError("generate needs input_ids, the DNA tokens")
            kwargs["encoder_outputs"] = self.memory(**given, attention_mask=mask)
        else:
            # `generate` repeats rows in place for beams and returned sequences.
            kwargs["encoder_outputs"] = GeneT5Memory(**kwargs["encoder_outputs"])
        return super().generate(**kwargs)

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, encoder_outputs: GeneT5Memory | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Inputs of one step: with a cache, only the tokens that it has not seen."""
        cache = kwargs.get(CACHE_NAME)
        if cache is not None:
            input_ids = input_ids[:, cache.length :]
        return {"decoder_input_ids": input_ids, "encoder_outputs": encoder_outputs, CACHE_NAME: cache}

    def _prepare_cache_for_generation(
        self, generation_config: Any, model_kwargs: dict[str, Any], *_: Any, **__: Any
    ) -> Any:
        """The cache is always this model's own: `generate`'s own would cut the memory to the decoder's window."""
        if generation_config.use_cache is False or model_kwargs.get(CACHE_NAME) is not None:
            return
        memory = model_kwargs["encoder_outputs"].last_hidden_state
        model_kwargs[CACHE_NAME] = self.new_cache(memory.shape[0], memory)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As in transformers; the weights become float32 unless `dtype` says otherwise, whatever they are stored as.

        transformers takes the checkpoint's dtype, and training in half-precision weights loses small updates.
        """
        if "torch_dtype" not in kwargs:
            kwargs.setdefault("dtype", torch.float32)
        return super().from_pretrained(*args, **kwargs)

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """Write configuration, weights and, where the folder has none yet, a template of a model card."""
        super().save_pretrained(save_directory, *args, **kwargs)
        umask = os.umask(0)
        os.umask(umask)
        for path in Path(save_directory).glob("*.safetensors"):
            # safetensors writes files that only their owner can read.
            path.chmod(0o666 & ~umask)
        from genet5.model.card import write_card

        write_card(self, Path(save_directory))


def _check_offsets(name: str, offsets: Tensor, length: int) -> None:
    if not torch.compiler.is_compiling() and int(offsets[-1]) != length:
        raise InputError(f"{name}_offsets end at {int(offsets[-1])}, but there are {length} {name}s")


def _written(ids: Tensor, pad: int) -> Tensor:
    """Which tokens of padded rows count: all up to the last that is no padding, bool [batch, length]."""
    return (ids != pad).flip(1).cumsum(1).flip(1) > 0


def _unflatten(flat: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """Rows back into a padded tensor of zeros; flat where there was no padding."""
    if flat is None or mask is None:
        return flat
    padded = flat.new_zeros(*mask.shape, *flat.shape[1:])
    padded[mask] = flat
    return padded
