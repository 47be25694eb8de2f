"""Sections of adapters: from file and environment to their own Config, secrets on their own way."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import SecretStr

from bots import settings
from bots.errors import SettingsError
from bots.messages import AdapterConfig, Shape
from bots.sections import Section, from_variables, misshapen, secrets

CANARY = "110201543:canary"


class OwlConfig(AdapterConfig):
    token: SecretStr
    webhook_secret: SecretStr | None = None
    perches: tuple[str, ...] = ()
    height: int = 3


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def complaint(section: Section) -> str:
    with pytest.raises(SettingsError) as error:
        section.config(OwlConfig)
    assert error.value.__cause__ is None  # a validation error's text may show what was given
    assert CANARY not in str(error.value)
    return str(error.value)


def test_secret_fields_are_found_by_type() -> None:
    assert secrets(OwlConfig) == {"token", "webhook_secret"}


def test_the_environment_wins_over_the_file_and_brings_the_token() -> None:
    section = Section(
        "owl", {"enabled": True, "height": 1, "perches": ["a"]}, {"token": CANARY, "height": "2"}
    )
    config = section.config(OwlConfig)
    assert section.is_enabled
    assert (config.token.get_secret_value(), config.height, config.perches) == (CANARY, 2, ("a",))
    assert CANARY not in repr((section, config))


def test_a_token_may_stand_in_a_file_of_its_own() -> None:
    Path("token").write_text(f"{CANARY}\n")
    config = Section("owl", {"token_file": "token"}).config(OwlConfig)
    assert config.token.get_secret_value() == CANARY


@pytest.mark.parametrize(
    ("from_file", "from_env", "sentence"),
    [
        (
            {"token": CANARY},
            {},
            "config.toml: [owl] token is a secret; put it into the environment or .env as ",
        ),
        ({}, {}, "owl: BANTER_OWL__TOKEN is not set; put it into the environment or .env"),
        ({"token_file": "gone"}, {}, "config.toml: [owl] token_file: gone cannot be read, or is empty"),
        (
            {"hieght": 1},
            {"token": CANARY},
            "config.toml: [owl]: unknown key 'hieght', did you mean 'height'?",
        ),
        (
            {},
            {"token": CANARY, "height": CANARY},
            "environment variable BANTER_OWL__HEIGHT: height: input should",
        ),
        (
            {},
            {"token": {"a": CANARY}},
            "environment variable BANTER_OWL__TOKEN: token: input should be a valid",
        ),
    ],
)
def test_a_mistake_is_named_without_its_value(
    from_file: dict[str, object], from_env: dict[str, object], sentence: str
) -> None:
    assert complaint(Section("owl", from_file, from_env)).startswith(sentence)


@pytest.mark.parametrize(("value", "is_enabled"), [("true", True), (False, False), ("0", False)])
def test_enabled_is_read_as_toml_and_as_a_variable(value: object, is_enabled: bool) -> None:
    assert Section("owl", {}, {"enabled": value}).is_enabled is is_enabled


def test_enabled_must_be_true_or_false() -> None:
    with pytest.raises(SettingsError, match=r"^config.toml: \[owl\]: enabled: write true or false$"):
        _ = Section("owl", {"enabled": "maybe"}).is_enabled


def test_variables_become_nested_values_and_json_lists() -> None:
    variables = {"BANTER_OWL__PERCHES": '["a"]', "BANTER_OWL__A__B": "1", "BANTER_BRAIN__MODEL": "x"}
    assert from_variables(variables, "BANTER_", ["owl"]) == {"owl": {"perches": ["a"], "a": {"b": "1"}}}


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"BANTER_OWL__PERCHES": "[a"}, "BANTER_OWL__PERCHES: not valid JSON"),
        ({"BANTER_OWL__A": "1", "BANTER_OWL__A__B": "1"}, "BANTER_OWL__A__B: another one gives a"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=f"^environment variable {sentence}"):
        from_variables(variables, "BANTER_", ["owl"])


def test_settings_hand_out_sections_of_installed_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("config.toml").write_text("[console]\nenabled = true\nprompt = '> '\n")
    Path(".env").write_text("BANTER_CONSOLE__PROMPT='$ '\nBANTER_BRAIN__MODEL=from-dotenv\n")
    monkeypatch.setenv("BANTER_BRAIN__MODEL", "from-environment")
    loaded = settings.load()
    section = loaded.adapters["console"]
    assert (section.is_enabled, section.from_env["prompt"]) == (True, "$ ")
    assert loaded.brain.model == "from-environment"
    assert not settings.Settings().adapters["console"].is_enabled


def test_a_section_of_no_adapter_gets_the_nearest() -> None:
    Path("config.toml").write_text("[consle]\nenabled = true\n")
    with pytest.raises(SettingsError, match="unknown key 'consle', did you mean 'console'"):
        settings.load()


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        (
            Section("owl", {}, {"token": ""}),
            "BANTER_OWL__TOKEN is not set; put it into",
        ),
        (
            Section("owl", {}, {"tokn": CANARY}),
            "BANTER_OWL__TOKEN is not set; BANTER_OWL__TOKN is,",
        ),
        (
            Section("owl", strangers=("OWL_HOME", "OWL_BOT_TOKEN")),
            "BANTER_OWL__TOKEN is not set; OWL_BOT_TOKEN is, and nobody reads that: give it this name",
        ),
    ],
)
def test_a_secret_under_another_name_is_found(section: Section, sentence: str) -> None:
    assert complaint(section).startswith(f"owl: {sentence}")


def test_a_secret_is_judged_by_its_shape_without_being_shown() -> None:
    class Shaped(AdapterConfig):
        token: Annotated[SecretStr, Shape(r"\d+:\w+", "a number and a word")]
        other: Annotated[SecretStr | None, Shape(r"x", "an x")] = None

    assert misshapen(Shaped(token=SecretStr("1:a"))) == []
    told = misshapen(Shaped(token=SecretStr("canary")))
    assert told == ["the token does not look like one: a number and a word"]
