"""Settings: what wins over what, and how a mistake is named."""

from pathlib import Path

import pytest

from bots import settings
from bots.errors import SettingsError
from bots.telegram.config import TelegramConfig


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str) -> Path:
    path = Path("mine.toml")
    path.write_text(text, encoding="utf-8")
    return path


def complaint(file: Path | None = None, flags: dict[str, object] | None = None) -> str:
    with pytest.raises(SettingsError) as error:
        settings.load(file, flags)
    return str(error.value)


def test_without_a_file_the_defaults_hold() -> None:
    assert settings.load() == settings.Settings()


def test_a_config_toml_in_the_current_folder_is_read() -> None:
    Path("config.toml").write_text("[brain]\nmodel = 'other'")
    assert settings.load().brain.model == "other"


def test_a_flag_wins_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    file = written("[brain.decoding]\ntop_k = 1\nnum_beams = 2\nnum_candidates = 3\n")
    monkeypatch.setenv("BANTER_BRAIN__DECODING__TOP_K", "20")
    monkeypatch.setenv("BANTER_BRAIN__DECODING__NUM_BEAMS", "21")
    decoding = settings.load(file, {"brain.decoding.top_k": 30, "seed": None}).brain.decoding
    assert (decoding.top_k, decoding.num_beams, decoding.num_candidates) == (30, 21, 3)


def test_lists_in_the_environment_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANTER_BRAIN__CHECKS__BLOCKED_WORDS", '["drat"]')
    assert settings.load().brain.checks.blocked_words == ("drat",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[brain]\nmodle = 'x'", "mine.toml: unknown key 'brain.modle', did you mean 'model'?"),
        ("sede = 1", "mine.toml: unknown key 'sede', did you mean 'seed'?"),
        ("seed = -1", "mine.toml: seed: input should be greater than or equal to 0"),
        ("seed = ", "mine.toml: not valid TOML: "),
        ("seed = true", "mine.toml: seed: must not be true"),
        ("[brain]\nmax_turns = true", "mine.toml: brain.max_turns: must not be true"),
        ("[brain]\nmax_seconds = inf", "mine.toml: brain.max_seconds: input should be a finite number"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, sentence: str) -> None:
    assert complaint(written(text)).startswith(sentence)


def test_a_section_in_the_environment_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANTER_BRAIN", "{")
    assert complaint().startswith("environment variable BANTER_BRAIN: not valid JSON")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "key",
    ["brain.decoding.temperature", "run.retry_s", "run.chattiness", "gates.all_per_min", "gifs.timeout_s"],
)
def test_what_is_no_number_is_refused(key: str, value: str) -> None:
    table, _, name = key.rpartition(".")
    assert key in complaint(written(f"[{table}]\n{name} = {value}"))


def test_a_file_that_is_named_must_exist() -> None:
    assert complaint(Path("gone.toml")) == "gone.toml: there is no such file; check --config"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("BANTER_SEDE", "environment variable BANTER_SEDE: unknown, did you mean BANTER_SEED?"),
        (
            "BANTER_BRAIN__MODLE",
            "environment variable BANTER_BRAIN__MODLE: unknown key 'brain.modle', did you mean 'model'?",
        ),
    ],
)
def test_a_mistake_in_the_environment_is_named(
    name: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    assert complaint() == sentence


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BANTER_TELEGRAM_TOKEN", "BANTER_TELEGRAM__TOKEN?"),
        ("BANTER_DISCORD_TOKEN_FILE", "BANTER_DISCORD__TOKEN_FILE?"),
        ("BANTER_TOKEN", "BANTER_PLATFORM__TOKEN, with the platform's name?"),
    ],
)
def test_a_token_under_another_name_is_told_the_right_one(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "canary")
    assert complaint() == f"environment variable {name}: unknown, did you mean {meant}"


def test_a_token_without_our_prefix_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("TELEGRAM_BOT_TOKEN=canary\n")
    with pytest.raises(SettingsError, match="is not set; TELEGRAM_BOT_TOKEN is, and nobody reads that"):
        settings.load().adapters["telegram"].config(TelegramConfig)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[database]\nurl = 'postgresql+asyncpg://me:canary@host/name'",
            "mine.toml: database.url holds a password; put it into the environment or .env as "
            "BANTER_DATABASE__URL",
        ),
        (
            "[database]\nurl = 'postgresql+asyncpg://me@host/name?password=canary'",
            "mine.toml: database.url holds a password; put it into the environment or .env as "
            "BANTER_DATABASE__URL",
        ),
        (
            "[gifs]\napi_key = 'canary'",
            "mine.toml: gifs.api_key is a secret; put it into the environment or .env as "
            "BANTER_GIFS__API_KEY",
        ),
    ],
)
def test_a_secret_in_the_file_is_refused_without_being_shown(text: str, sentence: str) -> None:
    assert complaint(written(text)) == sentence


def test_an_address_without_a_password_may_stand_in_the_file() -> None:
    url = "postgresql+asyncpg://me@host/name"
    found = settings.load(written(f"[database]\nurl = '{url}'\n[gifs]\napi_key = ''")).database.url
    assert found is not None
    assert found.get_secret_value() == url


def test_a_variable_that_is_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANTER_DATABASE__URL", "")
    monkeypatch.setenv("BANTER_GIFS__API_KEY", "")
    loaded = settings.load()
    assert (loaded.database.url, loaded.gifs.api_key) == (None, None)


def test_a_mistake_in_a_flag_is_named() -> None:
    sentence = complaint(flags={"selfplay.turns": 0})
    assert sentence == "flag: selfplay.turns: input should be greater than or equal to 1"


def test_characters_live_here_else_beside_the_program() -> None:
    beside = settings.load().persona_root
    Path("persona_data").mkdir()
    assert settings.load().persona_root == Path("persona_data")
    assert (beside / "lighthouse" / "persona.toml").is_file()
