"""Promises of decoding in batches: the same as alone, and as the model would say step by step."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import pytest
import torch

from brain.config import DecodingConfig
from brain.dialogue import Candidate, Prompt
from brain.engine.causal import CausalModel
from brain.engine.engine import ModelEngine
from brain.engine.gpt2 import gpt2_from_transformers
from brain.engine.model import Model
from brain.protocols import Span
from brain.testing import SENTENCES, tiny_encoder, tiny_gpt2

ENCODER = tiny_encoder()
END = ENCODER.end_id
MODEL = tiny_gpt2(ENCODER)
PROMPTS = [
    Prompt(
        (), tuple(token for text in SENTENCES[at : at + 1 + at % 2] for token in ENCODER.encode_turn(text))
    )
    for at in range(len(SENTENCES))
]
PROMPT = PROMPTS[0]

Settings = dict[str, Any]
TWELVE: list[Settings] = [
    {"method": "greedy"},
    {"method": "sample"},
    {"method": "mmi", "num_candidates": 5, "temperature": 0.7},
    {"method": "beam"},
    {"method": "sample", "top_k": 0, "top_p": 0.8},
    {"method": "beam", "num_beams": 3, "length_penalty": 1.0, "num_best": 3},
    {"method": "sample", "repetition_penalty": 1.4, "num_candidates": 3},
    {"method": "greedy", "min_new_tokens": 9, "repetition_penalty": 1.2},
    {"method": "sample", "max_new_tokens": 3, "no_repeat_ngram": 1},
    {"method": "beam", "num_beams": 1, "repetition_penalty": 2.0, "max_new_tokens": 5},
    {"method": "mmi", "top_k": 40, "top_p": 0.95, "min_new_tokens": 0, "no_repeat_ngram": 0},
    {"method": "sample", "temperature": 3.0, "num_candidates": 1},
]


def ours(has_fixed_shapes: bool = False) -> Model:
    return gpt2_from_transformers(
        MODEL, torch.device("cpu"), torch.float32, 10_000_000, has_fixed_shapes=has_fixed_shapes
    )


@pytest.fixture(params=["ours", "ours as on a GPU", "transformers"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[ModelEngine]:
    models = {
        "ours": ours,
        "ours as on a GPU": partial(ours, True),
        "transformers": partial(CausalModel, MODEL),
    }
    engine = ModelEngine(models[request.param](), ENCODER)
    yield engine
    await engine.close()


def config(**overrides: Any) -> DecodingConfig:
    return DecodingConfig(max_new_tokens=12).merge(overrides, "test")


@torch.inference_mode()
def logprobs_after(ids: Sequence[int]) -> torch.Tensor:
    return MODEL(torch.tensor([list(ids)])).logits[0, -1].log_softmax(-1)


def logprob_alone(prompt: Prompt, candidate: Candidate) -> float:
    """The slow way: one forward pass per token, without cache or batch."""
    spoken = [*candidate.ids, END] if candidate.finish == "stop" else list(candidate.ids)
    before = [[*prompt.ids, *spoken[:at]] for at in range(len(spoken))]
    return sum(float(logprobs_after(ids)[token]) for ids, token in zip(before, spoken, strict=True))


async def test_a_dozen_requests_of_all_kinds_say_the_same_alone_and_together(engine: ModelEngine) -> None:
    requests = [(PROMPTS[n % 10], config(**settings), 100 + n) for n, settings in enumerate(TWELVE)]
    alone = [await engine.generate(*request) for request in requests]

    together = await asyncio.gather(*(engine.generate(*request) for request in requests))

    for single, batched in zip(alone, together, strict=True):
        assert [(c.text, c.ids, c.finish) for c in batched] == [(c.text, c.ids, c.finish) for c in single]
        assert [c.logprob for c in batched] == pytest.approx([c.logprob for c in single], abs=1e-4)


@pytest.mark.parametrize("settings", TWELVE, ids=lambda settings: "-".join(map(str, settings.values())))
async def test_the_log_probability_is_the_models_own(engine: ModelEngine, settings: Settings) -> None:
    candidates = await engine.generate(PROMPT, config(**settings), 5)

    expected = [logprob_alone(PROMPT, candidate) for candidate in candidates]
    assert [candidate.logprob for candidate in candidates] == pytest.approx(expected, abs=1e-4)


async def test_the_number_of_candidates_is_as_asked(engine: ModelEngine) -> None:
    counts = {
        method: len(
            await engine.generate(PROMPT, config(method=method, num_candidates=6, num_beams=5, num_best=2), 0)
        )
        for method in ("greedy", "sample", "mmi", "beam")
    }

    assert counts == {"greedy": 1, "sample": 6, "mmi": 6, "beam": 2}


async def test_lengths_are_kept(engine: ModelEngine) -> None:
    candidates = await engine.generate(
        PROMPT, config(method="sample", min_new_tokens=3, num_candidates=64), 1
    )

    assert {candidate.finish for candidate in candidates} == {"stop", "length"}
    for candidate in candidates:
        assert END not in candidate.ids
        assert 3 <= len(candidate.ids) <= 12
        assert (len(candidate.ids) == 12) == (candidate.finish == "length")
        assert candidate.text == ENCODER.decode(candidate.ids)


async def test_the_same_seed_repeats_and_another_does_not(engine: ModelEngine) -> None:
    first, again, other = [await engine.generate(PROMPT, config(method="sample"), seed) for seed in (1, 1, 2)]

    assert [(c.text, c.finish) for c in first] == [(c.text, c.finish) for c in again]
    assert [c.logprob for c in first] == pytest.approx([c.logprob for c in again], abs=1e-4)
    assert first != other


async def test_greedy_takes_the_likeliest_token_each_time(engine: ModelEngine) -> None:
    [candidate] = await engine.generate(
        PROMPT, config(method="greedy", min_new_tokens=0, no_repeat_ngram=0), 0
    )

    ids: list[int] = []
    while len(ids) < 12 and (token := int(logprobs_after([*PROMPT.ids, *ids]).argmax())) != END:
        ids.append(token)
    assert candidate.ids == tuple(ids)


async def test_no_repeated_ngram_within_the_response(engine: ModelEngine) -> None:
    decoding = config(method="sample", no_repeat_ngram=2, top_k=3, temperature=0.5, min_new_tokens=10)

    for candidate in await engine.generate(PROMPT, decoding, 3):
        pairs = list(zip(candidate.ids, candidate.ids[1:], strict=False))
        assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
async def test_beam_search_finds_what_transformers_finds(engine: ModelEngine, length_penalty: float) -> None:
    overrides = {"num_beams": 4, "num_best": 2, "length_penalty": length_penalty, "min_new_tokens": 0}
    decoding = config(method="beam", no_repeat_ngram=0, **overrides)

    for prompt in PROMPTS:
        found = await engine.generate(prompt, decoding, 0)

        output = MODEL.generate(
            torch.tensor([prompt.ids]),
            attention_mask=torch.ones(1, len(prompt.ids), dtype=torch.int64),
            num_beams=4,
            num_return_sequences=2,
            length_penalty=length_penalty,
            max_new_tokens=12,
            early_stopping="never",
            do_sample=False,
            eos_token_id=END,
            pad_token_id=END,
            output_scores=True,
            return_dict_in_generate=True,
        )
        assert [c.scores["beam"] for c in found] == pytest.approx(output.sequences_scores.tolist(), abs=1e-4)
        theirs = [row[len(prompt.ids) :] for row in output.sequences.tolist()]
        assert [c.ids for c in found] == [tuple(t for t in row if t != END) for row in theirs]


@pytest.mark.parametrize("is_causal", [False, True])
async def test_tokens_only_the_model_has_are_never_said(is_causal: bool) -> None:
    class Small:
        end_id, vocab_size = END, 20
        encode_turn, encode, encode_reversed, decode = (
            ENCODER.encode_turn,
            ENCODER.encode,
            ENCODER.encode_reversed,
            ENCODER.decode,
        )

    engine = ModelEngine(CausalModel(MODEL) if is_causal else ours(), Small())
    candidates = await engine.generate(PROMPT, config(method="sample", top_k=0, num_candidates=32), 0)
    beams = await engine.generate(PROMPT, config(method="beam"), 0)
    await engine.close()

    assert all(token < 20 for candidate in (*candidates, *beams) for token in candidate.ids)
    assert candidates[0].logprob == pytest.approx(logprob_alone(PROMPT, candidates[0]), abs=1e-4)
    assert beams[0].logprob == pytest.approx(logprob_alone(PROMPT, beams[0]), abs=1e-4)


async def test_scores_in_a_batch_are_those_of_the_model_one_by_one(engine: ModelEngine) -> None:
    chance = random.Random(0)
    spans = [
        Span(
            tuple(chance.choices(range(300), k=chance.randint(1, 30))),
            tuple(chance.choices(range(300), k=chance.randint(1, 30))),
        )
        for _ in range(40)
    ]

    halves = await asyncio.gather(engine.score(spans[:25]), engine.score(spans[25:]))

    expected = [
        sum(float(logprobs_after([*s.context, *s.target[:at]])[token]) for at, token in enumerate(s.target))
        for s in spans
    ]
    assert [*halves[0], *halves[1]] == pytest.approx(expected, abs=1e-3)


async def test_a_generated_candidate_scores_what_the_engine_said(engine: ModelEngine) -> None:
    candidates = await engine.generate(PROMPT, config(method="sample"), 4)

    spans = [Span(PROMPT.ids, (*c.ids, END) if c.finish == "stop" else c.ids) for c in candidates]
    assert await engine.score(spans) == pytest.approx([c.logprob for c in candidates], abs=1e-3)


def test_scoring_is_cut_into_chunks_of_like_length_that_fit_in_memory() -> None:
    model = CausalModel(MODEL)
    model.vocab_size = 2**16  # as large as a chunk may be in 256 positions
    spans = [Span((1,) * (1 + n % 30), (2,) * (1 + n % 7)) for n in range(200)]

    chunks = list(model.score_chunks(spans))

    assert sorted(index for chunk in chunks for index in chunk) == list(range(200))
    assert len(chunks) > 5
    lengths = [len(spans[index].context) + len(spans[index].target) for chunk in chunks for index in chunk]
    assert lengths == sorted(lengths)
    for chunk in chunks:
        widest = max(len(spans[index].context) + len(spans[index].target) for index in chunk)
        start = min(len(spans[index].context) for index in chunk) - 1
        assert len(chunk) * (widest - start) <= 256
