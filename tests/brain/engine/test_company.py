"""Whoever else is being answered, and whenever they come and go, an answer is the same as alone."""

import asyncio
import random
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brain.config import DecodingConfig
from brain.dialogue import Candidate, Prompt
from brain.engine.engine import ModelEngine
from brain.engine.gpt2 import gpt2_from_transformers
from brain.engine.scheduler import Limits
from brain.protocols import Span
from brain.testing import tiny_encoder, tiny_gpt2

ENCODER = tiny_encoder()
END = ENCODER.end_id
MODEL = tiny_gpt2(ENCODER, n_positions=96)
NEW = 10
GREEDY = DecodingConfig(method="greedy", max_new_tokens=NEW, min_new_tokens=0, no_repeat_ngram=0)


def prompts(num: int) -> list[Prompt]:
    chance = random.Random(5)
    return [
        Prompt((), tuple(chance.choices(range(1, ENCODER.vocab_size), k=chance.randint(1, 80))))
        for _ in range(num)
    ]


HUNDRED = prompts(100)


@torch.inference_mode()
def greedy_of_transformers(prompt: Prompt) -> tuple[int, ...]:
    ids = list(prompt.ids)
    for _ in range(NEW):
        ids.append(int(MODEL(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == END:
            break
    return tuple(token for token in ids[len(prompt.ids) :] if token != END)


EXPECTED = [greedy_of_transformers(prompt) for prompt in HUNDRED]


def new_engine(max_rows: int = 256, max_positions: int = 65536, keep_bytes: int = 0) -> ModelEngine:
    model = gpt2_from_transformers(MODEL, torch.device("cpu"), torch.float32, keep_bytes)
    return ModelEngine(model, ENCODER, limits=Limits(max_rows, max_positions, 1000))


async def test_a_hundred_greedy_answers_are_those_of_transformers_alone_and_together() -> None:
    engine = new_engine()
    alone = [await engine.generate(prompt, GREEDY, 0) for prompt in HUNDRED]
    together = await asyncio.gather(*(engine.generate(prompt, GREEDY, 0) for prompt in HUNDRED))
    await engine.close()

    assert [found[0].ids for found in alone] == EXPECTED
    assert [found[0].ids for found in together] == EXPECTED


@dataclass(frozen=True)
class Guest:
    """A request that comes after some turns of the event loop, and may leave again."""

    prompt: int
    decoding: dict[str, object]
    seed: int
    comes_after: int
    leaves_after: int | None


decodings = st.sampled_from(
    [
        {"method": "greedy"},
        {"method": "sample", "num_candidates": 3},
        {"method": "sample", "num_candidates": 2, "top_k": 0, "top_p": 0.9, "temperature": 1.5},
        {"method": "mmi", "num_candidates": 5, "repetition_penalty": 1.3},
        {"method": "beam", "num_beams": 4, "num_best": 2},
        {"method": "sample", "num_candidates": 1, "min_new_tokens": 6, "no_repeat_ngram": 2},
    ]
)
guests = st.lists(
    st.builds(
        Guest,
        prompt=st.integers(0, 99),
        decoding=decodings,
        seed=st.integers(0, 3),
        comes_after=st.integers(0, 40),
        leaves_after=st.one_of(st.none(), st.none(), st.integers(0, 60)),
    ),
    min_size=1,
    max_size=12,
)


def decoding_of(guest: Guest) -> DecodingConfig:
    return DecodingConfig(max_new_tokens=NEW, temperature=1.0).merge(dict(guest.decoding), "test")


@settings(max_examples=25, deadline=None)
@given(guests, st.sampled_from([4, 12, 256]), st.sampled_from([0, 300_000, 10_000_000]))
def test_any_company_any_order_any_cancellation(party: list[Guest], max_rows: int, keep_bytes: int) -> None:
    async def visit(engine: ModelEngine, guest: Guest) -> list[Candidate] | None:
        for _ in range(guest.comes_after):
            await asyncio.sleep(0.0005)
        call = asyncio.create_task(engine.generate(HUNDRED[guest.prompt], decoding_of(guest), guest.seed))
        if guest.leaves_after is not None:
            for _ in range(guest.leaves_after):
                await asyncio.sleep(0.0002)
            if call.cancel():
                return None
        return await call

    async def everybody() -> list[tuple[list[Candidate] | None, list[Candidate]]]:
        engine = new_engine(max_rows, keep_bytes=keep_bytes)
        found = await asyncio.gather(*(visit(engine, guest) for guest in party))
        await engine.close()
        alone = new_engine()
        expected = [
            await alone.generate(HUNDRED[guest.prompt], decoding_of(guest), guest.seed) for guest in party
        ]
        await alone.close()
        return list(zip(found, expected, strict=True))

    for found, expected in asyncio.run(everybody()):
        if found is not None:
            assert [(c.ids, c.finish) for c in found] == [(c.ids, c.finish) for c in expected]
            assert [c.logprob for c in found] == pytest.approx([c.logprob for c in expected], abs=1e-4)


async def test_a_second_turn_reads_only_what_is_new() -> None:
    engine, fresh = new_engine(keep_bytes=10_000_000), new_engine()
    decoding = DecodingConfig(method="sample", max_new_tokens=NEW, num_candidates=4)
    first = Prompt((), HUNDRED[0].ids[:40])
    await engine.generate(first, decoding, 1)
    second = Prompt((), (*first.ids, 5, 6, 7, END, 9, 10, END))

    found = await engine.generate(second, decoding, 2)

    expected = await fresh.generate(second, decoding, 2)
    assert [c.ids for c in found] == [c.ids for c in expected]
    assert engine.stats.reused == len(first.ids)
    assert engine.stats.prefilled == len(second.ids)
    await engine.close()
    await fresh.close()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
async def test_log_probabilities_are_those_of_the_model(dtype: torch.dtype) -> None:
    engine = ModelEngine(gpt2_from_transformers(MODEL, torch.device("cpu"), dtype), ENCODER)
    decoding = DecodingConfig(method="sample", max_new_tokens=NEW, num_candidates=4)
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2

    for prompt in HUNDRED[:10]:
        for candidate in await engine.generate(prompt, decoding, 0):
            said = (*candidate.ids, END) if candidate.finish == "stop" else candidate.ids
            with torch.inference_mode():
                logits = MODEL(torch.tensor([[*prompt.ids, *said]])).logits[0].log_softmax(-1)
            each = [float(logits[len(prompt.ids) - 1 + at, token]) for at, token in enumerate(said)]
            assert candidate.logprob == pytest.approx(sum(each), abs=tolerance * len(said))
            [scored] = await engine.score([Span(prompt.ids, said)])
            assert scored == pytest.approx(sum(each), abs=tolerance * len(said))
    await engine.close()
