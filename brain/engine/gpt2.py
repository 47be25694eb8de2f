"""GPT-2's forward pass, our own: packed weights, shared prefixes, only the rows and positions that are
needed.

Source: Radford et al. 2019; the layout of the weights is that of the released checkpoints (Conv1D: [in,
out]). The residual stream and the normalisations are float32 in every dtype: bfloat16 has 8 bits, and errors
of the residual reach every later layer.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from brain.engine.attention import SplitAttention, attend_causally
from brain.engine.block import Attend, Block, GetTensors, Norm, Pass, layer_weights
from brain.engine.cache import CacheShape, KeptPrefixes, Prefixes, Suffixes
from brain.engine.graphs import StepGraphs
from brain.engine.head import Head
from brain.engine.linear import dtype_for, give_memory_back, padded, usual_rows
from brain.engine.lora import LoraPlanner, Loras, LoraWeights, StoredLora, placed
from brain.engine.model import NextTokens, Row, Usage
from brain.engine.shape import HEAD_NAME, GPT2Shape
from brain.engine.spans import PackedSpans, chunks_of_like_length, span_len
from brain.protocols import Span


class GPT2:
    """`brain.engine.model.Model` for GPT-2; weights in float32, bfloat16 or float16."""

    def __init__(
        self,
        shape: GPT2Shape,
        get: GetTensors,
        *,
        device: torch.device,
        dtype: torch.dtype,
        keep_bytes: int = 0,
        has_fixed_shapes: bool | None = None,
    ) -> None:
        """Take the weights layer by layer, so that little more than the packed ones is ever in memory.

        Args:
            get: gives the tensors of some names ("h.0.ln_1.weight", …); asked once for each name.
            keep_bytes: for prompts kept after their request, so that a chat's next turn reads only what is
            new.
            has_fixed_shapes: pad every step to shapes that recur; None does so on a GPU, where steps are then
                recorded as CUDA graphs.
        """
        self.shape = shape

        def take(names: Sequence[str]) -> dict[str, Tensor]:
            # A copy, so that overwriting a mapped file does not reach a running model.
            return {name: tensor.to(device, dtype, copy=True) for name, tensor in get(names).items()}

        first = take(["wte.weight", "wpe.weight"])
        self._embedding, self._positions = first["wte.weight"], first["wpe.weight"].float()
        self._blocks = []
        for layer in range(shape.num_layers):
            self._blocks.append(Block(layer_weights(take, layer), shape))
            give_memory_back()
        last = take(["ln_f.weight", "ln_f.bias", *([] if shape.is_tied else [HEAD_NAME])])
        self._last_norm = Norm(last["ln_f.weight"], last["ln_f.bias"], shape.layer_norm_epsilon)
        self._head = Head(self._embedding, last.get(HEAD_NAME))
        give_memory_back()
        self.device, self.dtype = device, dtype
        self.vocab_size = len(self._head.table)
        self.max_positions = shape.max_positions
        cache = CacheShape(shape.num_layers, shape.num_heads, shape.width // shape.num_heads, dtype, device)
        self._prefixes, self._suffixes = Prefixes(cache, shape.max_positions), Suffixes(cache)
        self._kept = KeptPrefixes(keep_bytes)
        self._ids: dict[int, tuple[int, ...]] = {}  # of each prompt, by key
        self._loras: dict[int, LoraWeights | None] = {}  # likewise
        self._planner = LoraPlanner()
        self._has_fixed_shapes = device.type == "cuda" if has_fixed_shapes is None else has_fixed_shapes
        self._graphs = StepGraphs(self._forward) if device.type == "cuda" else None
        self._run_step = self._forward if self._graphs is None else self._graphs
        self.usage = Usage()

    def take_lora(self, weights: StoredLora) -> LoraWeights:
        """Place LoRA weights beside the model's own; see `brain.engine.model.Model.take_lora`."""
        return placed(weights, self.shape, self.device, self.dtype)

    @property
    def kept_bytes(self) -> int:
        """Memory of prompts kept for a chat's next turn."""
        return self._kept.num_bytes

    def limit_ids(self, num_ids: int) -> None:
        """Offer no token from num_ids on."""
        self._head.num_ids = num_ids

    @torch.inference_mode()
    def prefill(
        self, prompts: Sequence[Sequence[int]], width: int, loras: Loras = ()
    ) -> tuple[list[int], NextTokens]:
        """Read prompts, but not what is kept of them; see `brain.engine.model.Model.prefill`."""
        keys, starts = [], []
        loras = loras or [None] * len(prompts)
        for prompt, weights in zip(prompts, loras, strict=True):
            key = self._prefixes.add(len(prompt))
            common, kept = self._kept.longest(prompt, weights and weights.version)
            bucket, slot = self._prefixes.bucket(key)
            if kept is not None:
                bucket.kv[:, :, slot, :, :common] = kept[:, :, :, :common]
            bucket.lens[slot] = len(prompt)
            self._ids[key], self._loras[key] = tuple(prompt), weights
            keys.append(key)
            starts.append(common)
        fresh = [prompt[start:] for prompt, start in zip(prompts, starts, strict=True)]
        self.usage.prefilled += sum(map(len, fresh))
        self.usage.reused += sum(starts)
        ids = self._tensor([token for part in fresh for token in part])
        places = [place for p, start in zip(prompts, starts, strict=True) for place in range(start, len(p))]
        ends = self._tensor([len(part) for part in fresh]).cumsum(0) - 1

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            out, at = torch.empty_like(q), 0
            for key, start, part in zip(keys, starts, fresh, strict=True):
                bucket, slot = self._prefixes.bucket(key)
                rows, stop = slice(at, at + len(part)), start + len(part)
                bucket.kv[layer, 0, slot, :, start:stop] = k[rows].transpose(0, 1)
                bucket.kv[layer, 1, slot, :, start:stop] = v[rows].transpose(0, 1)
                keys_values = bucket.kv[layer, :, slot : slot + 1, :, :stop]
                mixed = attend_causally(q[rows].transpose(0, 1).unsqueeze(0), *keys_values)
                out[rows] = mixed.squeeze(0).transpose(0, 1)
                at += len(part)
            return out.flatten(1)

        of = [weights for weights, part in zip(loras, fresh, strict=True) for _ in part]
        hidden = self._forward(ids, self._tensor(places), attend, ends, (of, loras))
        return keys, self._head.next_tokens(hidden, width)

    @torch.inference_mode()
    def step(self, rows: Sequence[Row], width: int) -> NextTokens:
        """Append a token to each row; see `brain.engine.model.Model.step`."""
        self.usage.stepped += len(rows)
        suffixes = self._suffixes
        suffixes.arrange([row.source for row in rows])
        at_place = sorted(range(len(rows)), key=suffixes.places.__getitem__)  # the row of each place
        prefix_lens = [len(self._ids[rows[row].prefix]) for row in at_place]
        attention = SplitAttention(
            self._prefixes.buckets,
            [rows[row].prefix for row in at_place],
            suffixes,
            is_fixed=self._has_fixed_shapes,
        )
        positions = [start + done for start, done in zip(prefix_lens, suffixes.lens, strict=True)]
        padding = [0] * (attention.num_places - len(rows))
        ids = self._tensor([*(rows[row].token for row in at_place), *padding])
        of = [self._loras[rows[row].prefix] for row in at_place]
        places = self._tensor([*positions, *padding])
        if any(of):  # graphs are recorded without: every company of characters would need its own
            hidden = self._forward(ids, places, attention, loras=(of, of))[: len(rows)]
        else:
            hidden = self._run_step(ids, places, attention)[: len(rows)]
        suffixes.lens = [done + 1 for done in suffixes.lens]
        if suffixes.places != list(range(len(rows))):
            hidden = hidden[self._tensor(suffixes.places)]
        return self._head.next_tokens(hidden, width)

    @torch.inference_mode()
    def release(self, prefix: int) -> None:
        """Free a prompt, and keep a copy for the chat's next turn as far as memory allows."""
        bucket, _ = self._prefixes.bucket(prefix)
        weights = self._loras.pop(prefix)
        self._kept.keep(self._ids.pop(prefix), bucket.get(prefix), weights and weights.version)
        self._prefixes.remove(prefix)
        if not self._ids:
            self._forget_rows()

    def reset(self) -> None:
        """Forget all rows and prompts."""
        self._ids.clear()
        self._loras.clear()
        self._prefixes.clear()
        self._forget_rows()

    def _forget_rows(self) -> None:
        if self._graphs is None:
            self._suffixes.clear()
        else:  # the memory stays where it is, and the graphs with it
            self._suffixes.places, self._suffixes.lens = [], []

    @torch.inference_mode()
    def score(self, spans: Sequence[Span], loras: Loras = ()) -> list[float]:
        """Log-probabilities of the targets; nothing is padded but inside attention, and the last layer and
        the head run only where a target token is predicted.
        """
        packed = PackedSpans(spans, self.device)
        self.usage.scored += len(packed.targets)
        pairs = list(zip(spans, loras or [None] * len(spans), strict=True))
        of = [weights for span, weights in pairs for _ in range(span_len(span) - 1)]
        kept = [weights for span, weights in pairs for _ in span.target]
        hidden = self._forward(
            packed.ids, packed.positions, packed.attend, packed.predicting, loras=(of, kept)
        )
        logprobs = self._head.log_probs(hidden, packed.targets).double()
        return [float(part.sum()) for part in torch.split(logprobs, [len(span.target) for span in spans])]

    def score_chunks(self, spans: Sequence[Span]) -> list[list[int]]:
        """Groups of like length; see `brain.engine.spans.chunks_of_like_length`."""
        return chunks_of_like_length(spans)

    def _forward(
        self,
        ids: Tensor,
        positions: Tensor,
        attend: Attend,
        keep: Tensor | None = None,
        loras: tuple[Loras, Loras] = ((), ()),
    ) -> Tensor:
        """Tokens through all layers: int64 [tokens] to float32 [kept, width], normalised for the head.

        Args:
            loras: of all tokens, and of the kept ones.
        """
        num_tokens, num_kept = len(ids), len(ids if keep is None else keep)
        plan = kept_plan = self._planner.rows(loras[0], self.device)
        if keep is not None:
            keep = F.pad(keep, (0, usual_rows(num_kept) - num_kept))
            kept_plan = self._planner.rows(loras[1], self.device)
        run = Pass(num_tokens, attend, keep, plan, kept_plan)
        x = padded(self._embedding[ids].float() + self._positions[positions], usual_rows(num_tokens))
        for layer, block in enumerate(self._blocks):
            x = block(layer, x, run, is_last=layer == len(self._blocks) - 1)
        return self._last_norm(x[:num_kept])

    def _tensor(self, values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.device)


def gpt2_from_transformers(
    model: Any,
    device: torch.device,
    dtype: torch.dtype | None,
    keep_bytes: int = 0,
    has_fixed_shapes: bool | None = None,
) -> GPT2:
    """Our own model of transformers' `GPT2LMHeadModel`, such as one with LoRA weights merged into it."""
    config, state = model.config, model.state_dict()
    shape = GPT2Shape(
        config.n_layer,
        config.n_head,
        config.n_embd,
        config.n_positions,
        config.n_inner or 4 * config.n_embd,
        config.layer_norm_epsilon,
        config.tie_word_embeddings,
    )
    num_parameters = sum(weight.numel() for weight in model.parameters())

    def get(names: Sequence[str]) -> dict[str, Tensor]:
        return {name: state[name if name == HEAD_NAME else f"transformer.{name}"] for name in names}

    return GPT2(
        shape,
        get,
        device=device,
        dtype=dtype or dtype_for(device, num_parameters),
        keep_bytes=keep_bytes,
        has_fixed_shapes=has_fixed_shapes,
    )
