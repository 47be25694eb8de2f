"""Models of the Hugging Face hub: the local cache first, then the network with short waits."""

import re
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from brain.errors import CheckpointError
from brain.tensors import read_json

GPT2_TOKENIZERS = (
    "openai-community/gpt2",
    "gpt2",
    *(f"microsoft/DialoGPT-{size}" for size in ("small", "medium", "large")),
)
SMALL_FILES = ["config.json", "tokenizer.json", "vocab.json", "merges.txt", "adapter_config.json"]
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")  # in order of preference
REACH_S = 4.0  # offline must be noticed within seconds

_SHARD = re.compile(r"-\d+-of-\d+\.\w+")
_ID = re.compile(r"(?=.{1,96}$)[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def is_hub_id(name: str) -> bool:
    """Whether `name` can be a model of the hub: NAME or OWNER/NAME."""
    return _ID.fullmatch(name) is not None


def snapshot(name: str) -> Path:
    """The folder of a hub model in the local cache, downloaded when it is not complete there.

    Raises:
        CheckpointError: the hub cannot be reached within seconds, or has no such model for us.
    """
    folder = _cached(name)
    if folder is None:
        _require_hub(name)
        folder = _download(name)
    if folder is None:
        raise CheckpointError(f"the hub's model '{name}' has no weights in safetensors or PyTorch format")
    return folder


def cached_gpt2_tokenizers() -> Iterator[Path]:
    """Folders of the local cache with GPT-2's tokenizer, which DialoGPT shares; nothing is downloaded."""
    from huggingface_hub import try_to_load_from_cache

    for name in GPT2_TOKENIZERS:
        for file in ("tokenizer.json", "merges.txt"):
            found = try_to_load_from_cache(name, file)
            if isinstance(found, str):
                yield Path(found).parent


def _cached(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    for weights in WEIGHTS:
        try:
            folder = snapshot_download(name, allow_patterns=_patterns(weights), local_files_only=True)
        except (LocalEntryNotFoundError, HFValidationError):
            continue
        if _is_whole(Path(folder), weights):
            return Path(folder)
    return None


def _patterns(weights: str) -> list[str]:
    return [*SMALL_FILES, weights, _index_of(weights)]


def _index_of(weights: str) -> str:
    """Of sharded weights: it says which file holds which, and without it they cannot be read."""
    return f"{weights}.index.json"


def _is_whole(folder: Path, weights: str) -> bool:
    """Whether nothing is missing: a description, a tokenizer, the weights, and every shard of an index."""
    has = {file.name for file in folder.iterdir() if file.is_file()}  # a broken link is no file
    has_tokenizer = "tokenizer.json" in has or {"vocab.json", "merges.txt"} <= has
    if "adapter_config.json" not in has and not ("config.json" in has and has_tokenizer):
        return False  # LoRA weights take both from their base
    indexes = list(folder.glob(_index_of(weights)))
    if not indexes:
        return any(not _SHARD.search(file.name) for file in folder.glob(weights) if file.is_file())
    try:
        maps = [read_json(index).get("weight_map") for index in indexes]
    except CheckpointError:
        return False
    return all(isinstance(shards, dict) and has.issuperset(map(str, shards.values())) for shards in maps)


def _download(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    http_error: type[BaseException] = HfHubHTTPError.__mro__[1]  # of whichever HTTP client the library uses
    try:
        for weights in WEIGHTS:
            folder = snapshot_download(name, allow_patterns=_patterns(weights), etag_timeout=REACH_S)
            if any(Path(folder).glob(weights)):
                return Path(folder)
    except GatedRepoError as error:
        raise CheckpointError(
            f"the hub gives '{name}' only to those who accepted its terms: do so there, then set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"there is no model '{name}', neither here as a folder nor on the hub"
        ) from error
    except (http_error, OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"'{name}' cannot be downloaded from the hub: {reason}") from error
    return None


def _require_hub(name: str) -> None:
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE and _answers(constants.ENDPOINT):
        return
    raise CheckpointError(
        f"'{name}' is neither a folder here nor in the local cache, and the model hub cannot be reached; "
        "these work offline: starter, a local folder, a .pkl file"
    )


def _answers(endpoint: str) -> bool:
    """Whether HTTP is spoken at `endpoint`; the wait includes name resolution, hence the thread."""
    answers = threading.Event()
    done = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=REACH_S).close()
            answers.set()
        except urllib.error.HTTPError:
            answers.set()
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLError):  # the download itself brings its own certificates
                answers.set()
        except (OSError, ValueError):
            pass
        finally:
            done.set()

    threading.Thread(target=ask, name="hub-probe", daemon=True).start()
    done.wait(REACH_S)
    return answers.is_set()
