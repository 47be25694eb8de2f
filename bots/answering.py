"""A claimed chat becomes the next step of its work: a command is run, what was said is answered."""

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from bots import orders
from bots.asking import Asked, House
from bots.chat import Speaker
from bots.claims import Claim, Waiting
from bots.errors import BotError, DatabaseError
from bots.ledger import Step, Verdict
from bots.messages import Limits
from bots.options import GifSettings, RunSettings
from bots.outbox import outbox_row, parts
from bots.outlet import Outlet
from bots.records import Draft, ReplyRecord
from brain.dialogue import Conversation, Reply, Turn
from brain.encoding import clean_turn
from brain.errors import BrainError, EngineBusy, EngineClosed, VoiceError
from brain.persona import Persona

STALE = "I was away and have missed some messages. What did you want to talk about?"
SORRY = "I am sorry, I cannot answer that."  # trying again would change nothing
APOLOGY = "I am sorry, something went wrong with that message."
_ROLE_TOKENS = re.compile(r"<\|[A-Za-z_]{1,32}\|>")  # as models mark speakers; nobody says them
_log = logging.getLogger(__name__)
_GIF = re.compile(r"(?<!\w)@gif\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Said:
    """What one person said in a row, as one turn."""

    text: str
    speaker: str
    is_gif_wanted: bool
    requests: tuple[Waiting, ...]

    @property
    def newest(self) -> Waiting:
        """The one whose seed and message the answer goes by."""
        return self.requests[-1]


class Answerer:
    """Knows how to answer; writes and sends nothing itself."""

    def __init__(
        self, brain: Speaker, house: House, settings: RunSettings, gifs: GifSettings | None = None
    ) -> None:
        self._brain, self._house, self._settings = brain, house, settings
        self._gifs = gifs or GifSettings()

    async def answer(self, claim: Claim, outlet: Outlet) -> Step:
        """The next step for what waits in a chat, oldest first.

        Raises:
            EngineBusy, EngineClosed, DatabaseError, and whatever is a mistake of ours: the attempt failed.
        """
        if stale := self._stale(claim.waiting):
            return self._step(claim, stale, [Draft(STALE)], outlet.limits, state="stale")
        first = claim.waiting[0]
        try:
            if first.command:
                return await self._obey(claim, first, outlet)
            if not first.is_addressed and not self._joins_in(claim, first):
                return self._step(claim, (first,), (), outlet.limits, state="ignored")
            return await self._reply(claim, self._said(claim.waiting), outlet)
        except (EngineBusy, EngineClosed, DatabaseError):  # it may do later
            raise
        except VoiceError as error:  # its sentence is for people; the log has the reason
            return self._step(claim, (first,), [Draft(f"{error}.")], outlet.limits)
        except (BotError, BrainError) as error:  # its sentence is for whoever runs the bot
            _log.warning("not answered", extra={"reason": f"{type(error).__name__}: {error}"})
            return self._step(claim, (first,), [Draft(SORRY)], outlet.limits)

    def failed(self, claim: Claim, error: Exception, limits: Limits) -> Step:
        """After a failed attempt: try again later, or apologise and go on with what comes after it."""
        first = claim.waiting[0]
        attempts, why = first.attempts + 1, type(error).__name__
        if attempts >= self._settings.max_attempts:
            step = self._step(claim, (first,), [Draft(APOLOGY)], limits, state="dead")
            return replace(step, verdicts=(Verdict(first.id, first.edits, "dead", attempts, error=why),))
        due_at = time.time() + self._settings.retry_s * 4.0 ** (attempts - 1)
        verdict = Verdict(first.id, first.edits, "waiting", attempts, due_at, why)
        return Step(claim, (verdict,), is_last=True)

    def _stale(self, waiting: Sequence[Waiting]) -> tuple[Waiting, ...]:
        """The oldest requests, as far as they are too old to answer."""
        if not self._settings.stale_after_s:
            return ()
        horizon = time.time() - self._settings.stale_after_s
        fresh = next((place for place, one in enumerate(waiting) if one.said_at >= horizon), len(waiting))
        return tuple(waiting[:fresh])

    def _joins_in(self, claim: Claim, request: Waiting) -> bool:
        chance = claim.settings.chattiness
        chance = self._settings.chattiness if chance is None else chance
        return Random(f"{request.seed} joins in").random() < chance

    def _said(self, waiting: Sequence[Waiting]) -> Said:
        """The oldest line; when much waits, with what the same person said right after it."""
        first, taken = waiting[0], [waiting[0]]
        if len(waiting) > self._settings.merge_above > 0:
            for one in waiting[1:]:
                if one.command or one.user_id != first.user_id or not one.is_addressed:
                    break
                taken.append(one)
        text = "\n".join(_ROLE_TOKENS.sub(" ", one.text) for one in taken)
        wanted = bool(self._gifs.api_key) and bool(_GIF.search(text))
        text = _GIF.sub(" ", text) if wanted else text
        speaker = clean_turn(_ROLE_TOKENS.sub(" ", first.user_name))
        return Said(text.strip(), speaker, wanted, tuple(taken))

    async def _obey(self, claim: Claim, request: Waiting, outlet: Outlet) -> Step:
        answer = await orders.run(Asked(self._house, claim, request))
        step = self._step(claim, (request,), answer.drafts, outlet.limits, reply_id=answer.reply_id)
        return replace(step, effects=answer.effects)

    async def _reply(self, claim: Claim, said: Said, outlet: Outlet) -> Step:
        persona = self._house.cast.find(claim.persona) if claim.persona else self._house.persona
        if not clean_turn(said.text):  # nothing was said: it does not enter the history
            line = persona.fallback[said.newest.seed % len(persona.fallback)]
            return self._step(claim, said.requests, [Draft(line, speaker=persona.name)], outlet.limits)
        conversation = Conversation((*claim.turns, Turn(said.text, said.speaker)))
        decoding = self._house.cast.decoding(persona, claim.settings.overrides())
        async with outlet.typing(claim.key):
            reply = await self._brain.reply(
                conversation, persona=persona, decoding=decoding, seed=said.newest.seed
            )
        return self._spoken(claim, said, persona, reply, outlet.limits)

    def _spoken(self, claim: Claim, said: Said, persona: Persona, reply: Reply, limits: Limits) -> Step:
        exchange, now = said.newest.id, time.time()
        drafts = [Draft(reply.text, persona.name, asks_feedback=self._settings.feedback_buttons)]
        if self._is_gif_due(said, reply):
            drafts.append(Draft("", persona.name, gif=reply.text))
        step = self._step(claim, said.requests, drafts, limits, reply_id=exchange)
        head = {"chat_id": claim.chat_id, "inbox_id": exchange, "is_live": True}
        theirs = {
            **head,
            "is_bot": False,
            "user_id": said.newest.user_id,
            "speaker": said.speaker,
            "text": said.text,
            "message_id": said.newest.message_id,
            "said_at": said.newest.said_at,
        }
        ours = {
            **head,
            "is_bot": True,
            "user_id": "",
            "speaker": persona.name,
            "text": reply.text,
            "message_id": "",
            "said_at": now,
        }
        record = ReplyRecord.from_reply(reply, len(claim.turns) + 1).model_dump(mode="json")
        kept = {"inbox_id": exchange, "chat_id": claim.chat_id, "persona": persona.name, "record": record}
        return replace(step, turns=(theirs, ours), reply=kept)

    def _is_gif_due(self, said: Said, reply: Reply) -> bool:
        ours = self._gifs
        if ours.api_key is None or said.is_gif_wanted:
            return ours.api_key is not None
        is_short = len(reply.text.split()) <= ours.max_words
        return is_short and Random(f"{said.newest.seed} gif").random() < ours.probability

    def _step(
        self,
        claim: Claim,
        requests: Sequence[Waiting],
        drafts: Sequence[Draft],
        limits: Limits,
        *,
        state: str = "done",
        reply_id: int = 0,
    ) -> Step:
        """Requests are over, drafts go out; in groups as replies to what they answer."""
        newest, now = requests[-1], time.time()
        to = "" if claim.is_private else newest.message_id
        addressed = [replace(draft, reply_to=to, answer_by=newest.answer_by) for draft in drafts]
        event = f"{claim.key.adapter}/{claim.key.bot}/{newest.key}"
        rows = [
            outbox_row(claim.chat_id, event, place, draft, now, reply_id)
            for place, draft in enumerate(parts(addressed, limits))
        ]
        verdicts = tuple(Verdict(one.id, one.edits, state) for one in requests)
        return Step(claim, verdicts, outbox=tuple(rows), is_last=not rows)
