import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from huggingface_hub import constants

from brain.checkpoint import load
from brain.encoding import TurnEncoder, train_encoder
from brain.errors import CheckpointError
from brain.hub import is_hub_id, snapshot
from brain.testing import SENTENCES, tiny_encoder, tiny_gpt2

ROOT = Path(__file__).parents[2]
CLOSED_PORT = "http://127.0.0.1:9"  # nothing listens there
INDEX = "pytorch_model.bin.index.json"
SHARDS = ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin")
TEMPLATE = "/{repo_id}/resolve/{revision}/{filename}"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, with the hub itself out of reach."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", CLOSED_PORT)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "hub"


class HubOnThisMachine(BaseHTTPRequestHandler):
    """Serves the models below as the hub does; every other one is missing."""

    FILES: ClassVar = {
        "somebody/both": (
            "config.json",
            "model.safetensors",
            "pytorch_model.bin",
            "tf_model.h5",
            "vocab.json",
        ),
        "somebody/old": ("config.json", "tokenizer.json", "pytorch_model.bin", "training_args.bin"),
        "somebody/large": (
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json",
        ),
    }

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        name = "/".join(path.removeprefix("/api/models").split("/")[1:3])
        if name not in self.FILES:
            return self._answer(404, {"X-Error-Code": "RepoNotFound"}, b"{}")
        files = self.FILES[name]
        if "/tree/" in path:
            return self._json([{"type": "file", "path": f, "size": len(f), "oid": oid(f)} for f in files])
        if "/resolve/" in path:
            file = path.rpartition("/")[2]
            return self._answer(200, {"ETag": f'"{oid(file)}"', "X-Repo-Commit": "0" * 40}, file.encode())
        return self._json({"id": name, "sha": "0" * 40, "siblings": [{"rfilename": f} for f in files]})

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""

    def _json(self, value: object) -> None:
        self._answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def oid(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), HubOnThisMachine) as server:
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + TEMPLATE)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.fixture(scope="module")
def encoder() -> TurnEncoder:
    return tiny_encoder()


def cached(cache: Path, name: str, *files: str) -> Path:
    """A folder of the cache as the hub's library lays it out; its files are empty, but for the index."""
    repo = cache / f"models--{name.replace('/', '--')}"
    commit = "0" * 40
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    folder = repo / "snapshots" / commit
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).touch()
    if INDEX in files:
        (folder / INDEX).write_text(json.dumps({"weight_map": dict(enumerate(SHARDS))}))
    return folder


@pytest.mark.parametrize("name", ["gpt2", "microsoft/DialoGPT-medium", "a.b/c_d-1"])
def test_owner_and_name_or_a_name_alone_can_be_hub_ids(name: str) -> None:
    assert is_hub_id(name)


@pytest.mark.parametrize(
    "name", ["", "a/b/c", "../up", "./here", "/abs/olute", "~/x", "a b", "a/", "x" * 97, "a\n"]
)
def test_paths_and_odd_names_are_no_hub_ids(name: str) -> None:
    assert not is_hub_id(name)


def test_a_hub_id_that_cannot_be_reached_fails_within_seconds_and_says_what_works_offline(
    tmp_path: Path,
) -> None:
    code = (
        "import sys\n"
        "from brain.checkpoint import load\n"
        "from brain.errors import CheckpointError\n"
        "try:\n"
        "    load('microsoft/DialoGPT-medium', role='forward')\n"
        "except CheckpointError as error:\n"
        "    sys.exit(str(error))\n"
    )
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    env |= {"HF_ENDPOINT": CLOSED_PORT, "HF_HUB_CACHE": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=8,
        check=False,
    )

    assert done.stderr.strip() == (
        "'microsoft/DialoGPT-medium' is neither a folder here nor in the local cache, and the model hub "
        "cannot be reached; these work offline: starter, a local folder, a .pkl file"
    )


def test_a_hub_model_in_the_cache_loads_without_network(cache: Path, encoder: TurnEncoder) -> None:
    folder = cached(cache, "somebody/chat")
    tiny_gpt2(encoder).save_pretrained(folder)
    encoder.save(folder / "tokenizer.json")

    assert load("somebody/chat", role="forward", device="cpu").encoder.vocab_size == encoder.vocab_size


@pytest.mark.parametrize(
    "files",
    [
        ("config.json", "tokenizer.json", "model.safetensors"),
        ("config.json", "vocab.json", "merges.txt", "pytorch_model.bin"),
        ("config.json", "tokenizer.json", INDEX, *SHARDS),
        ("adapter_config.json", "adapter_model.safetensors"),
    ],
)
def test_description_tokenizer_and_weights_make_a_cached_model_whole(
    cache: Path, files: tuple[str, ...]
) -> None:
    folder = cached(cache, "somebody/chat", *files)

    assert snapshot("somebody/chat") == folder


@pytest.mark.parametrize(
    "files",
    [
        ("config.json", "tokenizer.json"),
        ("tokenizer.json", "model.safetensors"),
        ("config.json", "vocab.json", "model.safetensors"),
        ("config.json", "tokenizer.json", *SHARDS),
        ("config.json", "tokenizer.json", INDEX),
        ("config.json", "tokenizer.json", INDEX, SHARDS[0]),
    ],
)
def test_a_half_downloaded_model_is_not_taken_for_a_whole_one(cache: Path, files: tuple[str, ...]) -> None:
    cached(cache, "somebody/chat", *files)

    with pytest.raises(CheckpointError, match="the model hub cannot be reached"):
        snapshot("somebody/chat")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("somebody/both", {"config.json", "model.safetensors", "vocab.json"}),
        ("somebody/old", {"config.json", "tokenizer.json", "pytorch_model.bin"}),
        ("somebody/large", set(HubOnThisMachine.FILES["somebody/large"])),
    ],
)
def test_a_download_takes_safetensors_where_there_are_some_and_nothing_it_does_not_need(
    name: str, files: set[str]
) -> None:
    folder = snapshot(name)

    assert {file.name for file in folder.iterdir()} == files


@pytest.mark.usefixtures("hub")
def test_a_downloaded_model_is_found_again_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = snapshot("somebody/old")

    monkeypatch.setattr(constants, "ENDPOINT", CLOSED_PORT)

    assert snapshot("somebody/old") == folder


@pytest.mark.usefixtures("hub")
def test_a_model_the_hub_does_not_have_is_told_so() -> None:
    with pytest.raises(
        CheckpointError, match="no model 'somebody/else', neither here as a folder nor on the hub"
    ):
        snapshot("somebody/else")


def test_offline_mode_asks_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "ENDPOINT", "no url at all")

    with pytest.raises(CheckpointError, match="the model hub cannot be reached"):
        snapshot("somebody/chat")


def test_a_pkl_takes_the_cached_tokenizer_of_gpt2_when_it_has_one_entry_per_row(
    cache: Path, tmp_path: Path, encoder: TurnEncoder
) -> None:
    encoder.save(cached(cache, "openai-community/gpt2") / "tokenizer.json")
    file = weight_file(tmp_path, encoder)

    assert load(str(file), role="forward", device="cpu").encoder.vocab_size == encoder.vocab_size


def test_a_pkl_does_not_take_a_cached_tokenizer_of_another_size(
    cache: Path, tmp_path: Path, encoder: TurnEncoder
) -> None:
    train_encoder(SENTENCES, vocab_size=280).save(cached(cache, "openai-community/gpt2") / "tokenizer.json")
    file = weight_file(tmp_path, encoder)

    with pytest.raises(CheckpointError, match="no tokenizer; put tokenizer"):
        load(str(file), role="forward", device="cpu")


def weight_file(folder: Path, encoder: TurnEncoder) -> Path:
    tiny_gpt2(encoder).save_pretrained(folder / "model")
    return folder / "model" / "model.safetensors"
