"""Promises of MMI: spans, scores and choices as the recorded programs have them, or as the paper says."""

import json
from pathlib import Path
from typing import Any

import pytest

from brain.config import DecodingConfig
from brain.decoding.mmi import (
    MutualScore,
    choose,
    interpolate,
    mutual_score,
    selection_probs,
    source_spans,
)
from brain.dialogue import Candidate, Turn
from brain.errors import PromptError
from brain.history import fit
from brain.protocols import Span

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "mmi"
RECORDED: dict[str, Any] = json.loads((GOLDEN / "scores_tiny.json").read_text())
TRUNCATED: list[dict[str, Any]] = json.loads((GOLDEN / "lholten_truncation.json").read_text())


class Numbers:
    """Turns of numbers: each word is its own token id."""

    vocab_size = 67
    end_id = RECORDED["eos"]

    def encode_turn(self, text: str) -> list[int]:
        return [*map(int, text.split()), self.end_id]

    def encode(self, turns: Any) -> list[int]:
        return [token for turn in turns for token in self.encode_turn(turn.text)]

    def encode_reversed(self, turns: Any) -> list[int]:
        return self.encode(turns[::-1])

    def decode(self, ids: Any) -> str:
        return " ".join(map(str, ids))


NUMBERS = Numbers()
HISTORY = [Turn(NUMBERS.decode(ids)) for ids in RECORDED["history"]]


@pytest.fixture(scope="module")
def reverse_model() -> Any:
    import numpy as np
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from brain.engine.causal import CausalModel

    config = GPT2Config(
        vocab_size=67, n_positions=32, n_embd=16, n_layer=2, n_head=4, bos_token_id=66, eos_token_id=66
    )
    model = GPT2LMHeadModel(config)
    state = {
        name: torch.from_numpy(value)
        for name, value in np.load(GOLDEN / "tiny_gpt2_state.npz").items()
        if name.startswith("transformer.") and not name.endswith(".attn.bias")
    }
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    return CausalModel(model)


def recorded_scores(field: str) -> list[float]:
    return [score[field] for score in RECORDED["scores"]]


def test_scores_of_the_whole_history_are_those_recorded(reverse_model: Any) -> None:
    spans = source_spans(HISTORY, RECORDED["hypotheses"], NUMBERS, 32)

    logprobs = reverse_model.score(spans)

    assert [len(span.target) for span in spans] == recorded_scores("n_full")
    assert logprobs == pytest.approx(recorded_scores("sum_logp_full"), rel=1e-4)
    per_token = [logprob / len(span.target) for logprob, span in zip(logprobs, spans, strict=True)]
    assert per_token == pytest.approx(recorded_scores("lholten_full_history"), rel=1e-4, abs=1e-5)


def test_scores_of_the_last_message_are_those_recorded(reverse_model: Any) -> None:
    spans = source_spans(HISTORY[-1:], RECORDED["hypotheses"], NUMBERS, 32)

    logprobs = reverse_model.score(spans)

    assert logprobs == pytest.approx(recorded_scores("sum_logp_last"), rel=1e-4)
    per_token = [logprob / len(span.target) for logprob, span in zip(logprobs, spans, strict=True)]
    assert per_token == pytest.approx(recorded_scores("lholten_last_message"), rel=1e-4, abs=1e-5)


def test_the_paper_and_its_two_variants_choose_as_recorded(reverse_model: Any) -> None:
    def chosen(turns: list[Turn]) -> int:
        spans = source_spans(turns, RECORDED["hypotheses"], NUMBERS, 32)
        scores = [
            MutualScore(0.0, 1, score, len(span.target))
            for span, score in zip(spans, reverse_model.score(spans), strict=True)
        ]
        return choose(scores, DecodingConfig(), seed=0)

    assert chosen(HISTORY) == RECORDED["argmax"]["full"]
    assert chosen(HISTORY[-1:]) == RECORDED["argmax"]["lholten_last"]


def test_a_loss_that_counts_the_response_itself_is_another_rule(reverse_model: Any) -> None:
    # GPT2-chitchat averages over everything after its [CLS], the response included; ours never does.
    cls = RECORDED["scores"][0]["chitchat_cls_id"]
    spans = source_spans(HISTORY, RECORDED["hypotheses"], NUMBERS, 32)
    whole = [Span((cls,), (*span.context, *span.target)) for span in spans]

    losses = [
        -score / len(span.target) for span, score in zip(whole, reverse_model.score(whole), strict=True)
    ]

    assert losses == pytest.approx(recorded_scores("chitchat_loss"), rel=1e-4)
    assert losses.index(min(losses)) == RECORDED["argmax"]["chitchat_argmin"]


def test_the_temperature_gives_the_recorded_probabilities() -> None:
    probs = selection_probs(recorded_scores("lholten_last_message"), 0.5)

    assert probs == pytest.approx(RECORDED["lholten_selection_probs_temp0.5"], rel=1e-4)


def test_drawing_follows_those_probabilities_and_repeats_with_its_seed() -> None:
    scores = [MutualScore(0.0, 1, value, 1) for value in recorded_scores("lholten_last_message")]
    decoding = DecodingConfig(mmi_temperature=0.5)

    drawn = [choose(scores, decoding, seed) for seed in range(4000)]

    shares = [drawn.count(index) / 4000 for index in range(4)]
    assert shares == pytest.approx(RECORDED["lholten_selection_probs_temp0.5"], abs=0.03)
    assert drawn[:20] == [choose(scores, decoding, seed) for seed in range(20)]


@pytest.mark.parametrize("case", [case for case in TRUNCATED if 0 < case["message_lens"][-1] < case["limit"]])
def test_history_is_cut_as_recorded_where_the_rules_are_the_same(case: dict[str, Any]) -> None:
    turns = [Turn(" ".join(["1"] * length)) for length in case["message_lens"]]

    prompt = fit(turns, NUMBERS, max_turns=99, max_tokens=case["limit"])

    assert [len(NUMBERS.encode_turn(turn.text)) for turn in prompt.turns] == case["kept_lens_with_eos"]
    assert len(prompt.ids) == sum(case["kept_lens_with_eos"])


@pytest.mark.parametrize("case", [case for case in TRUNCATED if case["message_lens"][-1] >= case["limit"]])
def test_a_newest_message_too_long_by_itself_is_cut_where_the_original_kept_it_whole(
    case: dict[str, Any],
) -> None:
    # The original's slice `[-0:]` keeps everything, so its input outgrows the model; ours keeps the end.
    newest = case["message_lens"][-1]

    prompt = fit([Turn(" ".join(["1"] * newest))], NUMBERS, max_turns=99, max_tokens=case["limit"])

    assert case["kept_lens_with_eos"] == [newest + 1]
    assert prompt.is_cut
    assert len(prompt.ids) == case["limit"]


def test_an_empty_history_is_refused_where_the_original_went_on_from_a_lone_end_token() -> None:
    assert TRUNCATED[-1]["kept_lens_with_eos"] == [1]

    with pytest.raises(PromptError, match="nothing was said"):
        fit([Turn("")], NUMBERS, max_turns=99, max_tokens=64)


def test_spans_put_the_response_first_and_the_newest_turn_next() -> None:
    spans = source_spans([Turn("1 2"), Turn("3")], [(7, 8), (9,)], NUMBERS, 32)

    assert spans == [Span((7, 8, 66), (3, 66, 1, 2, 66)), Span((9, 66), (3, 66, 1, 2, 66))]


def test_the_source_is_cut_for_the_longest_response_and_the_same_for_all() -> None:
    turns = [Turn("1 1 1"), Turn("2 2"), Turn("3")]  # 4 + 3 + 2 tokens with end-of-text

    spans = source_spans(turns, [(7,), (8, 8, 8)], NUMBERS, 10)  # 10 - 4 leave room for 6

    assert {span.target for span in spans} == {(3, 66, 2, 2, 66)}


def test_a_newest_turn_too_long_for_the_source_keeps_its_end() -> None:
    spans = source_spans([Turn("1"), Turn("2 3 4 5 6")], [(7,)], NUMBERS, 5)

    assert spans == [Span((7, 66), (5, 6, 66))]


def test_a_response_that_fills_the_model_leaves_no_room_for_the_source() -> None:
    with pytest.raises(PromptError):
        source_spans([Turn("1")], [(7,) * 31], NUMBERS, 32)


def test_lambda_weighs_both_directions_per_token() -> None:
    candidate = Candidate("x", (1, 2, 3), -8.0, "stop")
    score = mutual_score(candidate, Span((1, 2, 3, 66), (5, 66)), -3.0)

    assert score == MutualScore(-8.0, 4, -3.0, 2)
    assert interpolate(score, 0.0) == -1.5
    assert interpolate(score, 1.0) == -2.0
    assert interpolate(score, 0.25) == pytest.approx(0.25 * -2.0 + 0.75 * -1.5)


def test_lambda_one_prefers_the_likelier_response_and_zero_the_telling_one() -> None:
    bland, telling = MutualScore(-2.0, 2, -9.0, 3), MutualScore(-6.0, 2, -3.0, 3)

    assert choose([bland, telling], DecodingConfig(mmi_lambda=1.0), seed=0) == 0
    assert choose([bland, telling], DecodingConfig(mmi_lambda=0.0), seed=0) == 1
