"""ONE transaction for all that a step of the work brought about, written only while the claim still holds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from bots.batching import Batcher
from bots.claims import Claim
from bots.database import Database, any_of, insert_missing
from bots.outbox import Mark
from bots.tables import chats, inbox, outbox, replies, turns

Effect = Callable[[Connection], object]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one request; `edits` is the version that was answered."""

    id: int
    edits: int
    state: str  # as InboxRow.state
    attempts: int = 0
    due_at: float = 0.0  # of a waiting one
    error: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """All that is written at once for one claim; with `is_last` the chat is given back."""

    claim: Claim
    verdicts: tuple[Verdict, ...] = ()
    turns: tuple[dict[str, Any], ...] = ()
    reply: dict[str, Any] | None = None
    outbox: tuple[dict[str, Any], ...] = ()
    marks: tuple[Mark, ...] = ()
    effects: tuple[Effect, ...] = field(default=(), repr=False)
    is_last: bool = False


_EPOCHS = (
    select(chats.c.id, chats.c.epoch)
    .where(chats.c.id.in_(any_of("ids")))
    .order_by(chats.c.id)
    .with_for_update()
)
_VERSIONS = select(inbox.c.id, inbox.c.state, inbox.c.edits).where(inbox.c.id.in_(any_of("ids")))
_TURNS, _REPLIES = insert(turns), insert(replies)
_DONE = update(inbox).where(inbox.c.id.in_(any_of("ids"))).values(state="done", text="", answer_by="")
_MARK = (
    update(outbox)
    .where(outbox.c.nonce == bindparam("name"))
    .values(
        state=bindparam("new_state"),
        message_id=bindparam("platform_id"),
        attempts=bindparam("tried"),
        due_at=bindparam("due"),
        error=bindparam("failure"),
    )
)
_SENT = _MARK.values(payload={})
_FIRST_UNSENT = (
    select(outbox.c.due_at)
    .where(outbox.c.chat_id == chats.c.id, outbox.c.state.in_(("waiting", "sending")))
    .order_by(outbox.c.id)
    .limit(1)
    .scalar_subquery()
)
_FIRST_WAITING = (
    select(inbox.c.due_at)
    .where(inbox.c.chat_id == chats.c.id, inbox.c.state == "waiting")
    .order_by(inbox.c.id)
    .limit(1)
    .scalar_subquery()
)
_GIVE_BACK = (
    update(chats)
    .where(chats.c.id.in_(any_of("ids")))
    .values(lease_until=0.0, due_at=func.coalesce(_FIRST_UNSENT, _FIRST_WAITING))
    .returning(chats.c.due_at)
)


class Ledger:
    """Writes steps; what comes in while one transaction runs shares the next."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.on_given_back: Callable[[float | None], None] = lambda due_at: None
        self._batcher: Batcher[Step, bool] = Batcher(self._write)

    async def run(self) -> None:
        """Write until cancelled."""
        await self._batcher.run()

    async def write(self, step: Step) -> bool:
        """Whether it was written: not so when the claim was lost, or a request it answers has changed."""
        return await self._batcher.add(step)

    async def _write(self, steps: Sequence[Step]) -> Sequence[bool]:
        sound, due = await self._database.write(lambda connection: _write(connection, steps))
        for due_at in due:
            self.on_given_back(due_at)
        return sound


def _write(connection: Connection, steps: Sequence[Step]) -> tuple[list[bool], list[float | None]]:
    """Which steps were written, and when the chats that were given back are due again."""
    epochs, versions = _epochs(connection, steps), _versions(connection, steps)
    sound = [_is_sound(step, epochs, versions) for step in steps]
    judged = list(zip(steps, sound, strict=True))
    good = [step for step, is_good in judged if is_good]
    _write_all(connection, good)
    lost = [mark for step, is_good in judged if not is_good for mark in step.marks if mark.state == "sent"]
    if lost:  # it was sent all the same
        _mark(connection, lost)
    for step in good:
        for effect in step.effects:
            effect(connection)
    # A stale step of a claim that still holds gives the chat back too: it is claimed anew.
    done = [
        step.claim.chat_id
        for step, is_good in judged
        if epochs.get(step.claim.chat_id) == step.claim.epoch and (step.is_last or not is_good)
    ]
    return sound, _give_back(connection, done)


def _epochs(connection: Connection, steps: Sequence[Step]) -> dict[int, int]:
    ids = sorted({step.claim.chat_id for step in steps})
    return {row.id: row.epoch for row in connection.execute(_EPOCHS, {"ids": ids})}


def _versions(connection: Connection, steps: Sequence[Step]) -> dict[int, tuple[str, int]]:
    ids = [verdict.id for step in steps for verdict in step.verdicts]
    if not ids:
        return {}
    rows = connection.execute(_VERSIONS, {"ids": ids})
    return {row.id: (row.state, row.edits) for row in rows}


def _is_sound(step: Step, epochs: Mapping[int, int], versions: Mapping[int, tuple[str, int]]) -> bool:
    if epochs.get(step.claim.chat_id) != step.claim.epoch:
        return False
    return all(versions.get(verdict.id) == ("waiting", verdict.edits) for verdict in step.verdicts)


def _write_all(connection: Connection, steps: Sequence[Step]) -> None:
    """Table by table: a batch costs as many statements as one step."""
    if verdicts := [verdict for step in steps for verdict in step.verdicts]:
        _judge(connection, verdicts)
    if rows := [row for step in steps for row in step.turns]:
        connection.execute(_TURNS, rows)
    if rows := [step.reply for step in steps if step.reply]:
        connection.execute(_REPLIES, rows)
    insert_missing(connection, outbox, [row for step in steps for row in step.outbox])
    if marks := [mark for step in steps for mark in step.marks]:
        _mark(connection, marks)


def _judge(connection: Connection, verdicts: Sequence[Verdict]) -> None:
    over = [verdict.id for verdict in verdicts if verdict.state == "done" and not verdict.error]
    if over:  # the usual case, in one statement
        connection.execute(_DONE, {"ids": over})
    if rest := [verdict for verdict in verdicts if verdict.id not in set(over)]:
        statement = (
            update(inbox)
            .where(inbox.c.id == bindparam("row"))
            .values(
                state=bindparam("new_state"),
                attempts=bindparam("tried"),
                due_at=bindparam("due"),
                error=bindparam("failure"),
            )
        )
        connection.execute(
            statement,
            [
                {
                    "row": one.id,
                    "new_state": one.state,
                    "tried": one.attempts,
                    "due": one.due_at,
                    "failure": one.error,
                }
                for one in rest
            ],
        )
        if gone := [one.id for one in rest if one.state != "waiting"]:
            connection.execute(update(inbox).where(inbox.c.id.in_(gone)).values(text="", answer_by=""))


def _mark(connection: Connection, marks: Sequence[Mark]) -> None:
    over = [mark for mark in marks if mark.state in ("sent", "dead")]
    if over:  # what was sent is kept as a turn, not here
        connection.execute(_SENT, [_values(mark) for mark in over])
    if rest := [mark for mark in marks if mark not in over]:
        connection.execute(_MARK, [_values(mark) for mark in rest])


def _values(mark: Mark) -> dict[str, Any]:
    return {
        "name": mark.nonce,
        "new_state": mark.state,
        "platform_id": mark.message_id,
        "tried": mark.attempts,
        "due": mark.due_at,
        "failure": mark.error,
    }


def _give_back(connection: Connection, ids: Sequence[int]) -> list[float | None]:
    """Free chats; they are due again when the first thing that waits in them is."""
    if not ids:
        return []
    return list(connection.execute(_GIVE_BACK, {"ids": ids}).scalars())
