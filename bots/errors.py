"""What can go wrong where people come in.

BotError
├── SettingsError      config.toml, the environment or a flag holds something unknown or out of range
├── NameTaken          a file that must not be overwritten is there already
└── LineError          one line of a batch cannot be answered; the rest go on
"""


class BotError(Exception):
    """Anything reported on purpose; its text is one sentence meant for a person."""

    exit_code = 1


class SettingsError(BotError):
    """config.toml, the environment or a flag holds something unknown or out of range."""

    exit_code = 2


class NameTaken(BotError):
    """A file that must not be overwritten is there already."""

    exit_code = 2


class LineError(BotError):
    """One line of a batch cannot be answered.

    Attributes: line_no (1-based), reason.
    """

    def __init__(self, line_no: int, reason: str) -> None:
        super().__init__(f"line {line_no}: {reason}")
        self.line_no, self.reason = line_no, reason
