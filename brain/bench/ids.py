"""Random tokens to think about, and an encoder for models that come without a tokenizer."""

from collections.abc import Sequence
from random import Random

from brain.config import DecodingConfig
from brain.dialogue import Prompt, Turn


class IdsEncoder:
    """`brain.protocols.Encoder` without a vocabulary: the text of a turn is its ids, written in decimals."""

    def __init__(self, vocab_size: int, end_id: int) -> None:
        self._vocab_size, self._end_id = vocab_size, end_id

    @property
    def end_id(self) -> int:
        """Id of the token that closes a turn."""
        return self._end_id

    @property
    def vocab_size(self) -> int:
        """Number of ids: as many as the model has rows."""
        return self._vocab_size

    def encode_turn(self, text: str) -> list[int]:
        """Ids from "17 4" to [17, 4, E]."""
        return [*map(int, text.split()), self._end_id]

    def encode(self, turns: Sequence[Turn]) -> list[int]:
        """Forward: oldest turn first."""
        return [token for turn in turns for token in self.encode_turn(turn.text)]

    def encode_reversed(self, turns: Sequence[Turn]) -> list[int]:
        """For the reverse model: newest turn first."""
        return self.encode(turns[::-1])

    def decode(self, ids: Sequence[int]) -> str:
        """Text from [17, 4, E] to "17 4"."""
        return " ".join(str(token) for token in ids if token != self._end_id)


def random_turn(encoder: IdsEncoder, num_tokens: int, draw: Random) -> tuple[int, ...]:
    """`num_tokens` ids of which the last, and no other, is the end token."""
    others = encoder.vocab_size - 1
    drawn = (draw.randrange(others) for _ in range(num_tokens - 1))
    return (*(token + (token >= encoder.end_id) for token in drawn), encoder.end_id)


def random_prompt(encoder: IdsEncoder, num_tokens: int, draw: Random) -> Prompt:
    """A prompt of exactly `num_tokens`, whose text nobody knows."""
    return Prompt((), random_turn(encoder, num_tokens, draw))


def decoding_of_length(num_candidates: int, num_tokens: int) -> DecodingConfig:
    """Sampling from the ten likeliest tokens, as the paper does, with the end token banned to the end."""
    return DecodingConfig(
        method="sample",
        top_k=10,
        no_repeat_ngram=0,
        min_new_tokens=num_tokens,
        max_new_tokens=num_tokens,
        num_candidates=num_candidates,
    )
