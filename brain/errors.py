"""What can go wrong in the brain.

BrainError
├── ConfigError        an option is unknown or out of range
├── DataError          a file of dialogues cannot be read at a named line
├── CheckpointError    a model cannot be found, read or trusted
│   └── OtherBase      LoRA weights were trained on another base
├── TrainingError      a run cannot go on: it diverged, or what it makes cannot be written
├── PersonaError       a character is missing or malformed
│   └── VoiceError     a character cannot speak: its LoRA weights cannot be used
├── PromptError        a request cannot be answered: nothing was said, or it is too long
├── EngineBusy         the queue of the engine is full; try again later
├── EngineTimeout      the engine did not finish in the time it was given
└── EngineClosed       the engine was shut down while the request waited
"""

from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ValidationError


class BrainError(Exception):
    """Anything the brain reports on purpose; its text is one sentence meant for a person."""


class ConfigError(BrainError):
    """An option is unknown or out of range."""


class DataError(BrainError):
    """A file of dialogues cannot be read.

    Attributes: path, line_no (1-based, 0 when the whole file is meant), reason.
    """

    def __init__(self, path: str | Path, line_no: int, reason: str) -> None:
        place = f"{path} line {line_no}" if line_no else str(path)
        super().__init__(f"{place}: {reason}")
        self.path, self.line_no, self.reason = str(path), line_no, reason


class CheckpointError(BrainError):
    """A model cannot be found, read or trusted."""


class OtherBase(CheckpointError):
    """LoRA weights were trained on another base than they shall be laid over."""


class TrainingError(BrainError):
    """A training run cannot go on: it diverged, or what it makes cannot be written."""


class PersonaError(BrainError):
    """A character is missing or malformed."""


class VoiceError(PersonaError):
    """A character cannot speak now: its LoRA weights cannot be used.

    The text is for whoever chats and names nothing of this machine; the cause says what is wrong.
    """


class PromptError(BrainError):
    """A request that cannot be answered: nothing was said, or it does not fit the model."""


class EngineBusy(BrainError):
    """The queue of the engine is full; the caller may try again later."""


class EngineTimeout(BrainError):
    """The engine did not finish in the time it was given."""


class EngineClosed(BrainError):
    """The engine was shut down while the request waited."""


def sentence_from_validation(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """One sentence for the first complaint of pydantic, naming the nearest known key for an unknown one.

    Args:
        error: as raised by `model.model_validate`.
        model: the value's class, whose fields are the known keys.
        where: the file or flag, put in front.
    """
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        said = (
            first["msg"]
            .removeprefix("Value error, ")
            .replace("tuple", "list")
            .removesuffix(" after validation")
        )
        return f"{where}: {path or 'value'}: {said[:1].lower()}{said[1:]}"
    known = _fields_at(model, first["loc"][:-1])
    nearest = get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean '{nearest[0]}'?" if nearest else f"known keys: {', '.join(sorted(known))}"
    return f"{where}: unknown key '{path}', {hint}"


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    for part in loc:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return list(model.model_fields)
        model = inner
    return list(model.model_fields)
