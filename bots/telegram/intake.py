"""Updates, polled or delivered, into the sink; what cannot be read is counted and loses no neighbour."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pydantic import ValidationError

from bots.errors import AdapterError
from bots.messages import Event, Sink
from bots.telegram.addressing import Me
from bots.telegram.client import Client
from bots.telegram.convert import events_from_update
from bots.telegram.wire import Update, complaint_from, update_id_from

_LOGGER = logging.getLogger(__name__)


class Intake:
    """Where both ways of receiving end.

    Attributes: num_unreadable, updates that were skipped.
    """

    def __init__(self, client: Client, sink: Sink, me: Callable[[], Me]) -> None:
        """`me` is asked anew each time: commands may become known later."""
        self._client, self._sink, self._me = client, sink, me
        self.num_unreadable = 0

    async def take(self, raws: Sequence[object]) -> None:
        """Return after the durable commit of all that these say.

        Raises:
            Busy: nothing was kept.
        """
        updates = [update for raw in raws if (update := self._read(raw)) is not None]
        now, me = datetime.now(UTC), self._me()
        events: list[Event] = [event for update in updates for event in events_from_update(update, me, now)]
        if events:
            await self._sink.accept(*events)
        presses = [update.callback_query.id for update in updates if update.callback_query]
        await asyncio.gather(*map(self._answer, presses))

    def _read(self, raw: object) -> Update | None:
        try:
            return Update.model_validate(raw)
        except ValidationError as error:
            self.num_unreadable += 1
            _LOGGER.warning(
                "telegram: update %s skipped, it cannot be read (%s); %d so far",
                update_id_from(raw),
                complaint_from(error),
                self.num_unreadable,
            )
            return None

    async def _answer(self, press_id: str) -> None:
        try:
            await self._client.answer_press(press_id)
        except AdapterError as error:  # the button looks busy for a while, that is all
            _LOGGER.debug("telegram: a press could not be answered: %s", error)
