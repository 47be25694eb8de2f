"""config.toml and the environment become one value, Settings; what is not known is refused.

A flag wins over the environment (`BANTER_BRAIN__MODEL=…`), that over a file .env in the current folder, that
over config.toml, that over the defaults below. A section of an adapter is judged when the adapter is loaded.
"""

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qs, urlsplit

from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as UnreadableVariable

from bots import registry
from bots.errors import SettingsError
from bots.options import DatabaseSettings, GateSettings, GifSettings, LogSettings, RunSettings
from bots.sections import Section, from_variables, merged
from brain.bench.config import BenchConfig
from brain.config import BrainConfig, Options
from brain.errors import sentence_from_validation
from brain.finetune.config import FinetuneConfig
from brain.finetune.sources.config import ImportConfig

DEFAULT_FILE = Path("config.toml")
DOTENV = Path(".env")
PREFIX = "BANTER_"


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"must not be {str(value).lower()}")
    return value


Seed = Annotated[int, BeforeValidator(_no_truth), Field(ge=0, lt=2**63)]


class ChatSettings(Options):
    """Defaults of `banter chat`."""

    plain: bool = False  # one output line per input line, even on a terminal


class SelfplaySettings(Options):
    """Defaults of `banter selfplay`."""

    turns: Annotated[int, Field(ge=1)] = 10  # lines in all, the opening included
    plain: bool = False  # no names and colours, even on a terminal


class LinesSettings(Options):
    """Bounds of what comes through a pipe: `banter reply`, `banter score` and a piped `banter chat`."""

    max_in_flight: Annotated[int, Field(ge=1)] = 128  # lines being answered at once
    max_line_bytes: Annotated[int, Field(ge=1024)] = (
        1 << 20
    )  # a longer line gets an error; in a chat it loses its end


if TYPE_CHECKING:
    _Settings = BaseSettings
else:  # the section [import] bears a name that Python keeps to itself
    _fields = {"import": (ImportConfig, ImportConfig())}
    _Settings = create_model("_Settings", __base__=BaseSettings, **_fields)


class Settings(_Settings):
    """Everything config.toml may say."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    persona: str = "banter"  # folder under persona_data; banter = no character in particular
    persona_data: str = (
        ""  # folder of the characters; empty = ./persona_data, else the one of the source tree
    )
    seed: Seed | None = None  # None = drawn anew each time
    brain: BrainConfig = BrainConfig()
    chat: ChatSettings = ChatSettings()
    selfplay: SelfplaySettings = SelfplaySettings()
    lines: LinesSettings = LinesSettings()
    run: RunSettings = RunSettings()
    database: DatabaseSettings = DatabaseSettings()
    gates: GateSettings = GateSettings()
    gifs: GifSettings = GifSettings()
    log: LogSettings = LogSettings()
    finetune: FinetuneConfig = FinetuneConfig()
    _sections: Mapping[str, Section] = PrivateAttr(default_factory=dict)
    bench: BenchConfig = BenchConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *others: PydanticBaseSettingsSource,
        **more: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` has merged; it reads the environment itself to say where a mistake stands."""
        return (init_settings,)

    @property
    def import_(self) -> ImportConfig:
        """The section [import]."""
        section = getattr(self, "import")
        assert isinstance(section, ImportConfig)
        return section

    @property
    def adapters(self) -> Mapping[str, Section]:
        """What is said about each installed adapter, by name; without a word it is not enabled."""
        return {name: self._sections.get(name, Section(name)) for name in registry.names()}

    @property
    def persona_root(self) -> Path:
        """The folder whose subfolders are the characters; it need not exist."""
        if self.persona_data:
            return Path(self.persona_data).expanduser()
        here, beside = Path("persona_data"), Path(__file__).parent.parent / "persona_data"
        return here if here.is_dir() or not beside.is_dir() else beside


def load(file: Path | None = None, flags: Mapping[str, object] | None = None) -> Settings:
    """Read the settings.

    Args:
        file: a file that must exist; None means config.toml in the current folder, if there is one.
        flags: values by dotted key ("brain.model"); None stands for a flag that was not given.
    Raises:
        SettingsError: one sentence that says where the mistake stands and names the nearest known key.
    """
    path = file or DEFAULT_FILE
    given = _nested({key: value for key, value in (flags or {}).items() if value is not None})
    from_file, file_sections = apart(_read(path) if file or path.is_file() else {}, str(path))
    _refuse_secrets(from_file, str(path))
    variables, strangers = _variables()
    from_env = _environment(variables)
    try:
        settings = Settings(**merged(merged(from_file, from_env), given))
    except ValidationError as error:
        loc = error.errors(include_url=False)[0]["loc"]
        if _holds(given, loc):
            where = "flag"
        elif _holds(from_env, loc):
            where = f"environment variable {PREFIX}{'__'.join(str(part) for part in loc).upper()}"
        else:
            where = str(path)
        raise SettingsError(sentence_from_validation(error, Settings, where)) from error
    env_sections = from_variables(variables, PREFIX, registry.names())
    likely = {name: tuple(one for one in strangers if name.upper() in one) for name in registry.names()}
    settings._sections = {
        name: Section(
            name, file_sections.get(name, {}), env_sections.get(name, {}), str(path), PREFIX, astray
        )
        for name, astray in likely.items()
        if name in file_sections or name in env_sections or astray
    }
    return settings


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(f"{path}: there is no such file; check --config") from error
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from error


def apart(tree: Mapping[str, Any], where: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What a file says: about ourselves, and about adapters by name.

    Raises:
        SettingsError: a section is neither ours nor an installed adapter's.
    """
    own = {key: value for key, value in tree.items() if key in Settings.model_fields}
    others = {key: value for key, value in tree.items() if key not in own}
    for key, value in others.items():
        if key in registry.names() and isinstance(value, dict):
            continue
        nearest = _nearest(key) or sorted(_known())
        hint = f"did you mean '{nearest[0]}'?" if _nearest(key) else f"known keys: {', '.join(nearest)}"
        raise SettingsError(f"{where}: unknown key '{key}', {hint}")
    return own, others


def _refuse_secrets(from_file: Mapping[str, Any], where: str) -> None:
    """Secrets stand in the environment or .env; the address of a database may do without its password."""
    for section, key in (("database", "url"), ("gifs", "api_key")):
        table = from_file.get(section)
        value = str(table.get(key, "")) if isinstance(table, dict) else ""
        if not value or (key == "url" and not _holds_password(value)):
            continue
        what = "holds a password" if key == "url" else "is a secret"
        raise SettingsError(
            f"{where}: {section}.{key} {what}; put it into the environment or .env as "
            f"{PREFIX}{section.upper()}__{key.upper()}"
        )


def _holds_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.password) or "password" in parse_qs(parts.query)
    except ValueError:  # whoever connects says what is wrong with it
        return True


def _variables() -> tuple[dict[str, str], list[str]]:
    """All BANTER_ variables, names in upper case, and the names of all others.

    The environment wins over .env in the current folder.
    """
    both = {**dotenv_values(DOTENV, interpolate=False), **os.environ}
    ours = {name.upper(): value for name, value in both.items() if name.upper().startswith(PREFIX)}
    strangers = [name.upper() for name in both if not name.upper().startswith(PREFIX)]
    return {name: value for name, value in ours.items() if value is not None}, strangers


def _environment(variables: Mapping[str, str]) -> dict[str, Any]:
    """Our own settings among the variables."""
    for name in variables:
        key = name[len(PREFIX) :].lower().split("__")[0]
        if key not in _known():
            raise SettingsError(f"environment variable {name}: unknown, did you mean {_meant(key)}?")
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in variables.items()}
    try:
        return source()
    except UnreadableVariable as error:
        key = next((key for key in _known() if f'"{key}"' in str(error)), "")
        raise SettingsError(
            f"environment variable {PREFIX}{key.upper()}: not valid JSON, which is how a whole section or a "
            f"list is written; single keys are set like {PREFIX}BRAIN__MAX_TURNS"
        ) from error


def _meant(key: str) -> str:
    """The variable that somebody had in mind who wrote this one."""
    for name in registry.names():
        if key.startswith(f"{name}_"):  # one underscore too few
            return f"{PREFIX}{name}__{key.removeprefix(name).strip('_')}".upper()
    if key == "token":
        return f"{PREFIX}PLATFORM__TOKEN, with the platform's name"
    return " or ".join(PREFIX + one.upper() for one in _nearest(key) or sorted(_known()))


def _known() -> set[str]:
    return {*Settings.model_fields, *registry.names()}


def _nearest(key: str) -> list[str]:
    return get_close_matches(key, _known(), n=1, cutoff=0.5)


def _nested(flat: Mapping[str, object]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *path, leaf = key.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[leaf] = value
    return tree


def _holds(tree: object, loc: tuple[int | str, ...]) -> bool:
    for part in loc:
        if not isinstance(tree, dict):
            return True
        if part not in tree:
            return False
        tree = tree[part]
    return True
