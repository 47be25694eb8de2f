"""persona_data/<slug>/persona.toml to a Persona: who the bot is."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from brain.config import DecodingConfig, Options
from brain.encoding import clean_turn
from brain.errors import PersonaError, sentence_from_validation

FILE_NAME = "persona.toml"
LORA_FOLDER = "lora"  # within a character's folder: used without being named
NO_LORA = "none"  # not even those
NEUTRAL_LINES = (
    "I'm not sure what to say to that. Tell me a bit more?",
    "Hm, give me a second with that one. How do you mean?",
    "I hadn't looked at it that way. What makes you say so?",
    "Fair enough. What happened next?",
    "Could you put that another way?",
    "Let me think about that. What's your own take?",
)


@dataclass(frozen=True, slots=True)
class Persona:
    """Who the bot is.

    `decoding` holds only the keys that differ from the configuration; `fallback` lines fit after nearly
    anything and are said when every candidate was refused; `model` is None for the configured one.
    `lora` names the LoRA weights that are laid over the model for this character, `reverse_lora` those over
    the reverse model; `is_lora_found` tells that the former merely lie in the character's folder: where
    another base runs, they are left out.
    """

    name: str
    slug: str
    description: str = ""
    greeting: str = ""
    fallback: tuple[str, ...] = NEUTRAL_LINES
    decoding: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    lora: str | None = None
    reverse_lora: str | None = None
    is_lora_found: bool = False


DEFAULT_PERSONA = Persona(
    name="Banter", slug="banter", description="No character in particular: the model as it was trained."
)


def _with_text(line: str) -> str:
    cleaned = clean_turn(line)
    if not cleaned:
        raise ValueError("must have visible text")
    return cleaned


Line = Annotated[str, AfterValidator(_with_text)]


class _PersonaFile(Options):
    """What may stand in persona.toml."""

    name: Line
    description: Annotated[str, AfterValidator(clean_turn)] = ""
    greeting: Annotated[str, AfterValidator(clean_turn)] = ""
    fallback: Annotated[tuple[Line, ...], Field(min_length=1)] = NEUTRAL_LINES
    decoding: DecodingConfig = DecodingConfig()
    model: Line | None = None
    lora: Line | None = None
    reverse_lora: Line | None = None


def load_persona(folder: Path) -> Persona:
    """Read one character; its slug is the folder's name.

    Raises:
        PersonaError: the file is missing or malformed, or names an unknown key.
    """
    path = folder / FILE_NAME
    try:
        values = _PersonaFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise PersonaError(f"{folder} is no character: it has no {FILE_NAME}") from error
    except ValidationError as error:
        raise PersonaError(sentence_from_validation(error, _PersonaFile, str(path))) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PersonaError(f"{path} cannot be read: {error}") from error
    has_lora = (folder / LORA_FOLDER).is_dir()
    return Persona(
        name=values.name,
        slug=folder.name,
        description=values.description,
        greeting=values.greeting,
        fallback=values.fallback,
        decoding=values.decoding.model_dump(exclude_unset=True),
        model=values.model,
        lora=_lora(folder, values.lora or (LORA_FOLDER if has_lora else None)),
        reverse_lora=_lora(folder, values.reverse_lora),
        is_lora_found=has_lora and values.lora is None,
    )


def _lora(folder: Path, name: str | None) -> str | None:
    """A folder within the character's own goes before any other; "none" is none at all."""
    if name in (None, NO_LORA):
        return None
    for place in (folder / name, Path(name).expanduser()):
        if place.exists():
            return str(place.resolve())
    return name if "/" in name else str(folder / name)


def list_personas(root: Path) -> list[Persona]:
    """Every character below `root`, by slug; a root that does not exist has none.

    A folder whose name has unseen characters or doubled spaces is skipped: no one could type it.

    Raises:
        PersonaError: one of them is malformed.
    """
    return [load_persona(folder) for folder in _folders(root)]


def find_persona(name: str, root: Path) -> Persona:
    """The character of this slug or display name, in any case.

    Only folders that truly lie inside `root` are looked at, so no name can reach another place. The name of
    DEFAULT_PERSONA finds it unless a folder bears that name.

    Raises:
        PersonaError: none is called so, naming those there are, or the one meant is malformed.
    """
    wanted = clean_turn(name).casefold()
    for folder in _folders(root):
        if folder.name.casefold() == wanted:
            return load_persona(folder)
    personas = [*list_personas(root), DEFAULT_PERSONA]
    for persona in personas:
        if persona.name.casefold() == wanted:
            return persona
    raise PersonaError(_unknown(name, root, personas))


def _folders(root: Path) -> Iterator[Path]:
    home = root.resolve()
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        file = folder / FILE_NAME
        if folder.name != clean_turn(folder.name):
            continue
        if file.is_file() and file.resolve().parent == home / folder.name:
            yield folder


def _unknown(name: str, root: Path, personas: list[Persona]) -> str:
    slugs = [persona.slug for persona in personas]
    slug_of = {
        label.casefold(): persona.slug for persona in personas for label in (persona.slug, persona.name)
    }
    nearest = get_close_matches(name.casefold(), slug_of, n=1)
    hint = f"did you mean '{slug_of[nearest[0]]}'? " if nearest else ""
    return f"no character '{clean_turn(name)}' in {root}; {hint}there are: {', '.join(slugs)}"
