"""Characters from the command line."""

from pathlib import Path

import pytest

from bots import characters
from bots.errors import NameTaken, SettingsError
from brain.persona import Persona, find_persona


def test_a_new_character_can_speak_at_once(tmp_path: Path) -> None:
    file = characters.create("old-sailor", tmp_path / "persona_data")
    persona = find_persona("old-sailor", tmp_path / "persona_data")
    assert file.is_file()
    assert persona.name == "Old Sailor"
    assert persona.decoding == {}


def test_a_character_is_never_overwritten(tmp_path: Path) -> None:
    characters.create("sailor", tmp_path)
    with pytest.raises(NameTaken, match="is there already"):
        characters.create("sailor", tmp_path)


@pytest.mark.parametrize("name", ["", "..", "a/b", "/tmp", "Odile", "-x", "x" * 65, "a\n"])
def test_a_name_that_is_no_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be a character's folder"):
        characters.create(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_sheet_tells_all(tmp_path: Path) -> None:
    characters.create("sailor", tmp_path)
    sheet = characters.sheet(find_persona("sailor", tmp_path))
    assert "greeting:     Hello, I'm Sailor. What brings you here?" in sheet
    assert "  Tell me a bit more?" in sheet


def test_nothing_of_a_character_steers_the_terminal() -> None:
    evil = "a\x1b[2J\u202eb"
    persona = Persona(evil, evil, evil, evil, fallback=(evil,), decoding={"method": evil}, model=evil)
    assert characters.summary(persona) == "a[2Jb\ta[2Jb\ta[2Jb"
    assert not {"\x1b", "\u202e"} & set(characters.sheet(persona))
