"""From what a person writes to what is sent: the whole service, a fake platform, a brain without weights."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from stage import MakeStage, StageAdapter

from bots.answering import APOLOGY, SORRY, STALE
from bots.errors import Busy, ChatGone, MessageTooLong, RetryAfter, SendFailed
from bots.messages import (
    Command,
    Deleted,
    Edited,
    Incoming,
    MessageRef,
    Moved,
    Outgoing,
    Presence,
    Reaction,
)
from bots.outbox import TOO_MUCH
from bots.testing.brains import EchoBrain
from brain.config import DecodingConfig
from brain.dialogue import Conversation, Reply
from brain.errors import EngineBusy, PromptError
from brain.persona import Persona


class FailingBrain(EchoBrain):
    """Fails as often as it is told, then echoes."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    async def reply(
        self,
        conversation: Conversation,
        *,
        persona: Persona,
        decoding: DecodingConfig | None = None,
        seed: int | None = None,
    ) -> Reply:
        if self.errors:
            raise self.errors.pop(0)
        return await super().reply(conversation, persona=persona, decoding=decoding, seed=seed)


async def test_what_is_said_is_answered_once_however_often_the_platform_tells_it(
    new_stage: MakeStage,
) -> None:
    stage = new_stage()
    async with stage.running():
        said = Incoming("hello", stage.origin())
        await stage.put(said, said)
        await stage.put(said)
        await stage.put(Incoming("good night", stage.origin()))
        assert await stage.answers(2) == ["re: hello", "re: good night"]
        assert stage.sent[0].speaker == "Odile"


async def test_the_conversation_goes_on_after_a_restart(new_stage: MakeStage) -> None:
    brain = EchoBrain()
    stage = new_stage(brain)
    for text in ("one", "two"):
        async with stage.running():
            await stage.put(Incoming(text, stage.origin()))
            await stage.answers(1 if text == "one" else 2)
    assert [turn.text for turn in brain.conversations[1].turns] == ["one", "re: one", "two"]


async def test_a_private_chat_never_reaches_a_group(new_stage: MakeStage) -> None:
    brain = EchoBrain()
    stage = new_stage(brain)
    async with stage.running():
        await stage.put(Incoming("a secret", stage.origin("1")))
        await stage.put(Incoming("hello all", stage.origin("2", is_private=False)))
        await stage.answers(2)
    [group] = [one for one in brain.conversations if one.turns[-1].text == "hello all"]
    assert [turn.text for turn in group.turns] == ["hello all"]


async def test_in_a_group_who_spoke_is_kept_and_the_answer_is_a_reply(new_stage: MakeStage) -> None:
    brain = EchoBrain()
    stage = new_stage(brain)
    async with stage.running():
        for user in ("ann", "bo"):
            await stage.put(Incoming(f"I am {user}", stage.origin("g", user, is_private=False)))
        await stage.answers(2)
    assert [turn.speaker for turn in brain.conversations[1].turns] == ["Ann", "Odile", "Bo"]
    assert stage.sent[1].reply_to == "m2"


async def test_in_a_group_only_what_is_addressed_is_answered_and_kept(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        await stage.put(Incoming("among us", stage.origin("g", is_private=False), is_addressed=False))
        await stage.put(Incoming("bot?", stage.origin("g", is_private=False)))
        assert await stage.answers(1) == ["re: bot?"]
    assert await stage.rows("SELECT key FROM inbox") == [("k2",)]


async def test_a_chatty_group_is_answered_unasked(new_stage: MakeStage) -> None:
    stage = new_stage(settings={"run": {"chattiness": 1.0}})
    async with stage.running():
        await stage.put(Incoming("among us", stage.origin("g", is_private=False), is_addressed=False))
        assert await stage.answers(1) == ["re: among us"]


async def test_long_answers_come_in_parts_that_join(new_stage: MakeStage) -> None:
    stage = new_stage()
    text = "word " * 1000
    async with stage.running():
        await stage.put(Incoming(text, stage.origin("g", is_private=False)))
        parts = await stage.answers(3)
    assert "".join(parts) == f"re: {text.strip()}"
    assert [message.reply_to for message in stage.sent] == ["m1", "", ""]
    assert len({message.nonce for message in stage.sent}) == 3


async def test_role_tokens_are_taken_out_of_text_and_names(new_stage: MakeStage) -> None:
    brain = EchoBrain()
    stage = new_stage(brain)
    async with stage.running():
        await stage.put(Incoming("hi<|endoftext|>you", stage.origin(user="<|system|>x")))
        await stage.answers(1)
    assert brain.conversations[0].turns[0].text == "hi you"
    assert "<|" not in brain.conversations[0].turns[0].speaker


async def test_what_holds_no_words_gets_a_line_that_fits(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        await stage.put(Incoming(" \u200b ", stage.origin()))
        assert await stage.answers(1) == ["Go on."]
    assert await stage.rows("SELECT count(*) FROM turns") == [(0,)]


async def test_a_failed_answer_is_tried_again(new_stage: MakeStage) -> None:
    stage = new_stage(FailingBrain(EngineBusy("full"), RuntimeError("?")), {"run": {"retry_s": 0.01}})
    async with stage.running():
        await stage.put(Incoming("hello", stage.origin()))
        assert await stage.answers(1) == ["re: hello"]


async def test_after_three_failures_it_is_an_apology_and_the_chat_goes_on(new_stage: MakeStage) -> None:
    stage = new_stage(FailingBrain(*[RuntimeError("?")] * 3), {"run": {"retry_s": 0.01}})
    async with stage.running():
        await stage.put(Incoming("poison", stage.origin()), Incoming("hello", stage.origin()))
        assert await stage.answers(2) == [APOLOGY, "re: hello"]
    assert await stage.rows("SELECT state, attempts, error, text FROM inbox WHERE key = 'k1'") == [
        ("dead", 3, "RuntimeError", "")
    ]


async def test_what_cannot_be_answered_gets_a_sentence_and_the_log_the_reason(
    new_stage: MakeStage, caplog: pytest.LogCaptureFixture
) -> None:
    stage = new_stage(FailingBrain(PromptError("/home/owl/model is too long")))
    async with stage.running():
        await stage.put(Incoming("hello", stage.origin()))
        assert await stage.answers(1) == [SORRY]
    [told] = [record for record in caplog.records if record.message == "not answered"]
    assert vars(told)["reason"] == "PromptError: /home/owl/model is too long"


async def test_a_failed_send_is_repeated_under_the_same_nonce(new_stage: MakeStage) -> None:
    stage = new_stage(failures=[SendFailed("lost"), RuntimeError("?"), RetryAfter(0.05)])
    async with stage.running():
        await stage.put(Incoming("hello", stage.origin()))
        await stage.put(Incoming("and?", stage.origin()))
        assert await stage.answers(2) == ["re: hello", "re: and?"]


async def test_a_platform_that_asks_to_wait_for_ever_is_not_waited_for_for_ever(new_stage: MakeStage) -> None:
    stage = new_stage(failures=[RetryAfter(0.1)] * 9, settings={"run": {"send_for_s": 0.3}})
    async with stage.running():
        await stage.put(Incoming("hello", stage.origin()))
        await stage.until_rows(
            "SELECT state, error FROM outbox", [("dead", "the platform asks to wait 0.1 s")]
        )


async def test_what_a_platform_refuses_does_not_block_the_chat(new_stage: MakeStage) -> None:
    stage = new_stage(failures=[MessageTooLong(9, 8)])
    async with stage.running():
        await stage.put(Incoming("hello", stage.origin()), Incoming("and?", stage.origin()))
        assert await stage.answers(1) == ["re: and?"]


async def test_a_chat_that_is_gone_is_left_alone_until_somebody_writes_there(new_stage: MakeStage) -> None:
    stage = new_stage(failures=[ChatGone("blocked")])
    async with stage.running():
        await stage.put(Incoming("hello", stage.origin()), Incoming("lost", stage.origin()))
        await stage.until_rows("SELECT is_gone FROM chats", [(True,)])
        await stage.put(Incoming("back again", stage.origin()))
        assert await stage.answers(1) == ["re: back again"]


async def test_one_chat_that_has_to_wait_does_not_halt_others(new_stage: MakeStage) -> None:
    stage = new_stage(failures=[RetryAfter(60.0)])
    async with stage.running():
        await stage.put(Incoming("slow", stage.origin("1")))
        await stage.until(lambda: not stage.failures)
        await stage.put(Incoming("quick", stage.origin("2")))
        assert await stage.answers(1) == ["re: quick"]


async def test_old_messages_get_one_note_per_chat(new_stage: MakeStage) -> None:
    stage = new_stage(settings={"run": {"stale_after_s": 3600.0}})
    old = datetime.now(UTC) - timedelta(hours=2)
    async with stage.running():
        await stage.put(*(Incoming(f"old {n}", stage.origin(when=old)) for n in range(5)))
        await stage.put(Incoming("new", stage.origin()))
        assert await stage.answers(2) == [STALE, "re: new"]


async def test_when_much_waits_one_persons_lines_become_one_turn(new_stage: MakeStage) -> None:
    stage = new_stage(settings={"run": {"merge_above": 2}})
    async with stage.running():
        said = [Incoming(f"a{n}", stage.origin("g", "ann", is_private=False)) for n in range(3)]
        await stage.put(*said, Incoming("b", stage.origin("g", "bo", is_private=False)))
        assert await stage.answers(2) == ["re: a0\na1\na2", "re: b"]


async def test_who_sends_too_much_is_told_once_and_the_counts_survive_a_restart(new_stage: MakeStage) -> None:
    stage = new_stage(settings={"gates": {"person_burst": 2, "person_per_min": 0.001}})
    async with stage.running():
        await stage.put(*(Incoming(f"m{n}", stage.origin()) for n in range(9)))
        assert sorted(await stage.answers(3)) == sorted([TOO_MUCH, "re: m0", "re: m1"])
    async with stage.running():
        await stage.put(Incoming("again", stage.origin()))
        await stage.put(Incoming("me too", stage.origin("2", "bo")))
        assert (await stage.answers(4))[3:] == ["re: me too"]


async def test_whom_the_lists_keep_out_is_not_even_stored(new_stage: MakeStage) -> None:
    stage = new_stage(settings={"gates": {"deny_users": ("stage:eve",)}})
    async with stage.running():
        await stage.put(Incoming("let me in", stage.origin(user="eve")), Incoming("hello", stage.origin()))
        assert await stage.answers(1) == ["re: hello"]
    assert await stage.rows("SELECT user_id FROM inbox") == [("ann",)]


async def test_when_too_much_waits_the_platform_is_told_to_wait(new_stage: MakeStage) -> None:
    stage = new_stage(EchoBrain(60.0), {"run": {"max_waiting": 2, "drain_s": 0.01}})
    async with stage.running():
        await stage.put(*(Incoming(f"m{n}", stage.origin()) for n in range(2)))
        with pytest.raises(Busy):
            await stage.put(Incoming("more", stage.origin()))


async def test_an_edit_replaces_what_is_not_answered_yet(new_stage: MakeStage) -> None:
    brain = EchoBrain(0.3)
    stage = new_stage(brain)
    async with stage.running():
        await stage.put(Incoming("helo", stage.origin()))
        await stage.until(lambda: brain.num_at_once == 1)
        await stage.put(Edited("hello", stage.origin(message_id="m1")))
        assert await stage.answers(1) == ["re: hello"]
        await stage.put(Edited("goodbye", stage.origin(message_id="m1")))
        await stage.put(Incoming("next", stage.origin()))
        assert await stage.answers(2) == ["re: hello", "re: next"]


async def test_who_edits_again_and_again_is_answered_and_holds_nobody_up(new_stage: MakeStage) -> None:
    brain = EchoBrain(0.3)
    stage = new_stage(brain)
    async with stage.running():
        await stage.put(Incoming("v0", stage.origin("g", "ann", is_private=False)))
        await stage.until(lambda: brain.num_at_once == 1)
        await stage.put(Incoming("me too", stage.origin("g", "bo", is_private=False)))
        for number in range(1, 12):
            origin = stage.origin("g", "ann", is_private=False, message_id="m1")
            await stage.put(Edited(f"v{number}", origin))
            await asyncio.sleep(0.1)
        assert await stage.answers(2) == ["re: me too", "re: v3"]
        for number in range(50):
            origin = stage.origin("g", "ann", is_private=False, message_id="m1")
            await stage.put(Edited(f"w{number}", origin))
    assert await stage.rows("SELECT count(*) FROM inbox") == [(5,)]


async def test_edits_count_as_messages_do(new_stage: MakeStage) -> None:
    stage = new_stage(EchoBrain(0.3), {"gates": {"person_burst": 2, "person_per_min": 0.001}})
    async with stage.running():
        await stage.put(Incoming("v0", stage.origin()))
        for number in range(1, 4):
            await stage.put(Edited(f"v{number}", stage.origin(message_id="m1")))
        assert sorted(await stage.answers(2)) == sorted([TOO_MUCH, "re: v1"])


async def test_what_was_deleted_counts_as_never_said(new_stage: MakeStage) -> None:
    brain = EchoBrain(0.2)
    stage = new_stage(brain)
    async with stage.running():
        await stage.put(Incoming("one", stage.origin()))
        await stage.answers(1)
        await stage.put(Incoming("oops", stage.origin()), Deleted(("m1", "m2"), stage.origin(message_id="")))
        await stage.put(Incoming("three", stage.origin()))
        assert await stage.answers(2) == ["re: one", "re: three"]
    assert [turn.text for turn in brain.conversations[-1].turns] == ["three"]


async def test_reactions_are_kept_and_taken_off(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        await stage.put(Incoming("one", stage.origin()))
        await stage.answers(1)
        await stage.put(Reaction("b1", ("👍", "🎉"), (), stage.origin(message_id="")))
        await stage.put(Reaction("b1", (), ("🎉",), stage.origin(message_id="")))
    query = "SELECT f.emoji, o.reply_id > 0 FROM feedback f JOIN outbox o ON o.message_id = f.message_id"
    assert await stage.rows(query) == [("👍", True)]


async def test_a_moved_chat_goes_on_where_it_is_now(new_stage: MakeStage) -> None:
    brain = EchoBrain()
    stage = new_stage(brain)
    async with stage.running():
        await stage.put(Incoming("one", stage.origin("old")))
        await stage.answers(1)
        await stage.put(Moved(stage.origin("new").chat, stage.origin("old")))
        await stage.put(Incoming("two", stage.origin("new")))
        await stage.answers(2)
    assert [turn.text for turn in brain.conversations[1].turns] == ["one", "re: one", "two"]


async def test_a_chat_that_moved_to_one_that_is_known_becomes_one_with_it(new_stage: MakeStage) -> None:
    brain = EchoBrain()
    stage = new_stage(brain)
    async with stage.running():
        await stage.put(Incoming("one", stage.origin("old")))
        await stage.answers(1)
        await stage.put(Reaction("b1", ("👍",), (), stage.origin("old", message_id="")))
        await stage.put(Incoming("two", stage.origin("new")))
        await stage.answers(2)
        await stage.put(Moved(stage.origin("new").chat, stage.origin("old")))
        await stage.put(Incoming("three", stage.origin("new")))
        await stage.answers(3)
    said = [turn.text for turn in brain.conversations[2].turns]
    assert said == ["one", "re: one", "two", "re: two", "three"]
    assert await stage.rows("SELECT chat FROM chats") == [("new",)]


async def test_what_waits_in_the_new_chat_is_answered_when_an_idle_one_moves_there(
    new_stage: MakeStage,
) -> None:
    stage = new_stage(EchoBrain(0.3))
    async with stage.running():
        await stage.put(Incoming("one", stage.origin("old")))
        await stage.answers(1)
        await stage.put(Incoming("two", stage.origin("new")))
        await stage.put(Moved(stage.origin("new").chat, stage.origin("old")))
        await stage.answers(2)
    assert await stage.rows("SELECT DISTINCT state FROM inbox") == [("done",)]


async def test_a_bot_that_was_removed_forgets_what_waits(new_stage: MakeStage) -> None:
    stage = new_stage(EchoBrain(0.3))
    async with stage.running():
        await stage.put(Incoming("one", stage.origin()))
        await stage.put(Presence(False, stage.origin(message_id="")))
        await stage.put(Incoming("two", stage.origin("2")))
        assert await stage.answers(1) == ["re: two"]
    assert await stage.rows("SELECT state FROM inbox WHERE key = 'k1'") == [("withdrawn",)]


class Doorkeeper(StageAdapter):
    """Fails while somebody removes the bot from the chat."""

    async def send(self, message: Outgoing) -> MessageRef:
        if message.text == "re: one":
            assert self._stage.sink is not None
            await self._stage.sink.accept(Presence(False, self._stage.origin(message_id="")))
            raise SendFailed("lost")
        return await super().send(message)


async def test_what_was_being_sent_when_the_bot_was_removed_is_not_tried_again(new_stage: MakeStage) -> None:
    stage = new_stage(kind=Doorkeeper)
    async with stage.running():
        await stage.put(Incoming("one", stage.origin()))
        await stage.until_rows("SELECT is_gone FROM chats", [(True,)])
        await stage.until_rows("SELECT state FROM outbox", [("dead",)])
        await stage.put(Incoming("back again", stage.origin()))
        assert await stage.answers(1) == ["re: back again"]
    assert await stage.rows("SELECT state FROM outbox ORDER BY id") == [("dead",), ("sent",)]


async def test_the_newest_message_of_each_chat_is_known(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        await stage.put(*(Incoming("x", stage.origin(chat)) for chat in ("1", "1", "2")))
        assert stage.sink is not None
        seen = await stage.sink.last_seen("bot")
    assert sorted((ref.chat.chat, ref.id) for ref in seen) == [("1", "m2"), ("2", "m3")]


async def test_while_it_thinks_it_shows_that_it_types(new_stage: MakeStage) -> None:
    stage = new_stage(EchoBrain(0.4))
    async with stage.running():
        await stage.put(Incoming("one", stage.origin()))
        await stage.answers(1)
    assert stage.num_typed == 1


async def test_a_crashed_adapter_is_made_anew(new_stage: MakeStage) -> None:
    stage = new_stage(crash=[RuntimeError("broken")])
    async with stage.running():
        await stage.put(Incoming("hello", stage.origin()))
        assert await stage.answers(1) == ["re: hello"]


async def test_a_slow_brain_lets_no_chat_wait_for_another(new_stage: MakeStage) -> None:
    brain = EchoBrain(0.5)
    stage = new_stage(brain)
    started = time.monotonic()
    async with stage.running():
        await stage.put(*(Incoming("x", stage.origin(str(chat), str(chat))) for chat in range(200)))
        await stage.answers(200)
    assert brain.most_at_once > 100, f"{time.monotonic() - started:.1f} s"


async def test_a_command_with_an_error_is_told_in_words(new_stage: MakeStage) -> None:
    stage = new_stage()
    async with stage.running():
        await stage.put(Command("persona", "nobody", stage.origin()))
        assert (await stage.answers(1))[0].startswith("There is no such character; there are: banter")
