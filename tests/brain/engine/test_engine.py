"""Promises of the engine to its callers: answers, limits, cancellation, failure, shutdown."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from threading import Event
from typing import Any

import pytest
import torch
from transformers import GPT2LMHeadModel

from brain.config import DecodingConfig
from brain.dialogue import Candidate, Prompt
from brain.engine.causal import CausalModel
from brain.engine.engine import ModelEngine
from brain.engine.gpt2 import gpt2_from_transformers
from brain.engine.lora import Loras
from brain.engine.model import Model, NextTokens, Row
from brain.engine.scheduler import Limits
from brain.errors import (
    BrainError,
    CheckpointError,
    EngineBusy,
    EngineClosed,
    EngineTimeout,
    PromptError,
)
from brain.protocols import Engine, Span
from brain.testing import tiny_encoder, tiny_gpt2

ENCODER = tiny_encoder()
PROMPT = Prompt((), tuple(ENCODER.encode_turn("hello, how are you?")))
SAMPLE = DecodingConfig(method="sample", max_new_tokens=8, num_candidates=4)
LONG = DecodingConfig(
    method="sample", min_new_tokens=40, max_new_tokens=40, num_candidates=64, no_repeat_ngram=0
)


class Watch:
    """A model that records the rows of each pass, tells of the first, and fails when told to."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.rows: list[int] = []
        self.started = Event()
        self.failure: Exception | None = None
        self.culprit: int | None = None  # the only token in a prompt to make it fail, if there is one
        self.pause = 0.0  # seconds per pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def prefill(
        self, prompts: Sequence[Sequence[int]], width: int, loras: Loras = ()
    ) -> tuple[list[int], NextTokens]:
        self._note(len(prompts), prompts)
        return self._model.prefill(prompts, width, loras)

    def step(self, rows: Sequence[Row], width: int) -> NextTokens:
        self._note(len(rows))
        return self._model.step(rows, width)

    def score(self, spans: Sequence[Span], loras: Loras = ()) -> list[float]:
        self._note(len(spans))
        return self._model.score(spans, loras)

    def _note(self, num_rows: int, prompts: Sequence[Sequence[int]] = ()) -> None:
        failure = self.failure  # of before anybody knows that this pass has begun
        self.rows.append(num_rows)
        self.started.set()
        time.sleep(self.pause)
        is_guilty = self.culprit is None or any(self.culprit in prompt for prompt in prompts)
        if failure is not None and is_guilty:
            raise failure


@pytest.fixture
def model() -> GPT2LMHeadModel:
    return tiny_gpt2(ENCODER)


@pytest.fixture(params=["ours", "transformers"])
def watch(request: pytest.FixtureRequest, model: GPT2LMHeadModel) -> Watch:
    if request.param == "transformers":
        return Watch(CausalModel(model))
    return Watch(gpt2_from_transformers(model, torch.device("cpu"), torch.float32))


@pytest.fixture
async def engine(watch: Watch) -> AsyncIterator[ModelEngine]:
    engine = ModelEngine(watch, ENCODER, limits=Limits(max_rows=64, max_positions=10**6, max_queue=3))
    yield engine
    await engine.close()


async def begin(engine: ModelEngine, watch: Watch, decoding: DecodingConfig) -> asyncio.Task[list[Candidate]]:
    """A request that keeps the thread busy, once it does."""
    task = asyncio.create_task(engine.generate(PROMPT, decoding, 0))
    assert await asyncio.to_thread(watch.started.wait, 10)
    return task


async def test_the_engine_is_what_the_protocol_asks_for(engine: ModelEngine) -> None:
    seam: Engine = engine

    assert seam.max_positions == 64
    assert seam.encoder is ENCODER


async def test_requests_join_what_runs_at_the_next_step(engine: ModelEngine, watch: Watch) -> None:
    running = await begin(engine, watch, LONG.merge({"num_candidates": 32}, "test"))

    await asyncio.gather(*(engine.generate(PROMPT, SAMPLE, seed) for seed in (1, 2, 3)))

    assert not running.done()
    assert max(watch.rows) > 32  # side by side with the long one
    await running


async def test_no_more_rows_than_allowed_run_together(engine: ModelEngine, watch: Watch) -> None:
    big = SAMPLE.merge({"num_candidates": 100, "min_new_tokens": 8}, "test")

    found, _ = await asyncio.gather(engine.generate(PROMPT, big, 0), engine.generate(PROMPT, SAMPLE, 1))

    assert len(found) == 100
    assert max(watch.rows) == 100


@pytest.mark.parametrize(("max_positions", "most_rows"), [(3 * 40, 12), (3 * 40 - 1, 8), (1, 4)])
async def test_what_runs_is_bounded_by_its_positions(
    watch: Watch, max_positions: int, most_rows: int
) -> None:
    engine = ModelEngine(watch, ENCODER, limits=Limits(64, max_positions, 9))
    watch.pause = 0.02
    decoding = SAMPLE.merge({"min_new_tokens": 8}, "test")  # 4 rows of 8 tokens after a prompt of 8

    await asyncio.gather(*(engine.generate(Prompt((), (1,) * 8), decoding, seed) for seed in range(3)))

    assert max(watch.rows) == most_rows
    await engine.close()


async def test_a_large_request_is_not_overtaken_for_ever(watch: Watch) -> None:
    engine = ModelEngine(watch, ENCODER, limits=Limits(8, 10**6, 200))
    finished: list[str] = []

    async def ask(name: str, num_candidates: int) -> None:
        decoding = SAMPLE.merge({"num_candidates": num_candidates, "min_new_tokens": 4}, "test")
        await engine.generate(PROMPT, decoding, 0)
        finished.append(name)

    small = [ask("small", 4) for _ in range(2)]
    await asyncio.gather(*small, ask("large", 8), *(ask("small", 4) for _ in range(40)))

    assert 2 <= finished.index("large") <= 20
    await engine.close()


async def test_a_deadline_frees_rows_and_tells_the_caller(engine: ModelEngine, watch: Watch) -> None:
    watch.pause = 0.05

    with pytest.raises(EngineTimeout):
        await engine.generate(PROMPT, LONG, 0, max_seconds=0.2)
    await engine.generate(PROMPT, DecodingConfig(method="greedy", max_new_tokens=1), 0)

    assert len(watch.rows) < 20
    assert engine.stats.rows == 0


async def test_tokens_are_told_as_they_are_drawn(engine: ModelEngine, watch: Watch) -> None:
    heard: list[tuple[int, int]] = []

    candidates = await engine.generate(
        PROMPT, SAMPLE, 3, on_token=lambda candidate, token: heard.append((candidate, token))
    )
    await asyncio.sleep(0)

    for number, candidate in enumerate(candidates):
        assert tuple(token for teller, token in heard if teller == number) == candidate.ids


async def test_counts_tell_what_was_done(engine: ModelEngine, watch: Watch) -> None:
    await engine.generate(PROMPT, SAMPLE, 0)
    await engine.score([Span((1,), (2, 3))])
    watch.started.clear()
    cancelled = await begin(engine, watch, LONG)
    cancelled.cancel()
    await engine.generate(PROMPT, SAMPLE, 1)

    stats = engine.stats
    assert (stats.finished, stats.aborted, stats.running, stats.waiting) == (3, 1, 0, 0)
    assert stats.scored == 2
    assert stats.prefilled + stats.reused == 3 * len(PROMPT.ids)


async def test_a_full_queue_is_told_at_once(engine: ModelEngine, watch: Watch) -> None:
    running = await begin(engine, watch, LONG)
    waiting = [asyncio.create_task(engine.generate(PROMPT, SAMPLE, seed)) for seed in range(3)]
    await asyncio.sleep(0)

    with pytest.raises(EngineBusy):
        await engine.generate(PROMPT, SAMPLE, 9)

    assert all(len(candidates) == 4 for candidates in await asyncio.gather(*waiting))
    await running


async def test_requests_given_up_make_room_in_the_queue(engine: ModelEngine, watch: Watch) -> None:
    running = await begin(engine, watch, LONG)
    waiting = [asyncio.create_task(engine.generate(PROMPT, SAMPLE, seed)) for seed in range(3)]
    await asyncio.sleep(0)

    for task in waiting:
        task.cancel()
    await asyncio.sleep(0)

    assert len(await engine.generate(PROMPT, SAMPLE, 9)) == 4
    await running


async def test_a_cancelled_request_frees_its_rows_at_the_next_step(engine: ModelEngine, watch: Watch) -> None:
    running = await begin(engine, watch, LONG.merge({"num_candidates": 256}, "test"))

    running.cancel()
    await engine.generate(PROMPT, DecodingConfig(method="greedy", max_new_tokens=1), 0)

    assert running.cancelled()
    assert watch.rows.count(256) < 20  # of 40 steps


async def test_of_a_batch_that_fails_only_the_guilty_request_does(engine: ModelEngine, watch: Watch) -> None:
    alone = await engine.generate(PROMPT, SAMPLE, 1)
    watch.started.clear()
    running = await begin(engine, watch, LONG)
    watch.failure, watch.culprit = RuntimeError("bad token"), 299
    calls = [engine.generate(prompt, SAMPLE, 1) for prompt in (PROMPT, Prompt((), (299, 299)), PROMPT)]

    first, guilty, last = await asyncio.gather(*calls, return_exceptions=True)

    texts = [[candidate.text for candidate in candidates] for candidates in (first, last, alone)]
    assert texts[0] == texts[1] == texts[2]
    assert isinstance(guilty, BrainError)
    assert guilty.__cause__ is watch.failure
    assert len(await running) == 64


async def test_closing_fails_what_waits_for_a_second_run(engine: ModelEngine, watch: Watch) -> None:
    running = await begin(engine, watch, LONG)
    calls = [asyncio.create_task(engine.generate(PROMPT, SAMPLE, seed)) for seed in range(3)]
    watch.failure = RuntimeError("out of memory")

    await engine.close()

    answers = await asyncio.gather(running, *calls, return_exceptions=True)
    assert all(isinstance(answer, BrainError) for answer in answers)


async def test_a_model_that_always_fails_tells_every_caller_and_the_engine_lives_on(
    engine: ModelEngine, watch: Watch
) -> None:
    watch.failure = RuntimeError("out of memory")
    calls = [engine.generate(PROMPT, SAMPLE, 0), engine.score([Span((1,), (2,))])]
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(answer, BrainError) and "out of memory" in str(answer) for answer in answers)
    assert all(isinstance(answer, BrainError) and answer.__cause__ is watch.failure for answer in answers)

    watch.failure = None
    assert len(await engine.generate(PROMPT, SAMPLE, 0)) == 4


@pytest.mark.parametrize("during", ["prefill", "step"])
async def test_a_model_that_cannot_be_reset_fails_everybody_at_once(
    engine: ModelEngine, watch: Watch, during: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*args: object) -> None:
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(watch, during, gone)
    monkeypatch.setattr(watch, "reset", gone, raising=False)
    calls = [engine.generate(PROMPT, SAMPLE, seed) for seed in range(3)]

    answers = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)

    assert all(isinstance(answer, BrainError) for answer in answers)
    with pytest.raises(EngineClosed):
        await engine.generate(PROMPT, SAMPLE, 0)
    monkeypatch.undo()


async def test_closing_fails_what_runs_and_what_waits_and_may_be_done_twice(
    engine: ModelEngine, watch: Watch
) -> None:
    calls = [await begin(engine, watch, LONG) for _ in range(3)]

    await asyncio.gather(engine.close(), engine.close())

    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, EngineClosed) for answer in answers)
    assert len(watch.rows) < 40
    with pytest.raises(EngineClosed):
        await engine.generate(PROMPT, SAMPLE, 0)


async def test_what_does_not_fit_the_model_is_refused(engine: ModelEngine) -> None:
    with pytest.raises(PromptError, match="64 positions"):
        await engine.generate(Prompt((), (1,) * 57), SAMPLE, 0)
    with pytest.raises(PromptError, match="64 positions"):
        await engine.score([Span((1,), (2,)), Span((1,) * 60, (2,) * 5)])
    assert len(await engine.generate(Prompt((), (1,) * 56), SAMPLE, 0)) == 4
    assert len(await engine.score([Span((1,) * 60, (2,) * 4)])) == 1


@pytest.mark.parametrize("span", [Span((), (1,)), Span((1,), ()), Span((1,), (300,)), Span((-1,), (1,))])
async def test_empty_spans_and_unknown_tokens_are_refused(engine: ModelEngine, span: Span) -> None:
    with pytest.raises(PromptError):
        await engine.score([span])


async def test_an_empty_prompt_is_refused_and_no_spans_have_no_scores(engine: ModelEngine) -> None:
    with pytest.raises(PromptError, match="empty"):
        await engine.generate(Prompt((), ()), SAMPLE, 0)
    assert await engine.score([]) == []


def test_a_tokenizer_larger_than_the_model_is_refused(model: GPT2LMHeadModel) -> None:
    with pytest.raises(CheckpointError, match="320"):
        ModelEngine(CausalModel(model), tiny_encoder(320))
