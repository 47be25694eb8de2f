"""Sections of config.toml for `banter run`; `settings` gathers them."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from brain.config import Options

_Count = Annotated[int, Field(ge=1, le=1_000_000)]
_FromZero = Annotated[int, Field(ge=0, le=1_000_000)]
_Seconds = Annotated[float, Field(gt=0, le=31_536_000)]
_SecondsFromZero = Annotated[float, Field(ge=0, le=31_536_000)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Ids = tuple[str, ...]
_Secret = Annotated[SecretStr | None, BeforeValidator(lambda given: given or None)]  # empty = not set


class DatabaseSettings(Options):
    """[database]: where conversations and what waits are kept."""

    path: str = ".banter/banter.db"  # SQLite file, made when it is missing
    synchronous: Literal["normal", "full"] = "normal"  # full also survives a power cut; slower
    url: _Secret = None  # instead of path: postgresql+asyncpg://user:password@host/name


class RunSettings(Options):
    """[run]: how `banter run` works through what comes in."""

    max_chats: _Count = 256  # worked on at once; each gets one answer at a time
    max_waiting: _Count = 10_000  # events waiting in all before platforms are told to wait
    max_waiting_per_chat: _Count = 50  # more are refused with a notice
    merge_above: _FromZero = 5  # with more waiting in a chat, one person's lines in a row become one turn
    max_attempts: _Count = 3  # failed answers before an apology
    retry_s: _Seconds = 1.0  # after the first failure, four times as long after each further one
    stale_after_s: _SecondsFromZero = 21_600.0  # older messages get one note per chat; 0 = never too old
    send_for_s: _Seconds = 3_600.0  # a message that cannot be sent is tried for so long
    on_unsure: Literal["resend", "skip"] = "resend"  # a message that may have been sent before a crash
    chattiness: _Share = 0.0  # chance to answer in groups without being addressed
    feedback_buttons: bool = False  # thumbs below each reply, where a platform has buttons
    drain_s: _Seconds = 6.0  # at the end: for answers in the making
    lease_s: _Seconds = 15.0  # after a crash, other processes take over a chat then
    keep_days: _Seconds = 8.0  # event keys, by which repeats are known, and counts of messages


class GateSettings(Options):
    """[gates]: who is heard, and how much of each. Ids are "id" or "adapter:id"."""

    admins: _Ids = ()
    allow_users: _Ids = ()  # empty = everybody; so for all lists
    deny_users: _Ids = ()
    allow_chats: _Ids = ()
    deny_chats: _Ids = ()
    allow_guilds: _Ids = ()
    deny_guilds: _Ids = ()
    allow_roles: _Ids = ()
    deny_roles: _Ids = ()
    person_burst: _FromZero = 20  # messages at once; 0 = no bound
    person_per_min: _Seconds = 20.0
    chat_burst: _FromZero = 60
    chat_per_min: _Seconds = 60.0
    all_burst: _FromZero = 0
    all_per_min: _Seconds = 6_000.0
    notice_every_s: _Seconds = 600.0  # at most one notice to the same flooder in this time


class GifSettings(Options):
    """[gifs]: pictures from GIPHY after some replies; off without a key."""

    api_key: _Secret = None
    endpoint: str = "https://api.giphy.com/v1/gifs/translate"
    probability: _Share = 0.0  # beside those asked for with @gif
    max_words: _Count = 10  # of a reply that may get one unasked
    timeout_s: _Seconds = 2.0


class LogSettings(Options):
    """[log]: lines on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"  # auto = text on a terminal, else JSON
