"""JSON lines in, JSON lines out, in order: many are answered together, and a bad one spoils no other."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from pydantic import Field

from bots.cast import Cast
from bots.chat import Speaker
from bots.errors import LineError
from bots.feed import Line
from bots.settings import Seed
from brain.config import Options
from brain.dialogue import Candidate, Conversation, Reply, Turn
from brain.errors import BrainError
from brain.persona import Persona

Answer = dict[str, Any]  # a JSON object
Answerer = Callable[[Answer], Awaitable[Answer]]


class ReplyLine(Options):
    """One line of `banter reply`."""

    turns: tuple[str, ...] = Field(min_length=1)
    persona: str | None = None
    seed: Seed | None = Field(default=None, strict=True)
    decoding: dict[str, Any] = Field(default_factory=dict)


class ScoreLine(Options):
    """One line of `banter score`."""

    turns: tuple[str, ...] = Field(min_length=1)
    response: str


class Scored(Protocol):
    """Natural log-probabilities, summed over so many tokens; no reverse model gives None."""

    @property
    def forward(self) -> float: ...
    @property
    def forward_tokens(self) -> int: ...
    @property
    def reverse(self) -> float | None: ...
    @property
    def reverse_tokens(self) -> int | None: ...


class Scorer(Protocol):
    """The verb of `brain.brain.Brain` that `banter score` needs."""

    async def score(self, turns: tuple[Turn, ...], response: str) -> Scored:
        """Score a response under both models."""


def replier(brain: Speaker, cast: Cast, persona: Persona, seed: int | None) -> Answerer:
    """Answers lines of `banter reply`; a line's own persona, seed and decoding win over the given ones."""
    personas: dict[str | None, Persona] = {None: persona}

    async def answer(content: Answer) -> Answer:
        line = ReplyLine.parse(content, "request")
        if line.persona not in personas:
            personas[line.persona] = cast.find(line.persona or "")
        speaker = personas[line.persona]
        reply = await brain.reply(
            Conversation(tuple(Turn(text) for text in line.turns)),
            persona=speaker,
            decoding=cast.decoding(speaker, line.decoding),
            seed=seed if line.seed is None else line.seed,
        )
        return answer_from_reply(reply)

    return answer


def scorer(brain: Scorer) -> Answerer:
    """Answers lines of `banter score`."""

    async def answer(content: Answer) -> Answer:
        line = ScoreLine.parse(content, "request")
        score = await brain.score(tuple(Turn(text) for text in line.turns), line.response)
        return {
            "forward": _finite(score.forward),
            "forward_tokens": score.forward_tokens,
            "reverse": _finite(score.reverse),
            "reverse_tokens": score.reverse_tokens,
            "rankers": {},
        }

    return answer


async def run(
    lines: AsyncIterator[Line], answer: Answerer, write: Callable[[str], None], max_in_flight: int
) -> None:
    """Answer every line, at most `max_in_flight` of them at a time, and write the answers in their order.

    Each answer is written as soon as those before it are, so an endless pipe is served in bounded memory.
    """
    slots = asyncio.Semaphore(max_in_flight)
    pending: asyncio.Queue[asyncio.Task[Answer] | None] = asyncio.Queue()

    async def write_in_order() -> None:
        while (task := await pending.get()) is not None:
            write(json.dumps(await task, allow_nan=False))
            slots.release()

    line_no = 0
    async with asyncio.TaskGroup() as group:
        group.create_task(write_in_order())
        async for line in lines:
            line_no += 1
            await slots.acquire()
            pending.put_nowait(group.create_task(_answered(line, line_no, answer)))
        pending.put_nowait(None)


def answer_from_reply(reply: Reply) -> Answer:
    """A reply as the contract of the command line writes it; numbers that are not finite become null."""
    return {
        "text": reply.text,
        "chosen": reply.chosen,
        "candidates": [_answer_from_candidate(candidate) for candidate in reply.candidates],
        "turns_used": len(reply.prompt.turns),
        "prompt_tokens": len(reply.prompt.ids),
        "seed": reply.seed,
        "seconds": round(reply.seconds, 4),
    }


def _answer_from_candidate(candidate: Candidate) -> Mapping[str, Any]:
    return {
        "text": candidate.text,
        "logprob": _finite(candidate.logprob),
        "finish": candidate.finish,
        "scores": {name: _finite(score) for name, score in candidate.scores.items()},
        "refused": candidate.refused,
    }


async def _answered(line: Line, line_no: int, answer: Answerer) -> Answer:
    try:
        return await answer(_parsed(line, line_no))
    except LineError as error:
        return {"error": str(error)}
    except BrainError as error:
        return {"error": str(LineError(line_no, str(error)))}


def _parsed(line: Line, line_no: int) -> Answer:
    """The JSON object of one line.

    Raises:
        LineError: it is too long, not UTF-8, empty, not JSON or no object.
    """
    if line.is_cut:
        raise LineError(line_no, f"longer than {len(line.content)} bytes; raise lines.max_line_bytes")
    try:
        text = line.content.decode("utf-8-sig" if line_no == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise LineError(line_no, f"not valid UTF-8 at byte {error.start + 1}") from error
    if not text.strip():
        raise LineError(line_no, "empty; each line must be one JSON object")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise LineError(line_no, f"not valid JSON at column {error.colno}: {error.msg}") from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # NaN, a number of thousands of digits, brackets without end
        raise LineError(line_no, f"not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise LineError(line_no, f"must be a JSON object, not {json.dumps(value)[:40]}")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
