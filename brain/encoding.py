"""THE ONE DOOR between text and tokens: chat, training, MMI and evaluation all use it.

A dialogue is its turns joined by the end-of-text token E, as in DialoGPT: t_1 E t_2 E … t_n E (Zhang et al.
2020, section 2); the reverse model reads the same turns newest first. Each turn is tokenised on its own.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from brain.dialogue import Turn
from brain.errors import CheckpointError

END_OF_TEXT = "<|endoftext|>"

# Joiners and variation selectors stay: emoji and several scripts need them.
_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_ZERO_WIDTH = (0x00AD, 0x200B, 0x2060, 0xFEFF)
_CONTROL = (code for code in (*range(0x20), *range(0x7F, 0xA0)) if not chr(code).isspace())
_UNSEEN = dict.fromkeys((*_BIDI, *_ZERO_WIDTH, *_CONTROL))
_SPACES = re.compile(r"\s+")


def clean_turn(text: str) -> str:
    """One line of visible text: unseen characters gone, lone surrogates replaced, white space folded."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _SPACES.sub(" ", text.translate(_UNSEEN)).strip()


class TurnEncoder:
    """A byte-level BPE with the turn format on top; holds no text."""

    def __init__(self, tokenizer: Tokenizer, end_token: str = END_OF_TEXT) -> None:
        """Take over a tokenizer that has `end_token`.

        Raises:
            CheckpointError: the vocabulary has no such token.
        """
        end_id = tokenizer.token_to_id(end_token)
        if end_id is None:
            raise CheckpointError(f"the tokenizer has no {end_token} token, which closes every turn")
        tokenizer.encode_special_tokens = True  # a typed <|endoftext|> stays text
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer, self._end_id, self._end_token = tokenizer, end_id, end_token

    @property
    def end_id(self) -> int:
        """Id of the token that closes a turn."""
        return self._end_id

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def encode_turn(self, text: str) -> list[int]:
        """Ids of one turn without a leading space, E appended."""
        return self.encode_texts([text])[0]  # a batch call lets go of the interpreter on a long turn

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode_turn` for many turns at once, in parallel."""
        batch = self._tokenizer.encode_batch([clean_turn(text) for text in texts], add_special_tokens=False)
        return [[*encoding.ids, self._end_id] for encoding in batch]

    def encode(self, turns: Sequence[Turn]) -> list[int]:
        """Forward: oldest turn first."""
        return [token for turn in turns for token in self.encode_turn(turn.text)]

    def encode_reversed(self, turns: Sequence[Turn]) -> list[int]:
        """For the reverse model: newest turn first."""
        return self.encode(turns[::-1])

    def decode(self, ids: Sequence[int]) -> str:
        """Text of a turn; end tokens are dropped, broken UTF-8 becomes U+FFFD."""
        kept = [token for token in ids if token != self._end_id]
        return clean_turn(str(self._tokenizer.decode(kept, skip_special_tokens=False)))

    def save(self, path: Path) -> None:
        """Write tokenizer.json."""
        self._tokenizer.save(str(path))


def encoder_from_folder(folder: Path) -> TurnEncoder:
    """Read tokenizer.json, or the vocab.json and merges.txt of GPT-2 and DialoGPT.

    Raises:
        CheckpointError: neither is there or they are malformed.
    """
    full, vocab, merges = (folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt"))
    try:
        if full.is_file():
            return TurnEncoder(Tokenizer.from_file(str(full)))
        if vocab.is_file() and merges.is_file():
            return TurnEncoder(_byte_level(models.BPE.from_file(str(vocab), str(merges))))
    except CheckpointError:
        raise
    except Exception as error:  # tokenizers raises bare Exception for a malformed file
        raise CheckpointError(f"{folder}: the tokenizer cannot be read: {error}") from error
    raise CheckpointError(f"{folder}: no tokenizer.json, nor vocab.json with merges.txt")


def train_encoder(texts: Iterable[str], vocab_size: int) -> TurnEncoder:
    """Learn a byte-level BPE (Radford et al. 2019, section 2.2) of `vocab_size` entries; E has id 0."""
    tokenizer = _byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((clean_turn(text) for text in texts), trainer)
    return TurnEncoder(tokenizer)


def _byte_level(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if tokenizer.token_to_id(END_OF_TEXT) is not None:
        tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, special=True)])
    return tokenizer
