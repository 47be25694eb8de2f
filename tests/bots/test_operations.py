"""init, doctor, run and the verbs on the database, as commands and as parts."""

import asyncio
import json
import stat
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from bots import wizard
from bots.doctor import Seen, examine
from bots.errors import NameTaken, SettingsError
from bots.settings import load
from bots.wizard import Questions

Banter = Callable[..., CompletedProcess[bytes]]
TOKEN = "110201543:AAHcanaryCANARYcanaryCANARYcanary00"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answering(*answers: str) -> Questions:
    left = list(answers)
    return Questions(lambda question, default: left.pop(0) or default, lambda question: left.pop(0))


def test_init_writes_settings_that_are_valid(here: Path) -> None:
    done = wizard.run(answering("console", "lighthouse"))
    assert done[0] == "wrote config.toml"
    assert load().persona == "lighthouse"
    assert load().adapters["console"].is_enabled
    with pytest.raises(NameTaken, match="--force"):
        wizard.run(answering())


def test_init_names_what_cannot_be_and_writes_nothing(here: Path) -> None:
    with pytest.raises(SettingsError, match="no platform 'owl' is installed"):
        wizard.run(answering("owl"))
    with pytest.raises(SettingsError, match="no character 'nobody'"):
        wizard.run(answering("console", "nobody"))
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("name", "value", "is_good"),
    [
        ("telegram", TOKEN, True),
        ("telegram", "110201543", False),
        ("discord", "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs", True),
        ("discord", TOKEN, False),
    ],
)
def test_the_shape_of_a_token_is_checked_without_showing_it(name: str, value: str, is_good: bool) -> None:
    if is_good:
        assert wizard._secret(answering(value), name, "token") == value
        return
    with pytest.raises(SettingsError) as error:
        wizard._secret(answering(value, value, value), name, "token")
    assert value not in str(error.value)


def test_a_token_that_was_copied_badly_is_asked_for_again(here: Path) -> None:
    wizard.run(answering("telegram", "banter", "oops", TOKEN))
    assert Path(".env").read_text() == f"BANTER_TELEGRAM__TOKEN={TOKEN}\n"


def test_settings_that_are_broken_are_replaced_by_force_as_the_doctor_says(here: Path) -> None:
    Path("config.toml").write_text("[brian\n")
    [seen] = findings()
    assert "`banter init --force`" in seen.finding.fix
    wizard.run(answering("console", "lighthouse"), is_overwriting=True)
    assert load().persona == "lighthouse"


def test_a_file_that_cannot_be_written_is_named(here: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone/config.toml cannot be written: No such file or directory"):
        wizard.run(answering("console", "banter"), file=Path("gone/config.toml"))


def test_secrets_replace_their_lines_and_are_readable_for_the_owner_alone(here: Path) -> None:
    Path(".env").write_text("BANTER_OWL__TOKEN=old\nBANTER_SEED=1\n")
    wizard._write(Path(".env"), wizard._with_secrets(Path(".env"), {"BANTER_OWL__TOKEN": "new"}))
    assert Path(".env").read_text() == "BANTER_SEED=1\nBANTER_OWL__TOKEN=new\n"
    assert stat.S_IMODE(Path(".env").stat().st_mode) == 0o600


def findings() -> list[Seen]:
    return asyncio.run(examine(None))


def test_doctor_finds_nothing_wrong_with_a_good_start(here: Path) -> None:
    wizard.run(answering("console", "lighthouse"))
    assert {seen.finding.level for seen in findings()} == {"ok"}
    assert not (here / ".banter").exists()  # it changes nothing


def test_doctor_names_each_thing_and_its_fix(here: Path) -> None:
    Path("config.toml").write_text('persona = "nobody"\n[database]\npath = "junk.db"\n')
    Path("junk.db").write_text("junk" * 1000)
    Path(".env").write_text("")
    Path(".env").chmod(0o644)
    seen = {one.where: one.finding for one in findings()}
    assert seen[".env"].fix == "chmod 600 .env"
    assert seen["persona"].level == "problem"
    assert seen["database"].level == "problem"
    assert seen["platforms"].fix.startswith("run `banter init`")
    assert all(finding.fix for finding in seen.values() if finding.level != "ok")


def test_doctor_judges_a_token_by_its_looks_without_a_network(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("config.toml").write_text('[telegram]\nenabled = true\nbase_url = "http://127.0.0.1:9"\n')
    monkeypatch.setenv("BANTER_TELEGRAM__TOKEN", "canary-of-nothing")
    told = [one.finding for one in findings() if one.where == "telegram"]
    assert told[0].level == "warning"
    assert told[0].what.startswith("the token does not look like one: 123456789:AAH and 32 more")
    assert "canary" not in str(told)


def test_doctor_tells_a_mistake_in_the_settings(here: Path) -> None:
    Path("config.toml").write_text("[runn]\n")
    [seen] = findings()
    assert "did you mean 'run'?" in seen.sentence()


def test_the_verbs_on_the_database(banter: Banter, tmp_path: Path) -> None:
    assert b"run `banter migrate`" in banter("export", "--adapter", "console", "--user", "1").stderr
    assert banter("migrate").stdout == b"up to date\n"
    found = json.loads(banter("export", "--adapter", "console", "--user", "1").stdout)
    assert (found["user"], found["turns"]) == ("1", [])
    assert banter("forget", "--adapter", "console", "--user", "1").stdout.startswith(b"deleted 0 turns")
    assert banter("backup", "copy.db").returncode == 0
    assert banter("restore", "copy.db").stdout.startswith(b"restored copy.db; what was there is")


def test_a_platform_that_is_not_there_is_named_and_nothing_is_looked_for(banter: Banter) -> None:
    banter("migrate")
    for verb in ("export", "forget"):
        done = banter(verb, "--adapter", "telegrm", "--user", "1")
        assert done.returncode == 2
        assert done.stderr == (b"banter: there is no platform 'telegrm'; known: console, discord, telegram\n")


def test_run_without_a_platform_says_what_to_do_before_it_loads_a_model(banter: Banter) -> None:
    done = banter("run")
    assert done.returncode == 2
    assert done.stderr.startswith(b"banter: no chat platform is enabled; run `banter init`")


def test_doctor_for_programs(banter: Banter) -> None:
    done = banter("doctor", "--json")
    told = json.loads(done.stdout)
    assert told["ok"] is True
    assert {"where", "level", "what", "fix"} == set(told["findings"][0])


@pytest.mark.parametrize("user", ["", " "])
@pytest.mark.parametrize("command", ["export", "forget"])
def test_nobody_is_exported_or_forgotten_by_an_empty_id(command: str, user: str, banter: Banter) -> None:
    done = banter(command, "--adapter", "console", "--user", user)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"the person's id is empty" in done.stderr
