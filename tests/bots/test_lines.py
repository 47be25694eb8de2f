"""JSON lines: one out for each in, in order, and a bad one spoils no other."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bots import lines
from bots.cast import Cast
from bots.feed import Line
from brain.brain import Brain
from brain.config import BrainConfig
from brain.dialogue import Candidate, Prompt, Reply
from brain.persona import DEFAULT_PERSONA
from brain.testing import ScriptedEngine, tiny_encoder


async def fed(*contents: bytes) -> AsyncIterator[Line]:
    for content in contents:
        yield Line(content)


async def written(answer: lines.Answerer, *contents: bytes, max_in_flight: int = 4) -> list[dict[str, Any]]:
    out: list[str] = []
    await lines.run(fed(*contents), answer, out.append, max_in_flight)
    return [json.loads(line) for line in out]


async def echo(content: lines.Answer) -> lines.Answer:
    return content


async def test_answers_keep_the_order_of_the_lines_whoever_is_first() -> None:
    async def slow_first(content: lines.Answer) -> lines.Answer:
        await asyncio.sleep(0.02 / content["n"])
        return content

    out = await written(slow_first, *(b'{"n": %d}' % n for n in range(1, 8)))
    assert [answer["n"] for answer in out] == [1, 2, 3, 4, 5, 6, 7]


async def test_no_more_lines_are_answered_at_once_than_allowed() -> None:
    running = most = 0

    async def counted(content: lines.Answer) -> lines.Answer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return content

    await written(counted, *[b"{}"] * 30, max_in_flight=3)
    assert most == 3


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b'{"turns": ["a"', "line 2: not valid JSON at column 15: Expecting ',' delimiter"),
        (b"", "line 2: empty; each line must be one JSON object"),
        (b"[1]", "line 2: must be a JSON object, not [1]"),
        (b'{"n": NaN}', "line 2: not valid JSON: NaN is no JSON number"),
        (b'{"n": "\xff"}', "line 2: not valid UTF-8 at byte 8"),
        (b"[" * 100_000, "line 2: not valid JSON: maximum recursion depth exceeded"),
    ],
)
async def test_a_bad_line_gets_an_error_and_the_rest_go_on(content: bytes, error: str) -> None:
    first, bad, last = await written(echo, b'{"n": 1}', content, b'{"n": 3}')
    assert (first, last) == ({"n": 1}, {"n": 3})
    assert bad["error"].startswith(error)


async def test_a_line_that_was_cut_gets_an_error() -> None:
    async def cut() -> AsyncIterator[Line]:
        yield Line(b'{"turns": [', is_cut=True)

    out: list[str] = []
    await lines.run(cut(), echo, out.append, 1)
    assert json.loads(out[0])["error"].startswith("line 1: longer than 11 bytes")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b'{"turns": []}', "line 1: request: turns: "),
        (b'{"turns": [3]}', "line 1: request: turns.0: input should be a valid string"),
        (b'{"turns": [" "]}', "line 1: nothing was said"),
        (b'{"turns": ["a"], "sed": 1}', "line 1: request: unknown key 'sed', did you mean 'seed'?"),
        (b'{"turns": ["a"], "seed": true}', "line 1: request: seed: must not be true"),
        (b'{"turns": ["a"], "persona": "nobody"}', "line 1: no character 'nobody'"),
        (
            b'{"turns": ["a"], "decoding": {"topk": 3}}',
            "line 1: decoding: unknown key 'topk', did you mean 'top_k'?",
        ),
    ],
)
async def test_what_cannot_be_answered_is_told(content: bytes, error: str, tmp_path: Path) -> None:
    config = BrainConfig()
    brain = Brain(ScriptedEngine(tiny_encoder()), config)
    answer = lines.replier(brain, Cast(tmp_path, config), DEFAULT_PERSONA, None)
    [out] = await written(answer, content)
    assert out["error"].startswith(error)


async def test_a_line_brings_its_own_seed_and_decoding(tmp_path: Path) -> None:
    config = BrainConfig()
    engine = ScriptedEngine(tiny_encoder(), ["good evening"], ["hello there"])
    answer = lines.replier(Brain(engine, config), Cast(tmp_path, config), DEFAULT_PERSONA, 5)
    one = b'{"turns": ["hi"], "seed": 9, "decoding": {"method": "sample", "top_k": 3}}'
    first, second = await written(answer, one, b'{"turns": ["hi"]}')
    assert (first["seed"], second["seed"]) == (9, 5)
    assert [decoding.top_k for decoding in engine.decodings] == [3, config.decoding.top_k]
    assert first["text"] == "good evening"
    assert set(first) >= {"text", "chosen", "candidates", "turns_used", "prompt_tokens", "seconds"}


async def test_a_score_has_both_directions(tmp_path: Path) -> None:
    brain = Brain(ScriptedEngine(tiny_encoder()), BrainConfig(), ScriptedEngine(tiny_encoder()))
    [out] = await written(lines.scorer(brain), b'{"turns": ["hi"], "response": "hello"}')
    assert set(out) == {"forward", "forward_tokens", "reverse", "reverse_tokens", "rankers"}
    assert out["forward"] == -out["forward_tokens"]
    assert out["rankers"] == {}


def test_numbers_that_are_not_finite_become_null() -> None:
    candidate = Candidate("x", (1,), float("-inf"), "stop", {"mmi": float("nan")})
    answer = lines.answer_from_reply(Reply("x", 0, (candidate,), Prompt((), ())))
    assert answer["candidates"][0]["logprob"] is None
    assert answer["candidates"][0]["scores"] == {"mmi": None}
