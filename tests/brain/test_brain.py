from collections.abc import Sequence
from dataclasses import replace
from threading import Thread, current_thread
from typing import Any

import pytest

from brain.brain import Brain, distinct, draw_settings, fallback_line
from brain.config import BrainConfig, ChecksConfig, DecodingConfig, Method
from brain.dialogue import Candidate, Conversation, Reply, Turn
from brain.encoding import train_encoder
from brain.errors import ConfigError, EngineBusy, EngineClosed, PromptError
from brain.persona import Persona
from brain.protocols import Span
from brain.testing import ScriptedEngine, candidate_from_text

ENCODER = train_encoder([], vocab_size=257)  # one token per byte, so "abc" is four with its end
OTHER = train_encoder(["fine thanks tea book sea"], vocab_size=270)
ODILE = Persona("Odile", "lighthouse", fallback=("Go on.", "Say more?"), decoding={"temperature": 0.5})
CUT = Candidate("I was about to", (1, 2, 3), -3.0, "length")


def said(*texts: str) -> Conversation:
    return Conversation(tuple(Turn(text) for text in texts))


def brain(
    engine: ScriptedEngine,
    reverse: ScriptedEngine | None = None,
    method: Method = "sample",
    max_turns: int = 9,
) -> Brain:
    decoding = DecodingConfig(method=method, max_new_tokens=10)
    return Brain(engine, BrainConfig(decoding=decoding, max_turns=max_turns), reverse)


def likelier(text: str, logprob: float) -> Candidate:
    return replace(candidate_from_text(text, ENCODER), logprob=logprob)


@pytest.mark.parametrize("method", ["greedy", "sample"])
async def test_the_first_candidate_that_may_be_said_is_said(method: Method) -> None:
    engine = ScriptedEngine(ENCODER, ["", "fine thanks", "so so"])

    reply = await brain(engine, method=method).reply(said("how are you?"))

    assert (reply.text, reply.chosen, reply.draws) == ("fine thanks", 1, 1)
    assert [candidate.refused for candidate in reply.candidates] == ["empty", None, None]


@pytest.mark.parametrize(
    ("greedy", "said_text"), [("so it goes", "fine"), ("oh", "oh")], ids=["less likely", "likelier"]
)
async def test_beam_search_says_nothing_less_likely_than_greedy(greedy: str, said_text: str) -> None:
    engine = ScriptedEngine(ENCODER, ["", "fine", "so so"], [greedy])  # a nat for each token

    reply = await brain(engine, method="beam").reply(said("how are you?"))

    assert [decoding.method for decoding in engine.decodings] == ["beam", "greedy"]
    assert [candidate.text for candidate in reply.candidates] == ["", "fine", "so so", greedy]
    assert (reply.text, reply.draws) == (said_text, 1)


async def test_a_loop_is_cut_back_to_whole_sentences_and_scored_anew() -> None:
    loop = "He is good. Quite good! He is good. Quite good! He is good."
    engine = ScriptedEngine(ENCODER, [loop])

    reply = await brain(engine, method="greedy").reply(said("how is he?"))

    assert (reply.text, reply.draws) == ("He is good. Quite good!", 1)
    kept = reply.candidates[reply.chosen]
    assert (reply.candidates[0].refused, kept.refused, kept.finish) == ("loop", None, "trimmed")
    assert kept.logprob == -kept.num_tokens == -len(ENCODER.encode_turn("He is good. Quite good!"))
    assert engine.spans == [Span(reply.prompt.ids, tuple(ENCODER.encode_turn(reply.text)))]


async def test_what_echoes_is_not_trimmed() -> None:
    engine = ScriptedEngine(ENCODER, ["Hello."], ["Well, hello to you."])

    reply = await brain(engine, method="greedy").reply(said("hello"))

    assert (reply.text, reply.draws) == ("Well, hello to you.", 2)


async def test_the_engine_gets_the_history_that_leaves_room_for_the_response() -> None:
    engine = ScriptedEngine(ENCODER, ["fine"], max_positions=20)  # 10 of them for the response

    reply = await brain(engine).reply(said("too old", "hello", "and"))

    assert engine.prompts[0].turns == said("hello", "and").turns
    assert reply.prompt == engine.prompts[0]


async def test_max_turns_and_max_history_tokens_bound_the_history() -> None:
    by_turns = ScriptedEngine(ENCODER, ["fine"])
    by_tokens = ScriptedEngine(ENCODER, ["fine"])

    await brain(by_turns, max_turns=1).reply(said("a", "b", "c"))
    await Brain(by_tokens, BrainConfig(max_history_tokens=4)).reply(said("a", "b", "c"))

    assert by_turns.prompts[0].turns == said("c").turns
    assert by_tokens.prompts[0].turns == said("b", "c").turns


async def test_a_newest_turn_that_is_too_long_is_cut_and_the_prompt_says_so() -> None:
    reply = await brain(ScriptedEngine(ENCODER, ["fine"], max_positions=20)).reply(said("x" * 50))

    assert reply.prompt.is_cut
    assert len(reply.prompt.ids) == 10


class WatchedEncoder:
    """Records the threads in which it is used, and the length of the longest text."""

    def __init__(self) -> None:
        self.end_id, self.vocab_size, self.decode = ENCODER.end_id, ENCODER.vocab_size, ENCODER.decode
        self.encode, self.encode_reversed = ENCODER.encode, ENCODER.encode_reversed
        self.threads: set[Thread] = set()
        self.longest = 0

    def encode_turn(self, text: str) -> list[int]:
        self.threads.add(current_thread())
        self.longest = max(self.longest, len(text))
        return ENCODER.encode_turn(text)


async def test_a_very_long_turn_is_read_beside_the_loop_and_only_its_end() -> None:
    encoder = WatchedEncoder()
    answer = candidate_from_text("fine", ENCODER)

    reply = await brain(ScriptedEngine(encoder, [answer])).reply(said("x " * 200_000 + "how are you?  "))

    assert current_thread() not in encoder.threads
    assert encoder.longest < 20_000
    assert reply.prompt.is_cut
    assert reply.prompt.turns[0].text.endswith("how are you?")


async def test_a_very_long_talk_is_scored_beside_the_loop() -> None:
    encoder = WatchedEncoder()
    engine = ScriptedEngine(encoder)

    await Brain(engine, BrainConfig(), engine).score(said("x " * 10_000, "hello").turns, "fine")

    assert current_thread() not in encoder.threads


async def test_the_same_text_in_another_case_is_one_candidate() -> None:
    engine = ScriptedEngine(ENCODER, ["Fine thanks", "fine THANKS", "so so"])

    reply = await brain(engine).reply(said("how are you?"))

    assert [candidate.text for candidate in reply.candidates] == ["Fine thanks", "so so"]


def test_of_two_equal_texts_the_one_that_may_be_said_is_kept() -> None:
    refused, allowed = (candidate_from_text(text, ENCODER) for text in ("Fine", "fine"))

    assert distinct([replace(refused, refused="cut off"), allowed]) == [allowed]


async def test_when_all_are_refused_more_are_drawn_with_another_seed() -> None:
    engine = ScriptedEngine(ENCODER, ["", CUT], ["fine thanks"])

    reply = await brain(engine).reply(said("how are you?"), seed=3)

    assert (reply.text, reply.chosen, reply.draws) == ("fine thanks", 2, 2)
    assert engine.seeds[0] == 3
    assert engine.seeds[1] != 3


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_after_greedy_and_beam_search_the_next_draw_samples_widely(method: Method) -> None:
    decoding, _ = draw_settings(DecodingConfig(method=method, temperature=0.1, top_k=1), seed=3, draw=1)

    assert (decoding.method, decoding.temperature, decoding.top_k) == ("sample", 1.0, 40)


def test_every_draw_has_its_own_seed_and_the_first_has_the_one_asked_for() -> None:
    seeds = [draw_settings(DecodingConfig(), seed=3, draw=draw)[1] for draw in range(8)]

    assert seeds[0] == 3
    assert len(set(seeds)) == 8


async def test_when_every_draw_fails_a_fallback_line_of_the_persona_is_said() -> None:
    engine = ScriptedEngine(ENCODER, [""], [""])

    reply = await brain(engine).reply(said("how are you?"), persona=ODILE)

    assert reply.text in ODILE.fallback
    assert (reply.chosen, reply.draws) == (-1, 2)


async def test_max_draws_bounds_how_often_the_engine_is_asked() -> None:
    engine = ScriptedEngine(ENCODER, [""], ["never asked for"])

    reply = await Brain(engine, BrainConfig(checks=ChecksConfig(max_draws=1))).reply(said("hi"))

    assert (reply.chosen, len(engine.prompts)) == (-1, 1)


@pytest.mark.parametrize("seed", range(5))
def test_a_fallback_line_is_not_said_twice_while_another_is_left(seed: int) -> None:
    heard = said("hi", "go on.", "what?")

    assert fallback_line(ODILE, heard, seed) == "Say more?"
    assert fallback_line(ODILE, said("hi", "Go on.", "what?", "Say more?", "why?"), seed) in ODILE.fallback


async def test_checks_see_the_conversation_and_not_only_the_prompt() -> None:
    engine = ScriptedEngine(ENCODER, ["I like the sea", "fine"])

    reply = await brain(engine, max_turns=1).reply(said("hello", "i like the sea!", "and?"))

    assert (reply.candidates[0].refused, reply.text) == ("echo of itself", "fine")


def source_contains(wanted: str) -> ScriptedEngine:
    """A reverse model: the source is likely after this text, else the less so the longer the response is."""

    def score(span: Span) -> float:
        return -1.0 if wanted in OTHER.decode(span.context) else -float(len(span.context))

    return ScriptedEngine(OTHER, score_span=score)


async def test_mmi_says_the_candidate_after_which_the_source_is_likeliest() -> None:
    engine = ScriptedEngine(ENCODER, ["fine", "i like tea too", "so so"])

    reply = await brain(engine, source_contains("tea"), "mmi").reply(said("tea?"))

    assert (reply.text, reply.chosen) == ("i like tea too", 1)
    assert reply.candidates[1].scores == {"mmi": -1.0}


async def test_mmi_scores_all_that_may_be_said_in_one_call_and_no_others() -> None:
    engine = ScriptedEngine(ENCODER, ["", "fine", CUT, "so so"])
    reverse = CountingEngine(OTHER)

    reply = await brain(engine, reverse, "mmi").reply(said("hello", "hi", "how are you?"))

    source = tuple(OTHER.encode_reversed(said("hello", "hi", "how are you?").turns))
    assert reverse.calls == 1
    assert reverse.spans == [Span(tuple(OTHER.encode_turn(text)), source) for text in ("fine", "so so")]
    assert [set(candidate.scores) for candidate in reply.candidates] == [set(), {"mmi"}, set(), {"mmi"}]


class CountingEngine(ScriptedEngine):
    calls = 0

    async def score(self, spans: Sequence[Span], **options: Any) -> list[float]:
        self.calls += 1
        return await super().score(spans, **options)


async def test_mmi_guesses_back_only_the_history_the_forward_model_saw() -> None:
    reverse = ScriptedEngine(OTHER)

    await brain(ScriptedEngine(ENCODER, ["fine"]), reverse, "mmi", max_turns=1).reply(
        said("old", "hi", "tea?")
    )

    assert reverse.spans[0].target == tuple(OTHER.encode_turn("tea?"))


async def test_mmi_without_a_reverse_model_says_the_likeliest_per_token() -> None:
    shorter, longer = likelier("fine", -4.0), likelier("fine thanks", -6.0)  # 5 and 12 tokens with their ends

    reply = await brain(ScriptedEngine(ENCODER, [shorter, longer]), method="mmi").reply(said("how are you?"))

    assert reply.text == "fine thanks"
    assert [candidate.scores["forward"] for candidate in reply.candidates] == [-0.8, -0.5]


async def test_the_reply_tells_the_seed_that_repeats_it() -> None:
    async def once(seed: int | None) -> tuple[Reply, ScriptedEngine]:
        engine = ScriptedEngine(ENCODER, [""], [""])
        return await brain(engine).reply(said("hi"), seed=seed), engine

    drawn, first = await once(None)
    again, second = await once(drawn.seed)

    assert replace(drawn, seconds=0.0) == replace(again, seconds=0.0)
    assert first.seeds == second.seeds


async def test_a_reply_that_could_never_end_is_refused_in_one_sentence() -> None:
    decoding = DecodingConfig(min_new_tokens=40, max_new_tokens=32)

    with pytest.raises(
        ConfigError, match="min_new_tokens 40 leaves no room for an end within max_new_tokens 32"
    ):
        await brain(ScriptedEngine(ENCODER, ["fine"])).reply(said("hi"), decoding=decoding)


async def test_settings_asked_for_go_before_the_personas_and_these_before_the_configuration() -> None:
    engine = ScriptedEngine(ENCODER, ["fine"], ["fine"], ["fine"])
    asked = DecodingConfig(method="sample", temperature=2.0)

    await brain(engine).reply(said("hi"))
    await brain(engine).reply(said("hi"), persona=ODILE)
    await brain(engine).reply(said("hi"), persona=ODILE, decoding=asked)

    assert [used.temperature for used in engine.decodings] == [1.25, 0.5, 2.0]
    assert [used.max_new_tokens for used in engine.decodings] == [10, 10, 32]


async def test_overrides_that_are_malformed_are_refused_naming_the_persona() -> None:
    odd = replace(ODILE, decoding={"topp": 1})

    with pytest.raises(ConfigError, match="persona 'lighthouse': unknown key 'topp'"):
        await brain(ScriptedEngine(ENCODER)).reply(said("hi"), persona=odd)


@pytest.mark.parametrize("conversation", [said(), said(""), said(" ", "\n")])
async def test_when_nothing_was_said_there_is_no_reply(conversation: Conversation) -> None:
    with pytest.raises(PromptError, match="nothing was said"):
        await brain(ScriptedEngine(ENCODER)).reply(conversation)


async def test_more_new_tokens_than_positions_are_refused() -> None:
    with pytest.raises(PromptError, match="max_new_tokens"):
        await brain(ScriptedEngine(ENCODER, max_positions=11)).reply(said("hi"))


async def test_errors_of_the_engine_reach_the_caller() -> None:
    with pytest.raises(EngineBusy):
        await brain(ScriptedEngine(ENCODER, EngineBusy("later"))).reply(said("hi"))


async def test_closing_closes_both_engines() -> None:
    engine, reverse = ScriptedEngine(ENCODER), ScriptedEngine(OTHER)
    thinking = brain(engine, reverse)

    await thinking.close()
    await thinking.close()

    assert engine.is_closed
    assert reverse.is_closed
    with pytest.raises(EngineClosed):
        await thinking.reply(said("hi"))


async def test_the_model_hears_the_greeting_before_a_new_chat() -> None:
    engine = ScriptedEngine(ENCODER, ["Yes."], ["Well."], ["Now."])
    odile = replace(ODILE, greeting="Come in.")

    for turns in (["hi"], ["hi", "Aye.", "so"], ["Come in.", "hi"]):
        await brain(engine).reply(said(*turns), persona=odile)

    heard = [[turn.text for turn in prompt.turns] for prompt in engine.prompts]
    assert heard == [["Come in.", "hi"], ["Come in.", "hi", "Aye.", "so"], ["Come in.", "hi"]]
    assert (await brain(ScriptedEngine(ENCODER, ["Aye."])).reply(said("hi"))).prompt.turns == said("hi").turns
