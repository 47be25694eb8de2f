"""Promises of the engine to its callers: answers, limits, cancellation, failure, shutdown."""

import asyncio
from collections.abc import AsyncIterator
from threading import Event
from typing import Any

import pytest
from transformers import GPT2LMHeadModel

from brain.config import DecodingConfig
from brain.dialogue import Candidate, Prompt
from brain.engine.engine import CausalEngine
from brain.errors import BrainError, CheckpointError, EngineBusy, EngineClosed, PromptError
from brain.protocols import Engine, Span
from brain.testing import tiny_encoder, tiny_gpt2

ENCODER = tiny_encoder()
PROMPT = Prompt((), tuple(ENCODER.encode_turn("hello, how are you?")))
SAMPLE = DecodingConfig(method="sample", max_new_tokens=8, num_candidates=4)
LONG = DecodingConfig(
    method="sample", min_new_tokens=40, max_new_tokens=40, num_candidates=64, no_repeat_ngram=0
)


class Watch:
    """Records the rows of each forward pass, tells of the first, and makes it fail when told to."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.started = Event()
        self.failure: Exception | None = None
        self.culprit: int | None = None  # the only token in a prompt to make it fail, if there is one

    def __call__(self, model: object, args: object, kwargs: dict[str, Any]) -> None:
        self.rows.append(len(kwargs["input_ids"]))
        self.started.set()
        is_prompt = kwargs["input_ids"].shape[1] > 1
        is_guilty = self.culprit is None or (is_prompt and self.culprit in kwargs["input_ids"])
        if self.failure is not None and is_guilty:
            raise self.failure


@pytest.fixture
def model() -> GPT2LMHeadModel:
    return tiny_gpt2(ENCODER)


@pytest.fixture
def watch(model: GPT2LMHeadModel) -> Watch:
    watch = Watch()
    model.register_forward_pre_hook(watch, with_kwargs=True)
    return watch


@pytest.fixture
async def engine(model: GPT2LMHeadModel) -> AsyncIterator[CausalEngine]:
    engine = CausalEngine(model, ENCODER, max_batch_rows=64, max_queue=3)
    yield engine
    await engine.close()


async def begin(
    engine: CausalEngine, watch: Watch, decoding: DecodingConfig
) -> asyncio.Task[list[Candidate]]:
    """A request that keeps the thread busy, once it does."""
    task = asyncio.create_task(engine.generate(PROMPT, decoding, 0))
    assert await asyncio.to_thread(watch.started.wait, 10)
    return task


async def test_the_engine_is_what_the_protocol_asks_for(engine: CausalEngine) -> None:
    seam: Engine = engine

    assert seam.max_positions == 64
    assert seam.encoder is ENCODER


async def test_requests_that_wait_together_run_as_one_batch(engine: CausalEngine, watch: Watch) -> None:
    running = await begin(engine, watch, LONG)

    await asyncio.gather(*(engine.generate(PROMPT, SAMPLE, seed) for seed in (1, 2, 3)))

    assert watch.rows.count(3) >= 1  # one prefill for the three prompts
    assert 12 in watch.rows  # then their candidates side by side
    await running


async def test_more_rows_than_a_batch_may_have_run_alone(engine: CausalEngine, watch: Watch) -> None:
    big = SAMPLE.merge({"num_candidates": 100, "min_new_tokens": 8}, "test")

    found, _ = await asyncio.gather(engine.generate(PROMPT, big, 0), engine.generate(PROMPT, SAMPLE, 1))

    assert len(found) == 100
    assert max(watch.rows) == 100


@pytest.mark.parametrize(("max_positions", "together"), [(12 * 58, True), (12 * 58 - 1, False)])
async def test_a_batch_is_bounded_by_its_rows_times_the_longest_of_them(
    model: GPT2LMHeadModel, watch: Watch, max_positions: int, together: bool
) -> None:
    engine = CausalEngine(model, ENCODER, max_batch_rows=64, max_queue=9, max_batch_positions=max_positions)
    running = await begin(engine, watch, LONG)
    long_prompt = Prompt((), (1,) * 50)
    decoding = SAMPLE.merge({"min_new_tokens": 8}, "test")

    prompts = (PROMPT, PROMPT, long_prompt)
    answers = await asyncio.gather(*(engine.generate(prompt, decoding, 0) for prompt in prompts))

    assert [len(candidates) for candidates in answers] == [4, 4, 4]
    assert (12 in watch.rows) is together
    await running
    await engine.close()


async def test_one_request_larger_than_a_batch_may_be_runs_alone(model: GPT2LMHeadModel) -> None:
    engine = CausalEngine(model, ENCODER, max_batch_rows=64, max_queue=9, max_batch_positions=1)

    assert len(await engine.generate(PROMPT, SAMPLE, 0)) == 4
    await engine.close()


async def test_a_full_queue_is_told_at_once(engine: CausalEngine, watch: Watch) -> None:
    running = await begin(engine, watch, LONG)
    waiting = [asyncio.create_task(engine.generate(PROMPT, SAMPLE, seed)) for seed in range(3)]
    await asyncio.sleep(0)

    with pytest.raises(EngineBusy):
        await engine.generate(PROMPT, SAMPLE, 9)

    assert all(len(candidates) == 4 for candidates in await asyncio.gather(*waiting))
    await running


async def test_requests_given_up_make_room_in_the_queue(engine: CausalEngine, watch: Watch) -> None:
    running = await begin(engine, watch, LONG)
    waiting = [asyncio.create_task(engine.generate(PROMPT, SAMPLE, seed)) for seed in range(3)]
    await asyncio.sleep(0)

    for task in waiting:
        task.cancel()
    await asyncio.sleep(0)

    assert len(await engine.generate(PROMPT, SAMPLE, 9)) == 4
    await running


async def test_a_cancelled_request_frees_its_rows_at_the_next_step(
    engine: CausalEngine, watch: Watch
) -> None:
    running = await begin(engine, watch, LONG.merge({"num_candidates": 256}, "test"))

    running.cancel()
    await engine.generate(PROMPT, DecodingConfig(method="greedy", max_new_tokens=1), 0)

    assert running.cancelled()
    assert watch.rows.count(256) < 20  # of 40 steps


async def test_of_a_batch_that_fails_only_the_guilty_request_does(engine: CausalEngine, watch: Watch) -> None:
    alone = await engine.generate(PROMPT, SAMPLE, 1)
    watch.started.clear()
    running = await begin(engine, watch, LONG)
    watch.failure, watch.culprit = RuntimeError("bad token"), 299
    calls = [engine.generate(prompt, SAMPLE, 1) for prompt in (PROMPT, Prompt((), (299, 299)), PROMPT)]

    first, guilty, last = await asyncio.gather(*calls, return_exceptions=True)

    assert first == last == alone
    assert isinstance(guilty, BrainError)
    assert guilty.__cause__ is watch.failure
    assert len(await running) == 64


async def test_closing_fails_what_waits_for_a_second_run(engine: CausalEngine, watch: Watch) -> None:
    running = await begin(engine, watch, LONG)
    calls = [asyncio.create_task(engine.generate(PROMPT, SAMPLE, seed)) for seed in range(3)]
    watch.failure = RuntimeError("out of memory")

    await engine.close()

    answers = await asyncio.gather(running, *calls, return_exceptions=True)
    assert all(isinstance(answer, BrainError) for answer in answers)


async def test_a_model_that_always_fails_tells_every_caller_and_the_engine_lives_on(
    engine: CausalEngine, watch: Watch
) -> None:
    watch.failure = RuntimeError("out of memory")
    calls = [engine.generate(PROMPT, SAMPLE, 0), engine.score([Span((1,), (2,))])]
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(answer, BrainError) and "out of memory" in str(answer) for answer in answers)
    assert all(isinstance(answer, BrainError) and answer.__cause__ is watch.failure for answer in answers)

    watch.failure = None
    assert len(await engine.generate(PROMPT, SAMPLE, 0)) == 4


async def test_closing_fails_what_runs_and_what_waits_and_may_be_done_twice(
    engine: CausalEngine, watch: Watch
) -> None:
    calls = [await begin(engine, watch, LONG) for _ in range(3)]

    await asyncio.gather(engine.close(), engine.close())

    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, EngineClosed) for answer in answers)
    assert len(watch.rows) < 40
    with pytest.raises(EngineClosed):
        await engine.generate(PROMPT, SAMPLE, 0)


async def test_what_does_not_fit_the_model_is_refused(engine: CausalEngine) -> None:
    with pytest.raises(PromptError, match="64 positions"):
        await engine.generate(Prompt((), (1,) * 57), SAMPLE, 0)
    with pytest.raises(PromptError, match="64 positions"):
        await engine.score([Span((1,), (2,)), Span((1,) * 60, (2,) * 5)])
    assert len(await engine.generate(Prompt((), (1,) * 56), SAMPLE, 0)) == 4
    assert len(await engine.score([Span((1,) * 60, (2,) * 4)])) == 1


@pytest.mark.parametrize("span", [Span((), (1,)), Span((1,), ()), Span((1,), (300,)), Span((-1,), (1,))])
async def test_empty_spans_and_unknown_tokens_are_refused(engine: CausalEngine, span: Span) -> None:
    with pytest.raises(PromptError):
        await engine.score([span])


async def test_an_empty_prompt_is_refused_and_no_spans_have_no_scores(engine: CausalEngine) -> None:
    with pytest.raises(PromptError, match="empty"):
        await engine.generate(Prompt((), ()), SAMPLE, 0)
    assert await engine.score([]) == []


def test_a_tokenizer_larger_than_the_model_is_refused(model: GPT2LMHeadModel) -> None:
    with pytest.raises(CheckpointError, match="320"):
        CausalEngine(model, tiny_encoder(320), max_batch_rows=1, max_queue=1)
