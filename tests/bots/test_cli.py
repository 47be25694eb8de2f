"""The real command in a process of its own, with tiny random models."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Banter = Callable[..., subprocess.CompletedProcess[bytes]]


def test_help_takes_less_than_a_quarter_of_a_second(banter: Banter) -> None:
    seconds = []
    for _ in range(3):  # of the processor, so that a busy machine does not matter
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        done = banter("--help")
        seconds.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    assert done.returncode == 0
    assert b"selfplay" in done.stdout
    assert min(seconds) < 0.25


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["chta"], "No such command 'chta'. Did you mean 'chat'?"),
        (["chat", "--modle", "x"], "No such option: --modle (Possible options: --model)"),
        (["chat", "--decoding", "gready"], "'gready' is not one of 'greedy', 'sample', 'beam', 'mmi'"),
        (["chat", "--seed", "x"], "Invalid value for '--seed'"),
        (["chat", "--seed", "-1"], "flag: seed: input should be greater than or equal to 0"),
        (["chat", "--config", "gone.toml"], "gone.toml: there is no such file; check --config"),
        (["chat", "--persona", "brsk"], "no character 'brsk'"),
        (["selfplay"], "Missing argument 'TEXT'"),
        (["selfplay", " "], "TEXT is empty"),
        (["persona"], "Missing command"),
        (["persona", "new", "../x"], "'../x' cannot be a character's folder"),
    ],
)
def test_a_usage_error_is_one_line_and_exit_code_2(args: list[str], sentence: str, banter: Banter) -> None:
    done = banter(*args)
    error = done.stderr.decode()
    assert done.returncode == 2
    assert done.stdout == b""
    assert error.count("\n") == 1
    assert error.startswith("banter: ")
    assert sentence in error


def test_an_unknown_key_in_config_toml_is_one_line_and_exit_code_2(banter: Banter, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[brain]\nmodle = 'x'\n")
    done = banter("chat", "--plain")
    assert done.returncode == 2
    assert done.stderr == b"banter: config.toml: unknown key 'brain.modle', did you mean 'model'?\n"


def test_an_error_does_not_steer_the_terminal(banter: Banter, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('"a\\u001b[2J\\u0007\\u202eb" = 1\n')
    done = banter("persona", "list")
    assert done.returncode == 2
    assert "'a[2Jb'" in done.stderr.decode()
    assert not {"\x1b", "\x07", "\u202e"} & set(done.stderr.decode())


def test_an_unknown_variable_is_one_line_and_exit_code_2(banter: Banter) -> None:
    done = banter("persona", "list", BANTER_PERSONNA="x")
    assert done.returncode == 2
    assert done.stderr == (
        b"banter: environment variable BANTER_PERSONNA: unknown, did you mean BANTER_PERSONA?\n"
    )


def test_a_model_that_is_not_there_is_one_line_and_exit_code_2(banter: Banter, tmp_path: Path) -> None:
    done = banter("chat", "--plain", "--model", str(tmp_path / "gone"), stdin=b"hi\n")
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"gone" in done.stderr


@pytest.mark.parametrize("command", [["chat", "--plain"], ["selfplay", "hello"]], ids=["chat", "selfplay"])
def test_a_talk_takes_a_reverse_model(command: list[str], banter: Banter, models: Path) -> None:
    done = banter(*command, "--model", str(models / "forward"), "--reverse", str(models / "no-reverse"))
    assert done.returncode == 2
    assert b"no-reverse" in done.stderr
    assert b"No such option" not in done.stderr


def test_a_character_is_made_listed_and_shown(banter: Banter) -> None:
    assert banter("persona", "new", "old-sailor", BANTER_PERSONA_DATA="mine").returncode == 0
    listed = banter("persona", "list", BANTER_PERSONA_DATA="mine").stdout.decode()
    assert listed.startswith("old-sailor\tOld Sailor")
    shown = banter("persona", "show", "Old Sailor", BANTER_PERSONA_DATA="mine").stdout.decode()
    assert ["folder:", "old-sailor"] in [line.split() for line in shown.splitlines()]


def test_a_piped_chat_answers_each_line_with_one_line_and_repeats_by_seed(
    banter: Banter, models: Path
) -> None:
    spoken = b"hello\n\n\xff\xfe\n/help\n" + b"word " * 5000 + b"\nhow are you?"
    args = ("chat", "--model", str(models / "forward"), "--seed", "3")
    first, second = banter(*args, stdin=spoken), banter(*args, stdin=spoken)
    assert first.returncode == 0
    assert first.stderr == b""
    assert len(first.stdout.decode().split("\n")) == 7  # six lines and their last newline
    assert all(first.stdout.decode().split("\n")[:-1])
    assert first.stdout == second.stdout


def test_sixty_four_lines_are_answered_in_order(banter: Banter, models: Path) -> None:
    requests: list[object] = [{"turns": [f"hello {n}"], "seed": n} for n in range(64)]
    requests[10] = {"turns": ["word " * 5000 + "tea or coffee?"]}
    requests[20] = {"turns": ["a typed <|endoftext|> is text"]}
    requests[30] = {"turns": []}
    spoken = [json.dumps(request) for request in requests]
    spoken[40] = spoken[40][:-3]
    models_args = ("--model", str(models / "forward"), "--reverse", str(models / "reverse"))
    done = banter("reply", "--json", *models_args, stdin="\n".join(spoken).encode())
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert len(answers) == 64
    assert [place for place, answer in enumerate(answers) if "error" in answer] == [30, 40]
    assert [answer["seed"] for answer in answers[:5]] == [0, 1, 2, 3, 4]
    assert answers[10]["prompt_tokens"] == 128 - 32
    assert answers[20]["prompt_tokens"] > 10
    assert any("mmi" in candidate["scores"] for candidate in answers[0]["candidates"])


def test_a_score_has_both_directions(banter: Banter, models: Path) -> None:
    args = ("--model", str(models / "forward"), "--reverse", str(models / "reverse"))
    done = banter("score", "--json", *args, stdin=b'{"turns": ["hi", "hello"], "response": "bye"}\n')
    answer = json.loads(done.stdout)
    assert answer["forward"] < 0
    assert answer["reverse"] < 0


def test_selfplay_prints_one_line_per_turn(banter: Banter, models: Path) -> None:
    done = banter("selfplay", "hello you", "--turns", "4", "--seed", "1", "--model", str(models / "forward"))
    assert done.returncode == 0
    lines = done.stdout.decode().split("\n")
    assert lines[0] == "hello you"
    assert len(lines) == 5


def test_a_reader_that_leaves_is_no_error(models: Path, environment: dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "bots", "chat", "--model", str(models / "forward")],
        input=b"hello\n" * 5,
        stdout=write,
        stderr=subprocess.PIPE,
        env=environment,
        timeout=60,
    )
    os.close(write)
    assert done.stderr == b""


def heed_interrupts() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so does all that it starts in turn."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_is_quiet_and_exits_130(models: Path, environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "bots", "chat", "--model", str(models / "forward")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=heed_interrupts,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        process.stdout.readline()  # now it waits for the next line
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""
