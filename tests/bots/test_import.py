"""`banter import` in a process of its own, as somebody types it."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Banter = Callable[..., subprocess.CompletedProcess[bytes]]
SAID = "".join(
    f"{day:02}/03/2024, 10:0{at} - {name}: {text} {day}\n"
    for day in range(1, 12)
    for at, (name, text) in enumerate(
        [("Ann", "write to ann@example.org"), ("Ben", "will do"), ("Ann", "thanks")]
    )
)


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    path = tmp_path / "chat.txt"
    path.write_text(SAID)
    return path


def test_an_export_becomes_training_data_and_a_character(banter: Banter, chat: Path, tmp_path: Path) -> None:
    (tmp_path / "persona_data").mkdir()
    args = ("--speaker", "Ben", "--persona", "ben", "--out", "ben.jsonl", "--yes")
    done = banter("import", "whatsapp", "chat.txt", *args)
    told = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    assert "sessions\t11\n" in told
    assert "contact data\t11 email, masked" in told
    assert "held out\t1 of 11 sessions, the newest -> ben.dev.jsonl" in told
    assert told.endswith(
        "Next:    banter finetune --data ben.jsonl --dev ben.dev.jsonl --base starter --preset laptop "
        "--out runs/ben\n"
    )
    assert len((tmp_path / "ben.jsonl").read_text().splitlines()) == 10
    assert "ann@" not in (tmp_path / "ben.jsonl").read_text()
    assert (tmp_path / "ben.jsonl").stat().st_mode & 0o777 == 0o600
    assert b"Ben" in banter("persona", "show", "ben").stdout
    assert sorted(path.name for path in (tmp_path / "persona_data" / "ben").iterdir()) == [
        "SOURCE.md",
        "persona.toml",
    ]


def test_what_is_written_can_be_trained_on(banter: Banter, chat: Path, models: Path, tmp_path: Path) -> None:
    banter("import", "whatsapp", "chat.txt", "--speaker", "Ben", "--out", "ben.jsonl", "--yes")
    (tmp_path / "tiny.toml").write_text("[optim]\nepochs = 0.1\nrow_lens = [64]\nbatch_tokens = 64\n")
    base = str(models / "forward")
    files = ("--data", "ben.jsonl", "--dev", "ben.dev.jsonl", "--recipe", "tiny.toml", "--out", "run")
    done = banter("finetune", *files, "--base", base)
    assert done.returncode == 0, done.stderr


def test_json_is_one_object_and_a_dry_run_writes_nothing(banter: Banter, chat: Path, tmp_path: Path) -> None:
    done = banter("import", "whatsapp", "chat.txt", "--speaker", "Ben", "--dry-run", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert (found["sessions"], found["held_out"], found["trained_turns"]) == (11, 1, 11)
    assert found["contacts"] == {"email": 11}
    assert [path.name for path in tmp_path.iterdir()] == ["chat.txt"]


def test_a_card_brings_greeting_and_all_of_itself(banter: Banter, tmp_path: Path) -> None:
    said = {"first_mes": 'Say "hi"\n{{user}}', "mes_example": "{{user}}: a\n{{char}}: b"}
    card = {"spec": "chara_card_v2", "data": {"name": "Mira", "extensions": {"x": 1}, **said}}
    (tmp_path / "mira.json").write_text(json.dumps(card))
    (tmp_path / "persona_data").mkdir()
    done = banter("import", "card", "mira.json", "--persona", "mira", "--out", "m.jsonl", "--yes")
    assert done.returncode == 0, done.stderr
    assert 'Say "hi" User' in banter("persona", "show", "mira").stdout.decode()
    assert json.loads((tmp_path / "persona_data/mira/card.json").read_text()) == card


def test_a_character_that_is_there_stays_as_it_is(banter: Banter, chat: Path, tmp_path: Path) -> None:
    (tmp_path / "persona_data" / "ben").mkdir(parents=True)
    (tmp_path / "persona_data" / "ben" / "persona.toml").write_text('name = "Mine"\n')
    args = ("--speaker", "Ben", "--persona", "ben", "--out", "ben.jsonl", "--yes")
    assert banter("import", "whatsapp", "chat.txt", *args).returncode == 0
    assert (tmp_path / "persona_data/ben/persona.toml").read_text() == 'name = "Mine"\n'


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (["whatsapp", "chat.txt", "--out", "o"], 2, "--speaker is missing: say who becomes the character"),
        (["whatsapp", "chat.txt", "--speaker", "Bne", "--out", "o"], 2, "did you mean 'Ben'?"),
        (["whatsapp", "chat.txt", "--speaker", "Ben"], 2, "--out is missing"),
        (["whatsapp", "chat.txt", "--speaker", "Ben", "--out", "chat.txt"], 2, "would be overwritten"),
        (["whatsapp", "chat.txt", "--speaker", "Ben", "--out", "o"], 2, "say --yes"),
        (
            ["whatsapp", "chat.txt", "--speaker", "Ben", "--out", "o", "--persona", "../x"],
            2,
            "cannot be a character's",
        ),
        (["whatsapp", "chat.txt", "--speaker", "Ben", "--out", "o", "--gap", "0"], 2, "import.gap_s"),
        (["icq", "chat.txt"], 2, "'icq' is not one of"),
        (["whatsapp", "gone.txt", "--speaker", "Ben", "--out", "o"], 1, "gone.txt: there is no such file"),
        (["telegram", "chat.txt", "--speaker", "Ben", "--out", "o"], 1, "chat.txt line 1: is not the JSON"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    args: list[str], code: int, sentence: str, banter: Banter, chat: Path, tmp_path: Path
) -> None:
    done = banter("import", *args)
    assert done.returncode == code
    assert sentence in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["chat.txt"]
    assert chat.read_text() == SAID


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 2)])
def test_a_terminal_is_asked_for_consent(
    answer: bytes, code: int, chat: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    master, slave = pty.openpty()
    os.write(master, answer)
    command = [
        sys.executable,
        "-m",
        "bots",
        "import",
        "whatsapp",
        "chat.txt",
        "--speaker",
        "Ben",
        "--out",
        "o.jsonl",
    ]
    done = subprocess.run(
        command, stdin=slave, capture_output=True, cwd=tmp_path, env=environment, timeout=60
    )
    os.close(master)
    os.close(slave)
    assert done.returncode == code
    assert b"agree" in done.stderr
    assert (tmp_path / "o.jsonl").exists() == (code == 0)


def telegram_export(path: Path, num: int) -> None:
    with path.open("w") as file:
        file.write('{"name": "Ann", "id": 1, "messages": [')
        for at in range(num):
            said = {"id": at, "type": "message", "date_unixtime": str(at * 90)}
            said |= {"from": ("Ann", "Ben")[at % 2], "text": f"line {at} " + "of a long afternoon " * 20}
            file.write(("," if at else "") + json.dumps(said))
        file.write("]}")


def test_memory_does_not_grow_with_the_export(banter: Banter, tmp_path: Path) -> None:
    peaks = []
    for num in (4_000, 40_000):  # 2 and 20 MB
        telegram_export(tmp_path / "result.json", num)
        code = "import resource, sys; from bots.cli import main; main();" \
               "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"  # fmt: skip
        args = ["import", "telegram", "result.json", "--speaker", "Ben", "--out", "o.jsonl", "--yes"]
        done = subprocess.run(
            [sys.executable, "-c", code, *args], cwd=tmp_path, capture_output=True, text=True, timeout=120,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] - peaks[0] < 20_000  # KiB
