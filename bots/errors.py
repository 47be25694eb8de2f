"""What can go wrong where people come in.

BotError
├── SettingsError             config.toml, the environment or a flag holds something unknown or out of range
├── NameTaken                 a file that must not be overwritten is there already
├── NobodyNamed               a person is asked for without an id
├── LineError                 one line of a batch cannot be answered; the rest go on
├── DatabaseError             the database is newer than the program, in use, damaged or not there
├── Busy                      the inbox is full: do not acknowledge, offer the same again
└── AdapterError              something between us and a chat platform
    ├── AdapterMissing        no adapter of this name, or it cannot be loaded
    ├── AdapterUnauthorized   the platform refuses the bot itself, final until somebody changes something
    ├── AdapterConflict       somebody else receives with the same token
    ├── AdapterOffline        the platform cannot be reached
    └── DeliveryError         one message cannot be sent
        ├── RetryAfter        not now: the platform says when
        ├── SendFailed        this time: network, time-out, the platform's own failure
        ├── SendRefused       never: the platform does not take this message
        │   └── MessageTooLong
        └── ChatGone          never again to this chat: blocked, deleted, forbidden

No text of these holds a token: an adapter names what failed, not the address it asked.
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


class NobodyNamed(BotError):
    """A person is asked for whose id is empty."""

    exit_code = 2


class LineError(BotError):
    """One line of a batch cannot be answered.

    Attributes: line_no (1-based), reason.
    """

    def __init__(self, line_no: int, reason: str) -> None:
        super().__init__(f"line {line_no}: {reason}")
        self.line_no, self.reason = line_no, reason


class Busy(BotError):
    """The inbox is full; a webhook answers 503, polling fetches the same again.

    Attributes: retry_after_s.
    """

    def __init__(self, reason: str = "too much is waiting", retry_after_s: float = 1.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class DatabaseError(BotError):
    """The database is newer than the program, in use by another, damaged or not there."""


class AdapterError(BotError):
    """Something between us and a chat platform."""


class AdapterMissing(AdapterError):
    """No adapter of this name, or its module cannot be loaded, or it was written for another API version."""

    exit_code = 2


class AdapterUnauthorized(AdapterError):
    """The platform refuses the token or a right the bot cannot do without; trying again changes nothing."""

    exit_code = 2


class AdapterConflict(AdapterError):
    """Somebody else receives with the same token: a second process, or a webhook that is still set."""


class AdapterOffline(AdapterError):
    """The platform cannot be reached now; `run` tries again by itself, `check` and start-up report it."""


class DeliveryError(AdapterError):
    """One message cannot be sent."""


class RetryAfter(DeliveryError):
    """The platform asks for a pause; nothing was sent.

    Attributes: seconds; is_overall, False when only this chat has to wait.
    """

    def __init__(self, seconds: float, is_overall: bool = False) -> None:
        super().__init__(f"the platform asks to wait {seconds:g} s")
        self.seconds, self.is_overall = seconds, is_overall


class SendFailed(DeliveryError):
    """Sending failed this time and may succeed later.

    Attributes: is_sent_maybe, True when the answer was lost and the message may be there: a time-out.
    """

    def __init__(self, reason: str, is_sent_maybe: bool = False) -> None:
        super().__init__(reason)
        self.is_sent_maybe = is_sent_maybe


class SendRefused(DeliveryError):
    """The platform does not take this message, now or later."""


class MessageTooLong(SendRefused):
    """The text exceeds the limits; nothing was sent.

    Attributes: length, max_len, both in the platform's unit.
    """

    def __init__(self, length: int, max_len: int) -> None:
        super().__init__(f"the text has {length} units, the platform takes {max_len}")
        self.length, self.max_len = length, max_len


class ChatGone(DeliveryError):
    """The chat is closed to the bot: it was blocked or removed, or the chat was deleted."""
