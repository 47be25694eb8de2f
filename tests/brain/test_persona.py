import subprocess
import sys
from pathlib import Path

import pytest

from brain.errors import BrainError, PersonaError
from brain.persona import DEFAULT_PERSONA, find_persona, list_personas, load_persona

SHIPPED = Path(__file__).parents[2] / "persona_data"
FULL = """
name = "Odile"
description = "A  keeper\\nof light."
greeting = "Come in."
fallback = ["Go on.", "Say\\u202e more?"]
model = "runs/odile"
[decoding]
temperature = 0.9
"""


def written(root: Path, slug: str, text: str) -> Path:
    folder = root / slug
    folder.mkdir(parents=True)
    (folder / "persona.toml").write_text(text, encoding="utf-8")
    return folder


def test_a_persona_file_becomes_one_value_with_clean_text(tmp_path: Path) -> None:
    folder = written(tmp_path, "lighthouse", FULL)

    persona = load_persona(folder)

    assert (persona.name, persona.slug, persona.model) == ("Odile", "lighthouse", "runs/odile")
    assert persona.description == "A keeper of light."
    assert persona.fallback == ("Go on.", "Say more?")


def test_only_the_decoding_keys_that_were_written_are_overrides(tmp_path: Path) -> None:
    folder = written(tmp_path, "lighthouse", FULL)

    persona = load_persona(folder)

    assert persona.decoding == {"temperature": 0.9}


def test_a_persona_with_only_a_name_has_neutral_fallback_lines(tmp_path: Path) -> None:
    folder = written(tmp_path, "plain", 'name = "Plain"')

    persona = load_persona(folder)

    assert persona.fallback == DEFAULT_PERSONA.fallback
    assert len(persona.fallback) >= 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "A"\ngreating = "hi"', "unknown key 'greating', did you mean 'greeting'?"),
        ('name = "A"\n[decoding]\ntopp = 1', "unknown key 'decoding.topp', did you mean 'top_p'?"),
        ('name = "A"\n[decoding]\ntemperature = 0', "decoding.temperature"),
        ('name = "A"\nfallback = []', "fallback"),
        ('name = "A"\nfallback = ["fine", " \\u200e "]', "must have visible text"),
        ('name = "  "', "must have visible text"),
        ('greeting = "hi"', "name: field required"),
        ("name = ", "cannot be read"),
    ],
)
def test_a_malformed_file_is_refused_in_one_sentence_naming_file_and_key(
    tmp_path: Path, text: str, said: str
) -> None:
    folder = written(tmp_path, "odd", text)

    with pytest.raises(PersonaError) as caught:
        load_persona(folder)

    assert said in str(caught.value)
    assert str(folder / "persona.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "persona.toml").write_bytes(b'name = "\xff"')

    with pytest.raises(PersonaError, match="cannot be read"):
        load_persona(folder)


@pytest.mark.parametrize("name", ["lighthouse", "LightHouse", "odile", " ODILE "])
def test_a_persona_is_found_by_slug_and_by_name_in_any_case(tmp_path: Path, name: str) -> None:
    written(tmp_path, "lighthouse", FULL)

    assert find_persona(name, tmp_path).slug == "lighthouse"


def test_an_unknown_name_tells_the_nearest_and_all_there_are(tmp_path: Path) -> None:
    written(tmp_path, "lighthouse", FULL)
    written(tmp_path, "brisk", 'name = "Brisk"')

    with pytest.raises(PersonaError) as caught:
        find_persona("lighthous", tmp_path)

    assert "did you mean 'lighthouse'?" in str(caught.value)
    assert "there are: brisk, lighthouse, banter" in str(caught.value)


def test_a_malformed_neighbour_does_not_hide_a_persona_called_by_its_slug(tmp_path: Path) -> None:
    written(tmp_path, "broken", "name =")
    written(tmp_path, "lighthouse", FULL)

    assert find_persona("lighthouse", tmp_path).name == "Odile"


@pytest.mark.parametrize("name", ["../outside", "inside/../../outside", "", ".", "..", "a\0b"])
def test_no_name_reaches_outside_the_root(tmp_path: Path, name: str) -> None:
    written(tmp_path, "outside", 'name = "Outside"')
    root = tmp_path / "root"
    written(root, "inside", 'name = "Inside"')

    with pytest.raises(PersonaError):
        find_persona(name, root)


def test_an_absolute_path_is_no_name(tmp_path: Path) -> None:
    folder = written(tmp_path / "elsewhere", "outside", 'name = "Outside"')

    with pytest.raises(PersonaError):
        find_persona(str(folder), tmp_path / "root")


def test_symbolic_links_out_of_the_root_are_not_followed(tmp_path: Path) -> None:
    outside = written(tmp_path, "outside", 'name = "Outside"')
    root = tmp_path / "root"
    written(root, "inside", 'name = "Inside"')
    (root / "link").symlink_to(outside)
    (root / "file").mkdir()
    (root / "file" / "persona.toml").symlink_to(outside / "persona.toml")

    assert [persona.slug for persona in list_personas(root)] == ["inside"]


@pytest.mark.parametrize("slug", ["evil\x1b[2J", "evil\u202e", "evil\n", "two  spaces", " before"])
def test_a_folder_whose_name_cannot_be_shown_is_skipped(tmp_path: Path, slug: str) -> None:
    written(tmp_path, slug, FULL)
    written(tmp_path, "inside", 'name = "Inside"')

    assert [persona.slug for persona in list_personas(tmp_path)] == ["inside"]


def test_a_root_that_is_itself_a_link_works(tmp_path: Path) -> None:
    written(tmp_path / "real", "inside", 'name = "Inside"')
    (tmp_path / "root").symlink_to(tmp_path / "real")

    assert find_persona("inside", tmp_path / "root").name == "Inside"


def test_a_missing_root_has_no_personas_but_the_default_one(tmp_path: Path) -> None:
    assert list_personas(tmp_path / "none") == []
    assert find_persona("banter", tmp_path / "none") is DEFAULT_PERSONA


def test_every_shipped_persona_loads_with_a_greeting_and_several_fallback_lines() -> None:
    personas = list_personas(SHIPPED)

    assert {"brisk", "lighthouse"} <= {persona.slug for persona in personas}
    assert all(persona.greeting and len(persona.fallback) > 3 for persona in personas)


def test_a_persona_error_is_a_brain_error() -> None:
    assert issubclass(PersonaError, BrainError)


def test_reading_personas_loads_no_torch() -> None:
    code = "import brain.persona, sys; sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"

    assert subprocess.run([sys.executable, "-c", code], cwd=SHIPPED.parent, check=False).returncode == 0
