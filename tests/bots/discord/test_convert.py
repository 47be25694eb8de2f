"""Payloads of Discord as events, outgoing messages as what Discord takes."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from discord_world import ANN, BOT, BOT_ROLE

from bots.discord.bodies import MAX_LEN, body_from_outgoing, commands_from_usages, post_from_outgoing
from bots.discord.convert import (
    Me,
    deleted_from_deletion,
    edited_from_edit,
    own_reactions,
    request_from_message,
    snowflake_at,
    snowflake_time,
)
from bots.discord.payloads import Deletion, Edit, Message
from bots.messages import Command, Incoming, Outgoing, Table, Usage

ME = Me("1000", roles=frozenset({BOT_ROLE}), channels=frozenset({"3009"}))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def message(text: str, **more: Any) -> Message:
    given = {"id": "7", "channel_id": "3001", "guild_id": "4000", "author": ANN, "content": text}
    return Message.model_validate({**given, "timestamp": NOW.isoformat(), **more})


def heard(content: str, **more: Any) -> Incoming:
    event = request_from_message(message(content, **more), ME)
    assert isinstance(event, Incoming)
    return event


@pytest.mark.parametrize(
    ("more", "is_addressed"),
    [
        ({}, False),
        ({"guild_id": None}, True),
        ({"guild_id": None, "channel_type": 3}, False),
        ({"mentions": [BOT]}, True),
        ({"mention_roles": [BOT_ROLE]}, True),
        ({"referenced_message": {"id": "6", "author": BOT}}, True),
        ({"referenced_message": {"id": "6", "author": ANN}}, False),
        ({"channel_id": "3009"}, True),
        ({"author": {**ANN, "bot": True}, "mentions": [BOT]}, False),
        ({"webhook_id": "8", "mentions": [BOT]}, False),
    ],
)
def test_an_answer_is_owed_to_those_who_address_the_bot(more: dict[str, Any], is_addressed: bool) -> None:
    assert heard("hello", **more).is_addressed is is_addressed


@pytest.mark.parametrize(
    ("text", "is_addressed"),
    [("banter, are you there?", True), ("so, BANTER?", True), ("mere bantering", False)],
)
def test_its_name_addresses_the_bot(text: str, is_addressed: bool) -> None:
    event = request_from_message(message(text), replace(ME, names=("Banter",)))
    assert isinstance(event, Incoming)
    assert event.is_addressed is is_addressed


def test_a_message_says_who_where_and_when() -> None:
    event = heard("hi", member={"nick": "Annie", "roles": ["1", "2"]}, message_reference={"message_id": "6"})
    origin = event.origin
    assert (origin.key, origin.chat.chat, origin.guild, origin.when) == ("m:7", "3001", "4000", NOW)
    assert (origin.user.id, origin.user.name, origin.user.roles) == ("2000", "Annie", ("1", "2"))
    assert (event.reply_to, origin.is_private) == ("6", False)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<@1000> how are you?", "how are you?"),
        ("hey <@!1000>", "hey"),
        (f"<@&{BOT_ROLE}> hello", "hello"),
        ("ask <@2000>", "ask @Ann"),
        ("ask <@2001>", "ask @someone"),
        ("nice <:cat:123> <a:dance:456>", "nice :cat: :dance:"),
        ("a\ud800b\0c", "a\ufffdb\ufffdc"),
    ],
)
def test_text_is_what_people_see_without_the_bots_own_mention(content: str, text: str) -> None:
    assert heard(content, mentions=[BOT, ANN]).text == text


@pytest.mark.parametrize("more", [{"author": BOT}, {"type": 7}, {"content": "<@1000>"}, {"content": ""}])
def test_what_nobody_said_is_no_event(more: dict[str, Any]) -> None:
    assert request_from_message(message("hello", **more), ME) is None


def test_a_typed_command_is_one_only_to_the_bot() -> None:
    event = request_from_message(message("<@1000> /Persona  odile", mentions=[BOT]), ME)
    assert isinstance(event, Command)
    assert (event.name, event.argument) == ("persona", "odile")
    assert heard("/persona odile").text == "/persona odile"


def test_the_preview_of_a_link_is_no_edit() -> None:
    edit = {"id": "7", "channel_id": "3001", "author": ANN, "content": "see https://example.org"}
    assert edited_from_edit(Edit.model_validate(edit), ME) is None
    edited = edited_from_edit(Edit.model_validate({**edit, "edited_timestamp": NOW.isoformat()}), ME)
    assert edited is not None
    assert (edited.origin.message_id, edited.origin.key) == ("7", f"e:7:{NOW.isoformat()}")


def test_many_deleted_at_once_are_one_event() -> None:
    deletion = Deletion.model_validate({"ids": ["7", "8"], "channel_id": "3001", "guild_id": "4000"})
    event = deleted_from_deletion(deletion, ME, NOW)
    assert event is not None
    assert (event.message_ids, event.origin.key) == (("7", "8"), "d:7")


def test_ids_tell_the_time() -> None:
    assert snowflake_time("175928847299117063") == datetime(2016, 4, 30, 11, 18, 25, 796000, UTC)
    assert snowflake_time(str(snowflake_at(NOW))) == NOW
    assert snowflake_at(datetime(1970, 1, 1, tzinfo=UTC)) == 0


def test_nobody_is_pinged() -> None:
    body = body_from_outgoing(Outgoing("@everyone <@2000>", reply_to="7"))
    assert body["allowed_mentions"] == {"parse": [], "replied_user": False}


def test_a_nonce_is_enforced_and_fits() -> None:
    short, long = (post_from_outgoing(Outgoing("a", nonce=nonce)) for nonce in ("n" * 25, "n" * 26))
    assert (short["nonce"], short["enforce_nonce"]) == ("n" * 25, True)
    assert len(long["nonce"]) == 25


def test_only_https_pictures_are_shown() -> None:
    shown = body_from_outgoing(Outgoing("", media_url="https://example.org/a.gif"))
    assert shown["embeds"] == [{"image": {"url": "https://example.org/a.gif"}}]
    assert "embeds" not in body_from_outgoing(Outgoing("", media_url="file:///etc/passwd"))


def test_as_many_rows_of_a_table_as_fit() -> None:
    table = Table(("reply", "mmi"), tuple((f"reply `{n}`", f"-{n}") for n in range(200)), marked=0)
    content = body_from_outgoing(Outgoing("Sixteen drawn.", table=table))["content"]
    assert content.startswith("Sixteen drawn.\n```\n  reply        mmi\n> reply '0'    -0\n  reply '1'")
    assert len(content) <= MAX_LEN
    assert "`" not in content.removesuffix("\n```").partition("```")[2]
    assert body_from_outgoing(Outgoing("a" * MAX_LEN, table=table))["content"] == "a" * MAX_LEN


def test_commands_take_words_that_are_no_choices() -> None:
    [plain, chosen] = commands_from_usages([Usage("undo", "take back"), Usage("persona", "who", ("odile",))])
    assert (plain["name"], plain["options"][0]["autocomplete"]) == ("undo", False)
    assert (chosen["options"][0]["description"], chosen["options"][0]["autocomplete"]) == (
        "one of: odile",
        True,
    )


def test_own_reactions_are_found_among_all() -> None:
    thumb, custom = {"name": "👍", "id": None}, {"name": "cat", "id": "9"}
    reactions = [{"me": True, "emoji": thumb}, {"me": False, "emoji": thumb}, {"me": True, "emoji": custom}]
    assert own_reactions({"reactions": [*reactions, None, {"me": True, "emoji": "?"}]}) == ["👍", "cat:9"]
    assert own_reactions({"reactions": 7}) == []
