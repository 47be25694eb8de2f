"""Promises of the fakes."""

import pytest
import torch

from brain.config import DecodingConfig
from brain.dialogue import Candidate, Prompt
from brain.errors import EngineBusy, EngineClosed
from brain.protocols import Engine, Span
from brain.testing import ScriptedEngine, candidate_from_text, tiny_encoder, tiny_gpt2

ENCODER = tiny_encoder()
PROMPT = Prompt((), (1, 2, 0))


async def test_a_scripted_engine_says_what_it_is_told_in_order() -> None:
    cut = Candidate("and then", (5, 6), -1.0, "length")
    engine: Engine = ScriptedEngine(ENCODER, ["hi", cut], ["bye"])

    first = await engine.generate(PROMPT, DecodingConfig(), 1)
    second = await engine.generate(PROMPT, DecodingConfig(), 2)

    assert first == [candidate_from_text("hi", ENCODER), cut]
    assert [candidate.text for candidate in second] == ["bye"]


async def test_a_scripted_engine_records_what_it_was_asked() -> None:
    engine = ScriptedEngine(ENCODER, ["hi"], score_span=lambda span: -0.5 * len(span.context))
    decoding, span = DecodingConfig(method="greedy"), Span((1, 2), (3,))

    await engine.generate(PROMPT, decoding, 7)

    assert await engine.score([span]) == [-1.0]
    assert (engine.prompts, engine.decodings, engine.seeds, engine.spans) == (
        [PROMPT],
        [decoding],
        [7],
        [span],
    )


async def test_a_scripted_engine_can_fail_run_out_and_close() -> None:
    engine = ScriptedEngine(ENCODER, EngineBusy("full"))
    engine.enqueue("later")

    with pytest.raises(EngineBusy):
        await engine.generate(PROMPT, DecodingConfig(), 0)
    assert (await engine.generate(PROMPT, DecodingConfig(), 0))[0].text == "later"
    with pytest.raises(AssertionError, match="call 3"):
        await engine.generate(PROMPT, DecodingConfig(), 0)
    await engine.close()
    with pytest.raises(EngineClosed):
        await engine.score([])


def test_the_tiny_tokenizer_encodes_any_text() -> None:
    text = "hello, schöne 世界 🎈"

    assert ENCODER.decode(ENCODER.encode_turn(text)) == text
    assert ENCODER.vocab_size == 300


def test_the_tiny_model_is_the_same_each_time_and_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)

    first, again = tiny_gpt2(ENCODER), tiny_gpt2(ENCODER)

    assert torch.rand(1) == expected
    assert first.config.n_positions == 64
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(tiny_gpt2(ENCODER, seed=1).transformer.wte.weight, first.transformer.wte.weight)
