"""What the files around the code promise: settings, documents, installation."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

from bots import registry
from bots.cli import cli
from bots.sections import secrets
from bots.settings import Settings, apart
from brain.persona import list_personas

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    ROOT / name
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/adapters.md",
        "docs/finetuning.md",
        "docs/operations.md",
    )
]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(leaves(Settings)), ids=".".join)
def test_config_toml_tells_every_key(path: tuple[str, ...]) -> None:
    *tables, key = path
    section = re.split(r"^\[", read("config.toml"), flags=re.MULTILINE)
    header = ".".join(tables) + "]" if tables else "#"
    [body] = [part for part in section if part.startswith(header)]
    line = re.search(rf"^(# )?{key} = .*# \S", body, flags=re.MULTILINE)
    assert line, f"{'.'.join(path)} is missing or has no comment"


def test_config_toml_says_what_holds_without_it() -> None:
    own, _ = apart(tomllib.loads(read("config.toml")), "config.toml")
    assert Settings(**own) == Settings()


@pytest.mark.parametrize("name", registry.names())
def test_config_toml_tells_every_key_of_an_adapter_and_what_holds_without_it(name: str) -> None:
    _, adapters = apart(tomllib.loads(read("config.toml")), "config.toml")
    kind = registry.load(name).Config
    said, hidden = adapters[name], secrets(kind)
    assert said.pop("enabled") is False
    defaults = kind.model_validate(dict.fromkeys(hidden, "x")).model_dump(mode="json", exclude=set(hidden))
    assert said == {key: value for key, value in defaults.items() if value is not None}


def test_every_version_is_pinned() -> None:
    pins = dict(line.split("==") for line in read("constraints.txt").splitlines() if line[0] != "#")
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    names = {re.split(r"[><=\[]", requirement)[0].lower() for requirement in wanted} - {project["name"]}
    assert names <= {name.lower() for name in pins}
    assert not [pin for pin in pins.values() if "+" in pin]  # a local build would not be found elsewhere


@pytest.mark.parametrize("target", ["chat", "test", "check", "fix", "clean", "starter", "demo-telegram"])
def test_make_has_the_target(target: str) -> None:
    assert re.search(rf"^{target}:", read("Makefile"), flags=re.MULTILINE)


def test_continuous_integration_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_links_only_to_what_is_there(document: Path) -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert not missing


def test_the_map_names_every_room() -> None:
    plan = read("docs/architecture.md")
    rooms = [path for package in ("bots", "brain") for path in (ROOT / package).iterdir()]
    names = [path.name for path in rooms if path.suffix == ".py" or (path / "__init__.py").is_file()]
    assert not [name for name in names if name not in plan and not name.startswith("__init__")]


def commands() -> dict[str, typer.core.TyperCommand]:
    group = typer.main.get_command(cli)
    assert isinstance(group, typer.core.TyperGroup)
    found = {}
    for name, command in group.commands.items():
        inner = command.commands if isinstance(command, typer.core.TyperGroup) else {"": command}
        found |= {f"{name} {sub}".strip(): one for sub, one in inner.items()}
    return found


def test_the_readme_lists_each_command_once() -> None:
    listed = re.findall(r"^\| `banter ([a-z]+)", read("README.md"), flags=re.MULTILINE)
    assert sorted(listed) == sorted({name.split()[0] for name in commands()})


@pytest.mark.parametrize("name", commands())
def test_a_command_has_an_example_and_takes_a_config_file(name: str) -> None:
    command = commands()[name]
    assert command.epilog is not None
    assert f"banter {name}" in command.epilog
    assert "--config" in {option for parameter in command.params for option in parameter.opts}


def test_the_characters_are_well_formed() -> None:
    assert len(list_personas(ROOT / "persona_data")) >= 2
