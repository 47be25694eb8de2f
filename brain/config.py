"""Options of the brain as values: unknown keys are refused, nothing is silently ignored."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from brain.errors import ConfigError, sentence_from_validation

Method = Literal["greedy", "sample", "beam", "mmi"]

_MAX_TOKENS = 65536  # more than any model here has positions
_FromZero = Annotated[int, Field(ge=0, le=2**31 - 1)]  # a larger one would overflow inside the model
_FromOne = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Options(BaseModel):
    """Base of all option values: frozen, strict about keys and about what is a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and kind is not bool and bool not in get_args(kind):
            raise ValueError(f"must not be {str(value).lower()}")
        return value

    @classmethod
    def parse(cls, values: object, where: str) -> Self:
        """Validate foreign data.

        Raises:
            ConfigError: one sentence that starts with `where` and names the key, and the nearest known one.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(sentence_from_validation(error, cls, where)) from error

    def merge(self, overrides: dict[str, Any], where: str) -> Self:
        """A copy with some keys replaced, validated again. Raises ConfigError as `parse` does."""
        return self.parse({**self.model_dump(), **overrides}, where)


class DecodingConfig(Options):
    """How one reply is decoded.

    Sources: top-k 10, 16 candidates, beam 10 and MMI from Zhang et al. 2020 (DialoGPT), section 3 and 4;
    top-p Holtzman et al. 2020; repetition penalty Keskar et al. 2019, section 4.1.
    """

    method: Method = "mmi"
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.25  # the paper: 1; top k cuts the tail anyway
    top_k: _FromZero = 10  # 0 = off; ties with the k-th logit survive
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0  # 0 or 1 = off
    repetition_penalty: Annotated[float, Field(ge=1, le=10)] = 1.0  # 1 = off
    no_repeat_ngram: Annotated[int, Field(ge=0, le=_MAX_TOKENS)] = 3  # within the response; 0 = off
    min_new_tokens: Annotated[int, Field(ge=0, le=_MAX_TOKENS)] = 2  # end-of-text is not among them
    max_new_tokens: Annotated[int, Field(ge=1, le=_MAX_TOKENS)] = 32
    num_candidates: Annotated[int, Field(ge=1, le=256)] = 16  # for sample and mmi; greedy has one
    num_beams: Annotated[int, Field(ge=1, le=256)] = 10
    num_best: Annotated[int, Field(ge=1, le=256)] = 4  # beam: hypotheses returned, at most num_beams
    length_penalty: Annotated[float, Field(ge=-10, le=10)] = (
        0.0  # beam: score = logprob / len**length_penalty
    )
    mmi_lambda: Annotated[float, Field(ge=0, le=1)] = (
        0.0  # share of the forward score per token; 0 = the paper
    )
    mmi_temperature: Annotated[float, Field(ge=0)] = 0.0  # 0 = lowest loss wins, as in the paper


class ChecksConfig(Options):
    """Which candidates are refused before one is chosen."""

    max_repeats: _FromOne = 1  # how often one word n-gram may stand in a reply
    ngram: Annotated[int, Field(ge=1, le=1000)] = 3  # words per n-gram for the loop check
    echo_turns: _FromZero = 20  # how many last turns of each side may not be repeated
    blocked_words: tuple[str, ...] = ()  # whole words or phrases, any case
    max_draws: Annotated[int, Field(ge=1, le=8)] = 2  # then the persona's fallback line


class BrainConfig(Options):
    """Which models think, on what, and how much history they see."""

    model: str = "starter"  # starter | hub id | folder | .pkl of the original release
    reverse: str = "auto"  # for MMI: auto = the one beside the model, if any | none | a model
    device: str = "auto"  # auto | cpu | cuda | cuda:N
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = (
        "auto"  # auto = 16 bits for larger models where they are faster
    )
    num_threads: Annotated[int, Field(ge=0, le=1024)] = 0  # 0 = what torch finds
    max_turns: _FromOne = 9  # history in turns, the one being answered included
    max_history_tokens: _FromZero = 0  # 0 = as many as the model's positions allow
    max_batch_rows: _FromOne = 256  # candidates decoded together
    max_batch_positions: _FromOne = 65536  # keys and values held for them, in tokens
    max_queue: _FromOne = 1024  # waiting requests before EngineBusy
    cache_mib: _FromZero = 256  # for chats' histories, so that a next turn reads only what is new
    lora_mib: _FromOne = 256  # for characters' LoRA weights in memory; the ones used longest ago go first
    max_seconds: Annotated[float, Field(ge=0)] = 300.0  # seconds for one reply; 0 = none
    decoding: DecodingConfig = DecodingConfig()
    checks: ChecksConfig = ChecksConfig()
