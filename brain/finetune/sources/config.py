"""Options of an import: section [import] of config.toml."""

from typing import Annotated, Literal

from pydantic import Field

from brain.config import Options

SourceName = Literal["telegram", "whatsapp", "discord", "csv", "sharegpt", "chatml", "card", "plain"]
DateOrder = Literal["auto", "dmy", "mdy", "ymd"]


class ImportConfig(Options):
    """How messages become sessions."""

    gap_s: Annotated[float, Field(gt=0, le=31_536_000)] = 3600.0  # a longer silence begins a new session
    joiner: str = " "  # between the messages that one speaker sent in a row
    merge_runs: bool = True  # False = each message is a turn of its own
    dev_share: Annotated[float, Field(ge=0, le=0.9)] = 0.1  # newest sessions, kept from training; 0 = none
    keep_contact_data: bool = False  # True = addresses, numbers and the like stay as they were written
    keep_forwarded: bool = False  # True = what somebody forwarded counts as their own words
    max_turns: Annotated[int, Field(ge=2, le=100_000)] = 200  # a longer session is cut in pieces
    date_order: DateOrder = "auto"  # WhatsApp: how the export writes dates; auto = deduced from all of them
