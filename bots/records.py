"""What stands in JSON columns: drafts of messages, how replies came about, settings of a chat."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter

from bots.messages import ChatKey, Document, Outgoing, Table
from brain.config import Options
from brain.dialogue import Reply


@dataclass(frozen=True, slots=True)
class Draft:
    """One message before it is sent: an Outgoing without its chat and nonce.

    `gif` asks for a picture that fits these words; it is looked for when the message's turn has come.
    """

    text: str
    speaker: str = ""
    table: Table | None = None
    reply_to: str = ""
    answer_by: str = field(default="", repr=False)
    media_url: str = ""
    document: Document | None = None
    asks_feedback: bool = False
    gif: str = ""

    def outgoing(self, chat: ChatKey, nonce: str) -> Outgoing:
        """As the adapter gets it."""
        return Outgoing(
            self.text,
            self.speaker,
            self.table,
            chat,
            self.reply_to,
            nonce,
            self.answer_by,
            self.media_url,
            self.document,
            self.asks_feedback,
        )

    def parts(self, texts: tuple[str, ...]) -> "list[Draft]":
        """The same message in several: the first replies, the last carries what hangs below."""
        if len(texts) <= 1:
            return [self]
        first, *middle, last = texts
        bare = Draft("", self.speaker, answer_by=self.answer_by)
        head = replace(bare, text=first, reply_to=self.reply_to)
        tail = replace(self, text=last, reply_to="")
        return [head, *(replace(bare, text=text) for text in middle), tail]

    def to_json(self) -> dict[str, Any]:
        """Only what is said."""
        values: dict[str, Any] = _DRAFT.dump_python(self, mode="json", exclude_defaults=True)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Draft":
        """What `to_json` gave."""
        return _DRAFT.validate_python(values)


_DRAFT = TypeAdapter(Draft)


class ChatSettings(Options):
    """What a chat has set for itself; None = as configured."""

    temperature: Annotated[float, Field(gt=0, le=10)] | None = None
    decoding: Literal["greedy", "sample", "beam", "mmi"] | None = None
    chattiness: Annotated[float, Field(ge=0, le=1)] | None = None

    def overrides(self) -> dict[str, Any]:
        """What of it concerns decoding, by the keys of DecodingConfig."""
        given = {"temperature": self.temperature, "method": self.decoding}
        return {name: value for name, value in given.items() if value is not None}


class CandidateRecord(Options):
    """One candidate without its token ids."""

    text: str
    logprob: float
    num_tokens: int  # the closing end-of-text included
    finish: str
    scores: dict[str, float] = Field(default_factory=dict)
    refused: str | None = None

    @property
    def worth(self) -> float:
        """By what the best was chosen: mutual information, else the log-probability per token."""
        return self.scores.get("mmi", self.logprob / max(1, self.num_tokens))


class ReplyRecord(Options):
    """How a reply was chosen: enough for /why and /retry, and for learning later."""

    candidates: tuple[CandidateRecord, ...]
    chosen: int  # -1 = a fallback line
    shown: tuple[int, ...] = ()  # chosen before and taken back by /retry
    num_turns: int  # there were, the answered one included
    turns_used: int
    prompt_tokens: int
    is_cut: bool = False
    draws: int = 1
    seed: int = 0
    seconds: float = 0.0

    @classmethod
    def from_reply(cls, reply: Reply, num_turns: int) -> Self:
        """What is kept of the brain's answer to a conversation of so many turns."""
        candidates = tuple(
            CandidateRecord(
                text=one.text,
                logprob=one.logprob,
                num_tokens=one.num_tokens,
                finish=one.finish,
                scores=dict(one.scores),
                refused=one.refused,
            )
            for one in reply.candidates
        )
        return cls(
            candidates=candidates,
            chosen=reply.chosen,
            num_turns=num_turns,
            turns_used=len(reply.prompt.turns),
            prompt_tokens=len(reply.prompt.ids),
            is_cut=reply.prompt.is_cut,
            draws=reply.draws,
            seed=reply.seed,
            seconds=reply.seconds,
        )

    def next_best(self) -> Self | None:
        """The same with the best candidate chosen that was not shown yet; None when there is no other."""
        shown = {*self.shown, self.chosen}
        texts = {self.candidates[place].text for place in shown if place >= 0}
        left = [
            place
            for place, one in enumerate(self.candidates)
            if place not in shown and one.refused is None and one.text not in texts
        ]
        if not left:
            return None
        best = max(left, key=lambda place: self.candidates[place].worth)
        return self.model_copy(update={"chosen": best, "shown": tuple(sorted(shown))})
