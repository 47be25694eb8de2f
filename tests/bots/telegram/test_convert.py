"""What an update means; groups, commands and mentions above all."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bots.messages import (
    ChatKey,
    Command,
    Edited,
    Event,
    Incoming,
    Limits,
    Moved,
    Outgoing,
    Presence,
    Reaction,
    Table,
)
from bots.telegram.addressing import Me
from bots.telegram.convert import events_from_update, text_from_outgoing
from bots.telegram.wire import Update
from tests.bots.telegram.people import ANN, GROUP, mention, message_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ME = Me("110201543", "banter_test_bot", ("Odile",), frozenset({"help", "reset"}))
US = {"id": 110201543, "is_bot": True, "first_name": "Banter"}
LIMITS = Limits(max_len=60, unit="utf16")


def event(me: Me = ME, **payload: Any) -> Event | None:
    found = events_from_update(Update.model_validate({"update_id": 1, **payload}), me, NOW)
    return found[0] if found else None


def said(text: str, chat: int = GROUP, **more: Any) -> Event | None:
    return event(message=message_of(5, text, chat, **more))


def test_a_private_message_is_addressed() -> None:
    heard = said("  hello ", 7)
    assert isinstance(heard, Incoming)
    assert (heard.text, heard.is_addressed, heard.origin.is_private) == ("hello", True, True)
    assert heard.origin.key == "m:7:5:0"
    assert heard.origin.chat == ChatKey("telegram", "110201543", "7")
    assert (heard.origin.user.id, heard.origin.user.name) == ("7", "Ann Lee")


@pytest.mark.parametrize(
    "wrong",
    [
        {"entities": [{"type": "bold"}, 5]},
        {"entities": None, "caption_entities": "x"},
        {"reply_to_message": {"x": 1}},
        {"sticker": []},
    ],
)
def test_a_field_that_cannot_be_read_does_not_lose_the_message(wrong: dict[str, Any]) -> None:
    heard = said("hello", 7, **wrong)
    assert isinstance(heard, Incoming)
    assert (heard.text, heard.reply_to) == ("hello", "")


def test_a_mention_beside_a_mangled_one_still_addresses() -> None:
    heard = said(
        "@banter_test_bot hi", entities=[{"type": "bold"}, mention("@banter_test_bot", "@banter_test_bot")]
    )
    assert isinstance(heard, Incoming)
    assert (heard.text, heard.is_addressed) == ("hi", True)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("@Banter_Test_Bot, how are you?", "how are you?"),
        ("how are you, @banter_test_bot?", "how are you?"),
        (
            "\N{WAVING HAND SIGN}\N{WAVING HAND SIGN} hey @banter_test_bot you there",
            "\N{WAVING HAND SIGN}" * 2 + " hey you there",
        ),
        ("@banter_test_bot", "@banter_test_bot"),
    ],
)
def test_a_mention_addresses_and_is_taken_out(text: str, rest: str) -> None:
    name = "@Banter_Test_Bot" if "@Banter" in text else "@banter_test_bot"
    heard = said(text, entities=[mention(text, name)])
    assert isinstance(heard, Incoming)
    assert (heard.text, heard.is_addressed) == (rest, True)


def test_a_mention_without_a_username_and_one_in_a_caption_address() -> None:
    entity = {"type": "text_mention", "offset": 0, "length": 6, "user": US}
    photo = message_of(5, "", GROUP, caption="Banter look", caption_entities=[entity])
    heard = event(message=photo)
    assert isinstance(heard, Incoming)
    assert (heard.text, heard.is_addressed) == ("look", True)


@pytest.mark.parametrize(
    ("text", "more", "is_addressed"),
    [
        ("hello all", {}, False),
        ("@other_bot hello", {"entities": [mention("@other_bot hello", "@other_bot")]}, False),
        ("what does odile think?", {}, True),
        ("crocodile", {}, False),
        ("yes", {"reply_to_message": {"message_id": 4, "from": US}}, True),
        ("yes", {"reply_to_message": {"message_id": 4, "from": ANN}}, False),
        ("yes", {"reply_to_message": {"message_id": 4, "from": US, "forum_topic_created": {}}}, False),
    ],
)
def test_in_a_group_one_must_be_meant(text: str, more: dict[str, Any], is_addressed: bool) -> None:
    heard = said(text, **more)
    assert isinstance(heard, Incoming)
    assert heard.is_addressed is is_addressed


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/help", ("help", "")),
        ("/Persona@BANTER_test_bot odile \n", ("persona", "odile")),
        ("/help@other_bot", None),
        ("/roll 6", None),
    ],
)
def test_a_command_in_a_group_is_ours_if_it_names_us_or_is_known(
    text: str, command: tuple[str, str] | None
) -> None:
    heard = said(text)
    assert heard is None if command is None else isinstance(heard, Command)
    if isinstance(heard, Command):
        assert (heard.name, heard.argument) == command


def test_any_command_said_to_us_is_ours() -> None:
    mentioned = "@banter_test_bot /roll"
    reply = {"reply_to_message": {"message_id": 4, "from": US}}
    assert isinstance(said("/roll 6", 7), Command)
    assert isinstance(said("/roll", **reply), Command)
    assert isinstance(said(mentioned, entities=[mention(mentioned, "@banter_test_bot")]), Command)
    assert isinstance(said("/etc/passwd", 7), Incoming)
    assert isinstance(said("/help@other_bot", 7), Incoming)


def test_a_topic_is_a_place_of_its_own_and_a_chain_of_replies_is_none() -> None:
    topic, chain = said("a", message_thread_id=9, is_topic_message=True), said("a", message_thread_id=9)
    assert topic is not None
    assert chain is not None
    assert (topic.origin.chat.thread, chain.origin.chat.thread) == ("9", "")


def test_who_speaks_as_a_channel_is_the_channel() -> None:
    heard = said("hi", sender_chat={"id": -55, "type": "channel", "title": "News"})
    assert heard is not None
    assert (heard.origin.user.id, heard.origin.user.name) == ("-55", "News")


def test_an_edit_has_a_key_of_its_own() -> None:
    edited = event(edited_message=message_of(5, "better", 7, edit_date=1_700_000_009))
    assert isinstance(edited, Edited)
    assert (edited.text, edited.origin.key, edited.origin.message_id) == ("better", "m:7:5:1700000009", "5")


def test_a_sticker_says_its_emoji_and_a_photo_says_nothing() -> None:
    sticker = said("", 7, sticker={"emoji": "\N{WAVING HAND SIGN}", "type": "regular"})
    assert isinstance(sticker, Incoming)
    assert sticker.text == "\N{WAVING HAND SIGN}"
    assert said("", 7, photo=[{}]) is None


def test_a_reaction_tells_what_was_put_on_and_taken_off() -> None:
    heart, thumb = ({"type": "emoji", "emoji": one} for one in "\u2764\N{THUMBS UP SIGN}")
    custom = {"type": "custom_emoji", "custom_emoji_id": "1"}
    chat = {"id": GROUP, "type": "supergroup"}
    happened = {"chat": chat, "message_id": 5, "user": ANN, "date": 1_700_000_000}
    reaction = event(message_reaction={**happened, "old_reaction": [heart], "new_reaction": [thumb, custom]})
    assert isinstance(reaction, Reaction)
    assert (reaction.added, reaction.removed) == (("\N{THUMBS UP SIGN}",), ("\u2764",))
    assert reaction.origin.key == f"r:{GROUP}:5:7:1700000000:\N{THUMBS UP SIGN}"
    assert event(message_reaction={**happened, "old_reaction": [], "new_reaction": [custom]}) is None


def test_a_press_is_a_reaction() -> None:
    place = {"message_id": 5, "chat": {"id": 7, "type": "private"}, "date": 0}
    press = {"id": "88", "from": ANN, "message": place, "data": "feedback:down"}
    reaction = event(callback_query=press)
    assert isinstance(reaction, Reaction)
    assert (reaction.message_id, reaction.added) == ("5", ("\N{THUMBS DOWN SIGN}",))
    assert (reaction.removed, reaction.origin.when) == (("\N{THUMBS UP SIGN}",), NOW)
    assert event(callback_query={**press, "data": "of another program"}) is None
    assert event(callback_query={"id": "88", "from": ANN, "data": "feedback:up"}) is None


def test_both_sides_of_a_migration_are_one_event() -> None:
    old = event(message=message_of(5, "", -12, migrate_to_chat_id=GROUP))
    new = event(message=message_of(1, "", GROUP, migrate_from_chat_id=-12))
    assert isinstance(old, Moved)
    assert isinstance(new, Moved)
    assert old.origin.key == new.origin.key
    assert (old.origin.chat.chat, old.to.chat) == (new.origin.chat.chat, new.to.chat) == ("-12", str(GROUP))


@pytest.mark.parametrize(
    ("before", "after", "is_present"),
    [
        ({"status": "member"}, {"status": "kicked"}, False),
        ({"status": "left"}, {"status": "restricted", "is_member": True}, True),
        ({"status": "member"}, {"status": "administrator"}, None),
    ],
)
def test_presence_is_told_when_it_changes(
    before: dict[str, Any], after: dict[str, Any], is_present: bool | None
) -> None:
    change = {
        "chat": {"id": 7, "type": "private"},
        "from": ANN,
        "date": 1_700_000_000,
        "old_chat_member": {**before, "user": US},
        "new_chat_member": {**after, "user": US},
    }
    heard = event(my_chat_member=change)
    assert isinstance(heard, Presence) is (is_present is not None)
    if isinstance(heard, Presence):
        assert heard.is_present is is_present


def test_nobody_is_pinged_in_a_group_and_the_length_stays() -> None:
    text = "ask @ann_lee or mail a@b.example, @x"
    group, private = (ChatKey("telegram", "1", chat) for chat in ("-5", "5"))
    shown = text_from_outgoing(Outgoing(text, chat=group), LIMITS)
    assert shown == text.replace("@ann", "\N{FULLWIDTH COMMERCIAL AT}ann")
    assert len(shown) == len(text)
    assert text_from_outgoing(Outgoing(text, chat=private), LIMITS) == text


def test_of_a_table_there_is_what_there_is_room_for() -> None:
    table = Table(("", "candidate"), (("0", "short"), ("1", "chosen"), ("2", "x" * 60)), marked=1)
    shown = text_from_outgoing(Outgoing("Why:", table=table, chat=ChatKey("telegram", "1", "5")), LIMITS)
    assert shown.splitlines() == [
        "Why:",
        "candidate",
        "0 | short",
        "\N{BLACK RIGHT-POINTING POINTER} 1 | chosen",
    ]
