"""Brains that need no weights, and the real command in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import postgres as postgres_server
import pytest
from stage import MakeStage, Stage

from bots.cast import Cast
from bots.chat import Chat
from bots.options import DatabaseSettings
from brain.brain import Brain
from brain.config import BrainConfig
from brain.persona import Persona
from brain.testing import ScriptedEngine, tiny_encoder, tiny_gpt2

Banter = Callable[..., subprocess.CompletedProcess[bytes]]
MakeChat = Callable[..., Chat]


@pytest.fixture
def odile() -> Persona:
    return Persona("Odile", "odile", greeting="Come in.", fallback=("Go on.", "Hm."))


@pytest.fixture
def engine() -> ScriptedEngine:
    """An engine without a script; `enqueue` adds to it."""
    return ScriptedEngine(tiny_encoder())


@pytest.fixture
def make_chat(engine: ScriptedEngine, odile: Persona, tmp_path: Path) -> MakeChat:
    """A chat whose replies are the given texts, one per call."""

    def make(*replies: str | BaseException, seed: int | None = None) -> Chat:
        for reply in replies:
            engine._script.append(reply if isinstance(reply, BaseException) else (reply,))
        config = BrainConfig()
        return Chat(Brain(engine, config), Cast(tmp_path, config), odile, seed)

    return make


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tiny random models, forward/ and reverse/."""
    root = tmp_path_factory.mktemp("models")
    for seed, role in enumerate(("forward", "reverse")):
        encoder = tiny_encoder()
        tiny_gpt2(encoder, n_positions=128, seed=seed).save_pretrained(root / role)
        encoder.save(root / role / "tokenizer.json")
    return root


@pytest.fixture
def environment() -> dict[str, str]:
    """Ours, without settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BANTER_")}
    return kept | {"OMP_NUM_THREADS": "1"}


@pytest.fixture
def banter(tmp_path: Path, environment: dict[str, str]) -> Banter:
    """Run the command in an empty folder; the process that ended."""

    def run(*args: str, stdin: bytes = b"", **variables: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "bots", *args],
            input=stdin,
            capture_output=True,
            cwd=tmp_path,
            env=environment | variables,
            timeout=120,
        )

    return run


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.Postgres]:
    """A server for the whole run."""
    with postgres_server.running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseSettings:
    """An empty database; a test that takes it runs on each kind."""
    if request.param == "sqlite":
        return DatabaseSettings(path=str(tmp_path / "banter.db"))
    found: DatabaseSettings = request.getfixturevalue("postgres").database()
    return found


@pytest.fixture
def new_stage(tmp_path: Path, database: DatabaseSettings) -> MakeStage:
    """Stages on that database."""
    return partial(Stage, tmp_path, database=database)
