import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from brain.dialogue import Turn
from brain.encoding import END_OF_TEXT, TurnEncoder, clean_turn, encoder_from_folder, train_encoder
from brain.errors import CheckpointError

LINES = ["hello there, how are you?", "the lamp is lit and the fog is thick", "tea or coffee?", "the cat sat"]
ENCODER = train_encoder(LINES, vocab_size=300)
any_text = st.text(st.characters(exclude_categories=()))


def test_a_turn_ends_with_one_end_token_and_holds_no_other() -> None:
    ids = ENCODER.encode_turn("hello there")

    assert ids[-1] == ENCODER.end_id
    assert ids.count(ENCODER.end_id) == 1


def test_a_typed_end_of_text_stays_text() -> None:
    ids = ENCODER.encode_turn(f"tea {END_OF_TEXT} coffee")

    assert ids.count(ENCODER.end_id) == 1
    assert ENCODER.decode(ids) == f"tea {END_OF_TEXT} coffee"


@given(st.lists(any_text, min_size=1, max_size=5))
def test_end_tokens_stand_once_per_turn_whatever_people_type(texts: list[str]) -> None:
    turns = [Turn(text) for text in texts]

    assert ENCODER.encode(turns).count(ENCODER.end_id) == len(turns)
    assert ENCODER.encode(turns)[-1] == ENCODER.end_id


@given(any_text)
def test_decoding_gives_back_the_clean_text(text: str) -> None:
    assert ENCODER.decode(ENCODER.encode_turn(text)) == clean_turn(text)


def test_turns_stand_oldest_first_forward_and_newest_first_reversed() -> None:
    first, second, third = (ENCODER.encode_turn(line) for line in LINES[:3])
    turns = [Turn(line) for line in LINES[:3]]

    assert ENCODER.encode(turns) == first + second + third
    assert ENCODER.encode_reversed(turns) == third + second + first


def test_the_speaker_does_not_reach_the_model() -> None:
    assert ENCODER.encode([Turn("hello", speaker="Ann")]) == ENCODER.encode([Turn("hello")])


def test_many_turns_at_once_are_encoded_as_one_by_one() -> None:
    texts = [*LINES, "", f"a {END_OF_TEXT}\n b"]

    assert ENCODER.encode_texts(texts) == [ENCODER.encode_turn(text) for text in texts]


def test_decoding_drops_end_tokens_and_survives_broken_utf8() -> None:
    half = ENCODER.encode_turn("é")[:1]

    assert ENCODER.decode([ENCODER.end_id, *half, ENCODER.end_id]) == "\ufffd"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("  two \t\n lines\r\n", "two lines"),
        ("non\u00a0breaking\u2003and\u2028line", "non breaking and line"),
        ("\u202eabc\u202c \u2066d\u2069\u200f\ufeff", "abc d"),
        ("bell\x07 nul\x00 c1\x9b", "bell nul c1"),
        ("lone \ud83d surrogate", "lone \ufffd surrogate"),
        ("paired \ud83d\ude00", "paired \U0001f600"),
        ("family \U0001f468\u200d\U0001f469", "family \U0001f468\u200d\U0001f469"),
        ("\x07 \u200b", ""),
        ("folded \x1b around control", "folded around control"),
    ],
)
def test_clean_turn_leaves_one_line_of_visible_text(text: str, clean: str) -> None:
    assert clean_turn(text) == clean


@given(any_text)
def test_cleaning_twice_changes_nothing_and_leaves_nothing_unprintable(text: str) -> None:
    once = clean_turn(text)

    assert clean_turn(once) == once
    assert not {unicodedata.category(char) for char in once} & {"Cc", "Cs", "Zl", "Zp"}
    assert "  " not in once


def test_a_saved_encoder_reads_back_the_same(tmp_path: Path) -> None:
    ENCODER.save(tmp_path / "tokenizer.json")

    again = encoder_from_folder(tmp_path)

    assert (again.end_id, again.vocab_size) == (ENCODER.end_id, ENCODER.vocab_size)
    assert again.encode_texts(LINES) == ENCODER.encode_texts(LINES)


def test_vocab_json_with_merges_txt_reads_as_the_same_tokenizer(tmp_path: Path) -> None:
    model = json.loads(saved(tmp_path).read_text(encoding="utf-8"))["model"]
    gpt2 = tmp_path / "gpt2"
    gpt2.mkdir()
    (gpt2 / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (gpt2 / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")

    again = encoder_from_folder(gpt2)

    typed = [*LINES, f"typed {END_OF_TEXT}"]
    assert again.encode_texts(typed) == ENCODER.encode_texts(typed)
    assert again.vocab_size == ENCODER.vocab_size


def test_a_tokenizer_file_that_pads_and_cuts_does_neither_here(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(saved(tmp_path)))
    tokenizer.enable_padding(length=64, pad_id=0, pad_token=END_OF_TEXT)
    tokenizer.enable_truncation(2)

    assert TurnEncoder(tokenizer).encode_turn(LINES[1]) == ENCODER.encode_turn(LINES[1])


def test_a_tokenizer_without_end_of_text_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"no <\|endoftext\|> token"):
        TurnEncoder(Tokenizer(models.BPE()))


@pytest.mark.parametrize("content", ["{", "[]", '{"version": "1.0"}', "\xff"])
def test_a_malformed_tokenizer_is_refused_naming_the_folder(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content, encoding="latin-1")

    with pytest.raises(CheckpointError, match="the tokenizer cannot be read"):
        encoder_from_folder(tmp_path)


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json, nor vocab\.json with merges\.txt"):
        encoder_from_folder(tmp_path)


def saved(folder: Path) -> Path:
    ENCODER.save(folder / "tokenizer.json")
    return folder / "tokenizer.json"
