"""Who is heard, and how much of each: lists of ids, and buckets of messages that refill over time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, select

from bots.database import any_of, upsert
from bots.messages import Origin
from bots.options import GateSettings
from bots.tables import buckets

# told = refused, and now is the time to say so: to the person, or with "chat told" to nobody in particular
Verdict = Literal["heard", "refused", "told", "chat told"]


_KEPT = select(buckets).where(buckets.c.id.in_(any_of("ids"))).order_by(buckets.c.id).with_for_update()


@dataclass(slots=True)
class _Bucket:
    tokens: float
    counted_at: float
    told_at: float


class Gate:
    """Lists are looked at in memory; what is left of each bucket stands in the database."""

    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings

    def lets_in(self, origin: Origin) -> bool:
        """Whether the lists allow this person in this place; a deny wins over an allow."""
        ours, adapter = self._settings, origin.chat.adapter
        checks = (
            (ours.allow_users, ours.deny_users, (origin.user.id,)),
            (ours.allow_chats, ours.deny_chats, (origin.chat.chat, origin.chat.thread)),
            (ours.allow_guilds, ours.deny_guilds, (origin.guild,)),
            (ours.allow_roles, ours.deny_roles, origin.user.roles),
        )
        if any(_listed(denied, adapter, ids) for _, denied, ids in checks):
            return False
        return all(_listed(allowed, adapter, ids) for allowed, _, ids in checks if allowed)

    def is_admin(self, adapter: str, user_id: str) -> bool:
        """Whether this person may do what is for administrators; by id, never by name."""
        return _listed(self._settings.admins, adapter, (user_id,))

    @property
    def has_admins(self) -> bool:
        """Whether any are listed."""
        return bool(self._settings.admins)

    def take(self, connection: Connection, asked: Sequence[tuple[Origin, bool]], now: float) -> list[Verdict]:
        """Count messages against the buckets, in this transaction.

        Args:
            asked: where each message comes from, and whether there is room for it at all.
        Returns:
            One verdict each; only what is heard is counted.
        """
        limits = {name: limit for origin, _ in asked for name, limit in self._buckets(origin)}
        if not limits:
            return ["heard" if has_room else "refused" for _, has_room in asked]
        kept = _load(connection, limits.keys())
        for name, (burst, per_s) in limits.items():
            bucket = kept.setdefault(name, _Bucket(burst, now, 0.0))
            bucket.tokens = min(burst, bucket.tokens + max(0.0, now - bucket.counted_at) * per_s)
            bucket.counted_at = now
        verdicts = [self._verdict(origin, has_room, kept, now) for origin, has_room in asked]
        rows = [
            {"id": name, "tokens": one.tokens, "counted_at": one.counted_at, "told_at": one.told_at}
            for name, one in kept.items()
        ]
        upsert(connection, buckets, rows)
        return verdicts

    def _verdict(self, origin: Origin, has_room: bool, kept: Mapping[str, _Bucket], now: float) -> Verdict:
        mine = {name.partition("/")[0]: kept[name] for name, _ in self._buckets(origin)}
        if has_room and all(bucket.tokens >= 1 for bucket in mine.values()):
            for bucket in mine.values():
                bucket.tokens -= 1
            return "heard"
        person = mine.get("person")
        is_theirs = person is not None and person.tokens < 1  # else others' lines have used up what there is
        blamed = person if is_theirs else mine.get("chat")
        if blamed is None or blamed.told_at + self._settings.notice_every_s > now:
            return "refused"
        blamed.told_at = now
        return "told" if is_theirs else "chat told"

    def _buckets(self, origin: Origin) -> Iterator[tuple[str, tuple[float, float]]]:
        """Names of the buckets a message is taken from, with burst and refill per second."""
        ours, chat = self._settings, origin.chat
        if ours.person_burst and origin.user.id:
            yield (
                f"person/{chat.adapter}/{origin.user.id}",
                (ours.person_burst, ours.person_per_min / 60),
            )
        if ours.chat_burst:
            yield (
                f"chat/{chat.adapter}/{chat.bot}/{chat.chat}",
                (ours.chat_burst, ours.chat_per_min / 60),
            )
        if ours.all_burst:
            yield "all", (ours.all_burst, ours.all_per_min / 60)


def _load(connection: Connection, names: Iterable[str]) -> dict[str, _Bucket]:
    rows = connection.execute(_KEPT, {"ids": list(names)})
    return {row.id: _Bucket(row.tokens, row.counted_at, row.told_at) for row in rows}


def _listed(listed: Sequence[str], adapter: str, ids: Iterable[str]) -> bool:
    return any(one in listed or f"{adapter}:{one}" in listed for one in ids if one)
