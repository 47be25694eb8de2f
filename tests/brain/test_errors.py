import pytest
from pydantic import ValidationError

from brain import errors
from brain.config import BrainConfig, ChecksConfig, DecodingConfig
from brain.errors import BrainError, ConfigError, DataError, sentence_from_validation


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"modle": "x"}, "config.toml: unknown key 'modle', did you mean 'model'?"),
        ({"decoding": {"topp": 1}}, "config.toml: unknown key 'decoding.topp', did you mean 'top_p'?"),
        (
            {"checks": {"max_draw": 1}},
            "config.toml: unknown key 'checks.max_draw', did you mean 'max_draws'?",
        ),
        (
            {"decoding": {"top_k": 10**30}},
            "config.toml: decoding.top_k: input should be less than or equal to 2147483647",
        ),
        (
            {"decoding": {"no_repeat_ngram": 10**30}},
            "config.toml: decoding.no_repeat_ngram: input should be less than or equal to 65536",
        ),
        (
            {"decoding": {"min_new_tokens": 2**63}},
            "config.toml: decoding.min_new_tokens: input should be less than or equal to 65536",
        ),
        ({"checks": {"ngram": 10**9}}, "config.toml: checks.ngram: input should be less than"),
        ({"max_turns": 0}, "config.toml: max_turns: input should be greater than or equal to 1"),
        (
            {"decoding": {"method": "best"}},
            "config.toml: decoding.method: input should be 'greedy', 'sample'",
        ),
        (["model"], "config.toml: value: input should be"),
    ],
)
def test_a_bad_option_is_named_with_its_place_and_the_nearest_known_one(
    values: object, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        BrainConfig.parse(values, "config.toml")

    assert str(caught.value).startswith(sentence)


def test_a_key_like_no_other_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'zzz', known keys: blocked_words, .*ngram"):
        ChecksConfig.parse({"zzz": 1}, "checks")


def test_the_sentence_stays_one_line() -> None:
    with pytest.raises(ValidationError) as caught:
        DecodingConfig.model_validate({"top_k": "many", "top_p": "most"})

    assert "\n" not in sentence_from_validation(caught.value, DecodingConfig, "here")


def test_merging_overrides_validates_them_and_keeps_the_rest() -> None:
    base = DecodingConfig(top_k=3)

    assert base.merge({"top_p": 0.5}, "persona") == DecodingConfig(top_k=3, top_p=0.5)
    with pytest.raises(ConfigError, match="persona: unknown key 'topp'"):
        base.merge({"topp": 0.5}, "persona")


def test_options_cannot_be_changed_after_the_fact() -> None:
    with pytest.raises(ValidationError):
        DecodingConfig().top_k = 3  # type: ignore[misc]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_temperature_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="temperature"):
        DecodingConfig.parse({"temperature": value}, "flag")


def test_a_data_error_names_file_and_line_and_keeps_them() -> None:
    error = DataError("talk.jsonl", 41, "not valid JSON")

    assert str(error) == "talk.jsonl line 41: not valid JSON"
    assert (error.path, error.line_no, error.reason) == ("talk.jsonl", 41, "not valid JSON")
    assert str(DataError("talk.jsonl", 0, "empty")) == "talk.jsonl: empty"


def test_everything_the_brain_raises_on_purpose_is_a_brain_error() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and kind.__module__ == errors.__name__
    ]

    assert len(kinds) == 12
    assert all(issubclass(kind, BrainError) for kind in kinds)
