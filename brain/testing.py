"""Fakes for tests: an engine that says what it is told, a tiny tokenizer, random GPT-2 and LoRA weights."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from brain.config import DecodingConfig
from brain.dialogue import Candidate, Prompt
from brain.errors import EngineClosed
from brain.protocols import Encoder, Span

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

    from brain.encoding import TurnEncoder
    from brain.engine.shape import GPT2Shape

SENTENCES = (
    "hello, how are you today?",
    "i am fine, thanks. and you?",
    "what are you doing this evening?",
    "i think i will read a book and drink some tea.",
    "do you like tea more than coffee?",
    "no, i do not like tea at all, but the book is good.",
    "where do you come from?",
    "i come from a small town by the sea.",
    "that sounds good, i like the sea.",
    "good night, see you tomorrow!",
)


def _minus_target_len(span: Span) -> float:
    return -float(len(span.target))


class ScriptedEngine:
    """`brain.protocols.Engine` that returns what is in its queue, one entry per call, and records its calls.

    Attributes: `prompts`, `decodings`, `seeds` as `generate` got them; `spans` of all calls of `score`, flat;
    `loras` of all calls, None where none were named. What `broken` has for LoRA weights is raised when they
    are named.
    """

    def __init__(
        self,
        encoder: Encoder,
        *script: Sequence[Candidate | str] | BaseException,
        max_positions: int = 1024,
        score_span: Callable[[Span], float] = _minus_target_len,
    ) -> None:
        """Queue the script.

        Args:
            script: one entry per call of `generate`: its candidates, or an error to raise; a text becomes a
                finished candidate.
            score_span: answers `score`; by default each target token costs one nat.
        """
        self.encoder, self.max_positions = encoder, max_positions
        self.prompts: list[Prompt] = []
        self.decodings: list[DecodingConfig] = []
        self.seeds: list[int] = []
        self.spans: list[Span] = []
        self.loras: list[str | None] = []
        self.broken: dict[str, Exception] = {}
        self.is_closed = False
        self._script = deque(script)
        self._score_span = score_span

    def enqueue(self, *candidates: Candidate | str) -> None:
        """Add the answer of one more call."""
        self._script.append(candidates)

    async def generate(
        self,
        prompt: Prompt,
        decoding: DecodingConfig,
        seed: int,
        *,
        lora: str | None = None,
        max_seconds: float | None = None,
    ) -> list[Candidate]:
        """Return or raise the next entry of the script."""
        self._check_open()
        await self._speak_with(lora)
        self.prompts.append(prompt)
        self.decodings.append(decoding)
        self.seeds.append(seed)
        assert self._script, f"the script has no answer for call {len(self.prompts)} of generate"
        entry = self._script.popleft()
        if isinstance(entry, BaseException):
            raise entry
        return [candidate_from_text(said, self.encoder) if isinstance(said, str) else said for said in entry]

    async def score(
        self, spans: Sequence[Span], *, lora: str | None = None, max_seconds: float | None = None
    ) -> list[float]:
        """Ask `score_span` for each span."""
        self._check_open()
        await self._speak_with(lora)
        self.spans.extend(spans)
        return [self._score_span(span) for span in spans]

    async def prepare(self, lora: str) -> None:
        """Raise what `broken` says of these weights."""
        if lora in self.broken:
            raise self.broken[lora]

    async def _speak_with(self, lora: str | None) -> None:
        self.loras.append(lora)
        if lora is not None:
            await self.prepare(lora)

    async def close(self) -> None:
        """Refuse further calls."""
        self.is_closed = True

    def _check_open(self) -> None:
        if self.is_closed:
            raise EngineClosed("the engine is shut down")


def candidate_from_text(text: str, encoder: Encoder) -> Candidate:
    """A finished candidate in which each token, the end token included, cost one nat."""
    ids = encoder.encode_turn(text)
    return Candidate(text, tuple(ids[:-1]), -float(len(ids)), "stop")


def tiny_encoder(vocab_size: int = 300) -> TurnEncoder:
    """A byte-level tokenizer learnt from SENTENCES; it can encode any text."""
    from brain.encoding import train_encoder

    return train_encoder(SENTENCES, vocab_size)


def tiny_gpt2(encoder: Encoder, n_positions: int = 64, seed: int = 0) -> GPT2LMHeadModel:
    """A random GPT-2 of 2 layers, 32 wide, whose turns end: after ten tokens, or two with top k 10.

    Args:
        seed: of the weights; torch's own random state is left as it was.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=encoder.vocab_size,
        n_positions=n_positions,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.2,  # ten times the usual, or every token would be as likely as any other
        bos_token_id=encoder.end_id,
        eos_token_id=encoder.end_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = GPT2LMHeadModel(config)
    with torch.no_grad():  # the bias of the last layer norm points at the end token
        model.transformer.wte.weight[:, 0] = 0.0
        model.transformer.wte.weight[encoder.end_id, 0] = 1.0
        model.transformer.ln_f.bias[0] = 4.0
    model.eval()
    return cast("GPT2LMHeadModel", model)


def random_lora(folder: Path, shape: GPT2Shape, seed: int = 0, rank: int = 4, std: float = 0.2) -> Path:
    """Write LoRA weights in PEFT's format that say something else than their base; returns the folder.

    What the folder held before is replaced file by file.

    Args:
        std: of all numbers of A and B, none of which is zero as it is at the start of training.
    """
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(shape.num_layers):
        for matrix, (num_in, num_out) in shape.matrix_shapes.items():
            stem = f"base_model.model.transformer.h.{layer}.{matrix}"
            for name, size in (("A", (rank, num_in)), ("B", (num_out, rank))):
                tensors[f"{stem}.lora_{name}.weight"] = std * torch.randn(size, generator=generator)
    folder.mkdir(parents=True, exist_ok=True)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "fan_in_fan_out": True, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder
