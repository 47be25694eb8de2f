"""/export, /forget and /privacy: what a person may ask about their own data."""

import json
from functools import partial

from bots import people
from bots.asking import Answer, Asked, note
from bots.messages import Document
from bots.records import Draft

PRIVACY = (
    "I keep what you say to me and what I answer, under your id on this platform, to remember our talk. "
    "In groups I keep only what is said to me. What is said here is never shown in another chat, and "
    "nothing is sent to anybody else. /export gives you all of it, /forget deletes it, /reset starts anew."
)

UNNAMED = "Your platform does not tell me who you are, so I cannot know what is yours."


async def privacy(asked: Asked) -> Answer:
    """What is kept."""
    return note(PRIVACY)


async def export(asked: Asked) -> Answer:
    """All that is kept of the person, as a file; only where nobody else reads along."""
    if not asked.request.user_id:
        return note(UNNAMED)
    if not asked.claim.is_private:
        return note("Others read along here; ask me for that in a private chat.")
    adapter, user = asked.claim.key.adapter, asked.request.user_id
    found = await asked.house.database.read(lambda connection: people.export(connection, adapter, user))
    content = json.dumps(found, ensure_ascii=False, indent=1)
    told = f"I keep {len(found['turns'])} turns and {len(found['feedback'])} verdicts of yours."
    return Answer((Draft(told, document=Document("my-data.json", content)),))


async def forget(asked: Asked) -> Answer:
    """Delete what is kept of the person, in groups too."""
    request = asked.request
    if not request.user_id:
        return note(UNNAMED)
    return note(
        "Done: what you said, what I answered you and your verdicts are deleted, in all chats here. "
        "No model of this bot was trained on them. Backups that were made before are not changed.",
        partial(people.forget, adapter=asked.claim.key.adapter, user_id=request.user_id, until=request.id),
    )
