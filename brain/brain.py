"""A conversation to the bot's next turn: fit, generate, check, choose."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from brain.config import BrainConfig, DecodingConfig
from brain.decoding import checks, mmi, sentences
from brain.dialogue import Candidate, Conversation, Prompt, Reply, Turn
from brain.errors import ConfigError
from brain.history import fit, opened, shortened
from brain.persona import DEFAULT_PERSONA, Persona
from brain.protocols import Engine, Span
from brain.scoring import Score, forward_span, reverse_span
from brain.voice import Voices

VARIED_TOP_K = 40  # for a second draw after greedy or beam search
LONG_TALK = 10_000  # characters; more is read in a thread, or every other chat would wait
CHARS_PER_TOKEN = 16  # no tokenizer gets so many out of speech: what is longer would be cut in any case

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Request:
    """One reply in the making."""

    persona: Persona
    heard: checks.Heard
    prompt: Prompt
    decoding: DecodingConfig
    seed: int
    deadline: float | None  # of time.perf_counter

    @property
    def seconds_left(self) -> float | None:
        """Seconds left."""
        return None if self.deadline is None else self.deadline - time.perf_counter()


class Brain:
    """Answers and scores with a forward model and, for MMI, a reverse model; keeps nothing between calls."""

    def __init__(self, forward: Engine, config: BrainConfig, reverse: Engine | None = None) -> None:
        self.config = config
        self._forward, self._reverse = forward, reverse
        self._voices = Voices(forward, reverse)

    @property
    def has_reverse(self) -> bool:
        """Whether candidates can be ordered by mutual information."""
        return self._reverse is not None

    async def reply(
        self,
        conversation: Conversation,
        *,
        persona: Persona = DEFAULT_PERSONA,
        decoding: DecodingConfig | None = None,
        seed: int | None = None,
    ) -> Reply:
        """Answer the last turn.

        When the checks refuse every candidate, the whole sentences that one begins with will do; when there
        are none, more are drawn with another seed, by sampling after greedy and beam search; when that fails
        as well, the persona's fallback line is said. Without a reverse model, mmi says the candidate with the
        highest forward log-probability per token.

        Args:
            decoding: goes before the persona's overrides, and these before the configuration.
            seed: the same seed repeats the reply exactly; None draws one, which the reply tells.
        Raises:
            PromptError: nothing was said, or max_new_tokens leaves no room for it.
            ConfigError: the persona's overrides are malformed.
            VoiceError: the persona's LoRA weights cannot be used.
            EngineBusy, EngineTimeout, EngineClosed.
        """
        started = time.perf_counter()
        decoding = decoding or self.config.decoding.merge(dict(persona.decoding), f"persona '{persona.slug}'")
        seed = secrets.randbits(32) if seed is None else seed
        if decoding.min_new_tokens >= decoding.max_new_tokens:
            raise ConfigError(
                f"decoding: min_new_tokens {decoding.min_new_tokens} leaves no room for an end within "
                f"max_new_tokens {decoding.max_new_tokens}; lower the one or raise the other"
            )
        max_seconds = self.config.max_seconds or None
        persona = await self.prepare(persona)
        said_first = opened(conversation, persona)
        heard, prompt = await _aside(conversation.turns, lambda: self._read(said_first, decoding))
        deadline = None if max_seconds is None else started + max_seconds
        request = _Request(persona, heard, prompt, decoding, seed, deadline)
        candidates, draws = await self._candidates(request)
        candidates, chosen = await self._choice(candidates, request)
        said = fallback_line(persona, conversation, seed) if chosen < 0 else candidates[chosen].text
        seconds = time.perf_counter() - started
        return Reply(said, chosen, tuple(candidates), request.prompt, seed, draws, seconds)

    async def prepare(self, persona: Persona, *, strictly: bool = False) -> Persona:
        """Read the LoRA weights of a persona, so that its next reply need not wait for them.

        Returns:
            The persona as it can speak here: without the weights that merely lie in its folder when they were
            trained on another base, without those of the reverse model when there is none.
        Raises:
            VoiceError: some cannot be used; the log says why.
            CheckpointError: in its place with `strictly`, the log says nothing.
        """
        return await self._voices.prepare(persona, strictly)

    async def score(self, turns: Sequence[Turn], response: str) -> Score:
        """Score a response that is already there; what each number means is told by `Score`.

        Raises:
            PromptError: the turns or the response are empty, or the newest turn and the response do not fit.
            EngineBusy, EngineClosed.
        """
        said = [*turns, Turn(response)]
        engine = self._forward
        span = await _aside(said, lambda: forward_span(turns, response, engine.encoder, engine.max_positions))
        [forward] = await self._forward.score([span])
        if (other := self._reverse) is None:
            return Score(forward, len(span.target))
        back = await _aside(said, lambda: reverse_span(turns, response, other.encoder, other.max_positions))
        [reverse] = await other.score([back])
        return Score(forward, len(span.target), reverse, len(back.target))

    async def close(self) -> None:
        """Stop the engines; what waits in them fails with EngineClosed. May be called twice."""
        try:
            await self._forward.close()
        finally:
            if self._reverse is not None:
                await self._reverse.close()

    def _read(self, conversation: Conversation, decoding: DecodingConfig) -> tuple[checks.Heard, Prompt]:
        """What the checks and the model need of the conversation."""
        room = self._forward.max_positions - decoding.max_new_tokens
        max_tokens = min(self.config.max_history_tokens or room, room)
        turns = shortened(conversation.turns, CHARS_PER_TOKEN * self._forward.max_positions)
        prompt = fit(turns, self._forward.encoder, self.config.max_turns, max_tokens)
        return checks.heard_from_conversation(conversation, self.config.checks.echo_turns), prompt

    async def _candidates(self, request: _Request) -> tuple[list[Candidate], int]:
        """Draw until one may be said; returns all distinct ones, also refused, and the number of draws."""
        candidates: list[Candidate] = []
        draw = 0
        while draw < self.config.checks.max_draws and all(candidate.refused for candidate in candidates):
            decoding, seed = draw_settings(request.decoding, request.seed, draw)
            drawn = await self._draw(request, decoding, seed)
            if decoding.method == "beam":  # greedy now and then finds a likelier reply than the beams
                drawn += await self._draw(request, decoding.model_copy(update={"method": "greedy"}), seed)
            candidates = distinct([*candidates, *drawn])
            draw += 1
        return candidates, draw

    async def _draw(self, request: _Request, decoding: DecodingConfig, seed: int) -> list[Candidate]:
        """Ask the engine once; the candidates checked, and trimmed ones added when none may be said."""
        drawn = await self._forward.generate(
            request.prompt, decoding, seed, lora=request.persona.lora, max_seconds=request.seconds_left
        )
        if decoding.method != request.decoding.method:  # in place of the likeliest the next likely
            drawn = sorted(drawn, key=_per_token, reverse=True)
        checked = self._checked(drawn, request.heard)
        if all(candidate.refused for candidate in checked):
            checked += await self._trimmed(checked, request)
        return checked

    async def _trimmed(self, candidates: Sequence[Candidate], request: _Request) -> list[Candidate]:
        """What is left of looping and cut-off candidates when they end with a whole sentence, scored anew."""
        checks_config, encoder = self.config.checks, self._forward.encoder
        texts: dict[str, None] = {}  # in order, each once
        for candidate in candidates:
            if candidate.refused in ("loop", "cut off"):
                wholes = sentences.shorter_wholes(candidate.text)
                good = (t for t in wholes if not checks.refusal(t, "trimmed", request.heard, checks_config))
                texts.update(dict.fromkeys(itertools.islice(good, 1)))
        spans = [Span(request.prompt.ids, tuple(encoder.encode_turn(text))) for text in texts]
        if not spans:
            return []
        logprobs = await self._forward.score(
            spans, lora=request.persona.lora, max_seconds=request.seconds_left
        )
        return [
            Candidate(text, span.target[:-1], logprob, "trimmed")
            for text, span, logprob in zip(texts, spans, logprobs, strict=True)
        ]

    def _checked(self, candidates: Sequence[Candidate], heard: checks.Heard) -> list[Candidate]:
        return [
            replace(
                candidate, refused=checks.refusal(candidate.text, candidate.finish, heard, self.config.checks)
            )
            for candidate in candidates
        ]

    async def _choice(self, candidates: list[Candidate], request: _Request) -> tuple[list[Candidate], int]:
        """The candidates with the scores the choice rests on, and the place of the one to say, or -1."""
        places = [place for place, candidate in enumerate(candidates) if candidate.refused is None]
        if not places:
            return candidates, -1
        if request.decoding.method == "beam":
            return candidates, max(places, key=lambda place: _beam_score(candidates[place], request.decoding))
        if request.decoding.method != "mmi":
            return candidates, places[0]  # the first drawn
        allowed = [candidates[place] for place in places]
        if self._reverse is None:
            scored, best = _by_likelihood(allowed)
        else:
            scored, best = await _by_mutual_information(allowed, request, self._reverse)
        update = dict(zip(places, scored, strict=True))
        return [update.get(place, candidate) for place, candidate in enumerate(candidates)], places[best]


async def _aside(turns: Sequence[Turn], work: Callable[[], T]) -> T:
    """Do the work here, or in a thread when so much was said that it would hold up the loop."""
    if sum(len(turn.text) for turn in turns) <= LONG_TALK:
        return work()
    return await asyncio.to_thread(work)


async def _by_mutual_information(
    candidates: Sequence[Candidate], request: _Request, reverse: Engine
) -> tuple[list[Candidate], int]:
    """Put log P(source | candidate) into the scores as "mmi" and choose; all of them in one call."""
    turns, encoder = request.prompt.turns, reverse.encoder
    responses = [encoder.encode_turn(candidate.text)[:-1] for candidate in candidates]
    spans = await _aside(turns, lambda: mmi.source_spans(turns, responses, encoder, reverse.max_positions))
    logprobs = await reverse.score(spans, lora=request.persona.reverse_lora, max_seconds=request.seconds_left)
    scores = [mmi.mutual_score(*triple) for triple in zip(candidates, spans, logprobs, strict=True)]
    best = mmi.choose(scores, request.decoding, request.seed)
    return [_scored(*pair, "mmi") for pair in zip(candidates, logprobs, strict=True)], best


def _per_token(candidate: Candidate) -> float:
    """Log-probability per token, the end token counted when there is one."""
    return candidate.logprob / max(candidate.num_tokens, 1)


def _beam_score(candidate: Candidate, decoding: DecodingConfig) -> float:
    """What beam search orders by."""
    return candidate.logprob / float(max(candidate.num_tokens, 1) ** decoding.length_penalty)


def _by_likelihood(candidates: Sequence[Candidate]) -> tuple[list[Candidate], int]:
    """Put the log-probability per token into the scores as "forward" and choose the highest."""
    logprobs = [_per_token(candidate) for candidate in candidates]
    best = max(range(len(logprobs)), key=logprobs.__getitem__)
    return [_scored(*pair, "forward") for pair in zip(candidates, logprobs, strict=True)], best


def _scored(candidate: Candidate, value: float, name: str) -> Candidate:
    return replace(candidate, scores={**candidate.scores, name: value})


def draw_settings(decoding: DecodingConfig, seed: int, draw: int) -> tuple[DecodingConfig, int]:
    """Decoding and seed of a draw: number 0 as asked, later ones so that something else comes out."""
    if draw == 0:
        return decoding, seed
    if decoding.method in ("greedy", "beam"):
        wider = {
            "method": "sample",
            "temperature": 1.0,
            "top_k": max(decoding.top_k, VARIED_TOP_K),
        }
        decoding = decoding.model_copy(update=wider)
    return decoding, Random(f"{seed} draw {draw}").getrandbits(32)


def distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """One candidate per text in any case: the first, but one that may be said before a refused one."""
    kept: dict[str, Candidate] = {}
    for candidate in candidates:
        key = candidate.text.casefold()
        if key not in kept or (kept[key].refused and not candidate.refused):
            kept[key] = candidate
    return list(kept.values())


def fallback_line(persona: Persona, conversation: Conversation, seed: int) -> str:
    """One of the persona's lines by the seed; one that the bot has said here only when no other is left."""
    said = {turn.text.casefold() for turn in conversation.bot_turns}
    fresh = [line for line in persona.fallback if line.casefold() not in said]
    return Random(f"{seed} fallback").choice(fresh or persona.fallback)
