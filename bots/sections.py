"""One adapter's section of config.toml: `enabled` is ours, the rest is judged by the adapter's own Config.

Secrets do not belong into config.toml. A SecretStr field `token` of the adapter `telegram` comes from
BANTER_TELEGRAM__TOKEN, or is the content of the file that `token_file` names, here or there.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError

from bots.errors import SettingsError
from bots.messages import Shape
from brain.errors import sentence_from_validation

ENABLED = "enabled"
_C = TypeVar("_C", bound=BaseModel)
_Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Section:
    """What file and environment say about one adapter: not yet judged, never shown, it may hold secrets."""

    name: str
    from_file: _Values = field(default_factory=dict, repr=False)
    from_env: _Values = field(default_factory=dict, repr=False)
    file: str = "config.toml"
    prefix: str = "BANTER_"
    strangers: tuple[str, ...] = ()  # variables without our prefix that bear the adapter's name

    @property
    def is_enabled(self) -> bool:
        """Whether `banter run` runs it; not so unless it is said.

        Raises:
            SettingsError: `enabled` is neither true nor false.
        """
        value = self.from_env.get(ENABLED, self.from_file.get(ENABLED, False))
        try:
            return TypeAdapter(bool).validate_python(value)
        except ValidationError:
            raise SettingsError(f"{self._where((ENABLED,))}: enabled: write true or false") from None

    def config(self, kind: type[_C]) -> _C:
        """The adapter's Config, secrets included.

        Raises:
            SettingsError: one sentence that says where the mistake stands, without any value.
        """
        hidden = secrets(kind)
        values = _without_enabled(merged(self.from_file, self.from_env))
        for name in hidden & self.from_file.keys():
            raise SettingsError(
                f"{self.file}: [{self.name}] {name} is a secret; put it into the environment "
                f"or .env as {self._variable(name)}, or name its file in {name}_file"
            )
        for name in hidden:
            if values.get(name) == "":  # a line of .env that nobody has filled in
                del values[name]
            file = values.pop(f"{name}_file", None) if f"{name}_file" not in kind.model_fields else None
            if name not in values and file:
                values[name] = self._content(name, file)
        try:
            return kind.model_validate(values)
        except ValidationError as error:  # `from None`: its text may show what was given
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            if first["type"] == "missing" and first["loc"][0] in hidden:
                raise SettingsError(self._missing(str(first["loc"][0]), kind)) from None
            raise SettingsError(sentence_from_validation(error, kind, self._where(first["loc"]))) from None

    def _missing(self, name: str, kind: type[BaseModel]) -> str:
        """That a secret is not set, and what was set in its place by mistake."""
        said = f"{self.name}: {self._variable(name)} is not set; "
        astray = [self._variable(key) for key in self.from_env.keys() - kind.model_fields.keys() - {ENABLED}]
        astray = [key for key in astray if not key.endswith("_FILE")]
        astray += [one for one in self.strangers if name.upper() in one]
        if astray:
            return f"{said}{astray[0]} is, and nobody reads that: give it this name"
        return f"{said}put it into the environment or .env"

    def _where(self, loc: tuple[int | str, ...]) -> str:
        if loc and loc[0] in self.from_env:
            return f"environment variable {self._variable(*map(str, loc))}"
        return f"{self.file}: [{self.name}]"

    def _variable(self, *path: str) -> str:
        return self.prefix + "__".join((self.name, *path)).upper()

    def _content(self, name: str, file: object) -> str:
        try:
            content = Path(str(file)).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            content = ""
        if not content:
            raise SettingsError(
                f"{self._where((f'{name}_file',))} {name}_file: {file} cannot be read, or is empty"
            )
        return content


def secrets(kind: type[BaseModel]) -> frozenset[str]:
    """Names of a model's SecretStr fields, optional ones included."""
    annotations = {name: info.annotation for name, info in kind.model_fields.items()}
    return frozenset(name for name, one in annotations.items() if SecretStr in (one, *get_args(one)))


def misshapen(config: BaseModel) -> list[str]:
    """A sentence for each secret that does not look like one; without the secret."""
    found = []
    for name, info in type(config).model_fields.items():
        value = getattr(config, name)
        for shape in info.metadata:
            if isinstance(shape, Shape) and isinstance(value, SecretStr):
                if not re.fullmatch(shape.pattern, value.get_secret_value()):
                    found.append(f"the {name} does not look like one: {shape.hint}")
    return found


def from_variables(variables: _Values, prefix: str, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """PREFIX_NAME__A__B=value as nested values by adapter name; lists and tables are JSON."""
    known = set(names)
    found: dict[str, dict[str, Any]] = {}
    for variable, value in variables.items():
        name, *path = variable.removeprefix(prefix).lower().split("__")
        if name not in known or not path:
            continue
        branch = found.setdefault(name, {})
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
            if not isinstance(branch, dict):
                raise SettingsError(
                    f"environment variable {variable}: another one gives {part} a value of its own"
                )
        branch[path[-1]] = _read(variable, value)
    return found


def _read(variable: str, value: str) -> object:
    if value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        raise SettingsError(
            f"environment variable {variable}: not valid JSON, as lists and tables are"
        ) from None


def _without_enabled(values: _Values) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != ENABLED}


def merged(base: _Values, over: _Values) -> dict[str, Any]:
    """Nested tables laid over each other; `over` wins."""
    both = {**base, **over}
    for key in base.keys() & over.keys():
        if isinstance(base[key], Mapping) and isinstance(over[key], Mapping):
            both[key] = merged(base[key], over[key])
    return both
