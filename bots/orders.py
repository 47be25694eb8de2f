"""The slash commands on platforms, a table of small coroutines; `rights` has those about people's data."""

from difflib import get_close_matches
from functools import partial

from bots import rights, store
from bots.asking import Answer, Asked, Entry, note
from bots.messages import Usage
from bots.records import ChatSettings, Draft
from bots.why import told
from brain.encoding import clean_turn
from brain.errors import ConfigError, PersonaError

OF_ANOTHER = "The last answer was for somebody else; only they or an administrator may do that."
NOTHING_SAID = "There is nothing to {}; say something first."


async def run(asked: Asked) -> Answer:
    """Run a command; an unknown one is answered with the nearest known name."""
    name = asked.request.command
    entry = ORDERS.get(name)
    if entry is None:
        nearest = get_close_matches(name, ORDERS, n=1, cutoff=0.5)
        hint = f"did you mean /{nearest[0]}?" if nearest else "/help lists the commands."
        return note(f"There is no /{clean_turn(name)[:40]}; {hint}")
    if entry.is_for_all and asked.words and not asked.is_in_charge:
        return note("Here only an administrator may change that.")
    return await entry.run(asked)


def usages(slugs: tuple[str, ...]) -> list[Usage]:
    """The commands as platforms offer them; characters by their folders."""
    choices = {"persona": slugs}
    return [Usage(name, entry.summary, choices.get(name, entry.choices)) for name, entry in ORDERS.items()]


async def _start(asked: Asked) -> Answer:
    persona = asked.house.cast.find(asked.claim.persona) if asked.claim.persona else asked.house.persona
    hint = "Just write to me. /help lists what else there is, /privacy what I keep."
    greeting = (Draft(persona.greeting, speaker=persona.name),) if persona.greeting else ()
    return Answer((*greeting, Draft(hint)))


async def _help(asked: Asked) -> Answer:
    return note("\n".join(f"/{name} - {entry.summary}" for name, entry in ORDERS.items()))


async def _reset(asked: Asked) -> Answer:
    if not asked.is_in_charge:
        return note("Here only an administrator may do that.")
    return note("Forgotten. We start anew.", partial(store.take_back, chat_id=asked.claim.chat_id))


async def _retry(asked: Asked) -> Answer:
    exchange = await _last(asked)
    if exchange is None:
        return note(NOTHING_SAID.format("say again"))
    if not _may_change(asked, exchange):
        return note(OF_ANOTHER)
    record = exchange.record.next_best()
    if record is None:
        return note("That was all that came to my mind; put it another way, please.")
    said = Draft(record.candidates[record.chosen].text, speaker=exchange.persona)
    return Answer((said,), (partial(store.choose, exchange=exchange, record=record),), exchange.id)


async def _undo(asked: Asked) -> Answer:
    exchange = await _last(asked)
    if exchange is None:
        return note(NOTHING_SAID.format("take back"))
    if not _may_change(asked, exchange):
        return note(OF_ANOTHER)
    effect = partial(store.take_back, chat_id=asked.claim.chat_id, exchange_id=exchange.id)
    return note(f"Taken back: {clean_turn(exchange.said)}", effect)


async def _persona(asked: Asked) -> Answer:
    cast = asked.house.cast
    if not asked.words:
        now = cast.find(asked.claim.persona) if asked.claim.persona else asked.house.persona
        return note(f"You talk with {now.name}. There are: {', '.join(cast.slugs())}")
    try:
        chosen = cast.find(asked.words)
    except PersonaError:  # whose words name folders of this machine
        return note(f"There is no such character; there are: {', '.join(cast.slugs())}")
    await asked.house.brain.prepare(chosen)  # one that cannot speak is not chosen
    effect = partial(store.set_chat, chat_id=asked.claim.chat_id, persona=chosen.slug)
    greeting = Draft(chosen.greeting, speaker=chosen.name)
    return Answer((greeting if chosen.greeting else Draft(f"You talk with {chosen.name} now."),), (effect,))


async def _settings(asked: Asked) -> Answer:
    """`/settings`, `/settings temperature 0.8`, `/settings temperature default`."""
    name, _, value = asked.words.partition(" ")
    if not name:
        return note(_set(asked))
    if name == "default":
        changed = ChatSettings()
    else:
        given = None if value.strip() in ("", "default") else value.strip()
        try:
            changed = asked.claim.settings.merge({name: given}, "/settings")
        except ConfigError as error:
            return note(str(error).removeprefix("/settings: ").capitalize() + ".")
    values = changed.model_dump(exclude_none=True)
    return note(
        "It is so from now on.", partial(store.set_chat, chat_id=asked.claim.chat_id, settings=values)
    )


def _set(asked: Asked) -> str:
    ours = asked.claim.settings
    persona = asked.house.cast.find(asked.claim.persona) if asked.claim.persona else asked.house.persona
    decoding = asked.house.cast.decoding(persona, ours.overrides())
    chattiness = asked.house.chattiness if ours.chattiness is None else ours.chattiness
    return (
        f"temperature {decoding.temperature:g} (above 0 to 10; higher is wilder)\n"
        f"decoding {decoding.method} (greedy, sample, beam or mmi)\n"
        f"chattiness {chattiness:g} (0 to 1: chance to answer in a group unasked)\n"
        "Change one: /settings temperature 0.8. Back: /settings temperature default, or /settings default."
    )


def _may_change(asked: Asked, exchange: store.Exchange) -> bool:
    """Whoever was answered, and administrators; in a private chat there is nobody else."""
    claim, person = asked.claim, asked.request.user_id
    is_theirs = claim.is_private or exchange.user_id == person != ""  # empty: whom a platform does not name
    return is_theirs or asked.house.gate.is_admin(claim.key.adapter, person)


async def _last(asked: Asked) -> store.Exchange | None:
    return await asked.house.database.read(lambda found: store.last_exchange(found, asked.claim.chat_id))


async def _why(asked: Asked) -> Answer:
    exchange = await _last(asked)
    if exchange is None:
        return note(NOTHING_SAID.format("explain"))
    return note(told(exchange.record))


ORDERS = {
    "start": Entry("who I am", _start),
    "help": Entry("this list", _help),
    "reset": Entry("forget what was said here and start anew", _reset),
    "retry": Entry("say something else to your last line", _retry),
    "undo": Entry("take back the last exchange", _undo),
    "persona": Entry("who speaks; with a name, talk with that character", _persona, is_for_all=True),
    "settings": Entry(
        "temperature, decoding and chattiness here",
        _settings,
        ("temperature", "decoding", "chattiness", "default"),
        is_for_all=True,
    ),
    "why": Entry("how the last reply was chosen", _why),
    "export": Entry("what I keep of you, as a file", rights.export),
    "forget": Entry("delete what I keep of you", rights.forget),
    "privacy": Entry("what I keep and for how long", rights.privacy),
}
