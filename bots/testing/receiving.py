"""Checks of `run`: order, acknowledgement, Busy, restarts."""

import asyncio

from bots.testing.bench import SETTLE_S, Bench


async def receives_in_order(bench: Bench) -> None:
    """What a person writes arrives in order, with all that keys and gates need."""
    said = [bench.words() for _ in range(5)]
    async with bench.running(bench.sink()) as trial:
        for text in said:
            await bench.platform.say(text)
        await trial.until(lambda sink: len(sink.said()) >= len(said), "not all that was said arrived")
        assert trial.sink.said() == said, f"{said} arrived as {trial.sink.said()}"
        origin = trial.sink.events[0].origin
        assert origin.chat == bench.platform.chat, f"Origin.chat is {origin.chat}, not {bench.platform.chat}"
        assert origin.is_private, "a private chat must have Origin.is_private"
        assert origin.user.id, "Origin.user has no id"


async def acknowledges_after_the_commit(bench: Bench) -> None:
    """Nothing is acknowledged before `accept` has returned; after that it is."""
    async with bench.running(bench.sink()) as trial:
        before = bench.platform.num_acknowledged()
        if before is None:
            return
        trial.sink.close()
        await bench.platform.say(bench.words())
        await trial.until(lambda sink: bool(sink.offered), "nothing was offered to the sink")
        await asyncio.sleep(SETTLE_S)
        assert bench.platform.num_acknowledged() == before, "acknowledged before accept had returned"
        trial.sink.open()
        for _ in range(int(bench.timeout_s / 0.05)):
            if bench.platform.num_acknowledged() == before + 1:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("not acknowledged after accept had returned")


async def offers_again_when_busy(bench: Bench) -> None:
    """Busy loses nothing and repeats nothing."""
    if not bench.platform.keeps_unheard:
        return
    async with bench.running(bench.sink()) as trial:
        first, second = bench.words(), bench.words()
        await bench.platform.say(first)
        await trial.until(lambda sink: first in sink.said(), "what was said did not arrive")
        trial.sink.be_busy(1)
        await bench.platform.say(second)
        await trial.until(lambda sink: second in sink.said(), "what met Busy was not offered again")
        assert trial.sink.said() == [first, second], f"accepted twice, or changed: {trial.sink.said()}"


async def survives_a_restart(bench: Bench) -> None:
    """What was said before, meanwhile and after arrives once each."""
    sink = bench.sink()
    before, away, after = bench.words(), bench.words(), bench.words()
    async with bench.running(sink) as trial:
        await bench.platform.say(before)
        await trial.until(lambda seen: before in seen.said(), "what was said did not arrive")
    if bench.platform.keeps_unheard:
        await bench.platform.say(away)
    async with bench.running(sink) as trial:
        await bench.platform.say(after)
        await trial.until(lambda seen: after in seen.said(), "nothing arrived after a restart")
    expected = [before, away, after] if bench.platform.keeps_unheard else [before, after]
    assert sink.said() == expected, f"over a restart {expected} arrived as {sink.said()}"


async def offers_again_what_was_not_accepted(bench: Bench) -> None:
    """Killed while it waited for the commit, the next instance offers it again."""
    if not bench.platform.keeps_unheard:
        return
    sink = bench.sink()
    first, second = bench.words(), bench.words()
    async with bench.running(sink) as trial:
        await bench.platform.say(first)
        await trial.until(lambda seen: first in seen.said(), "what was said did not arrive")
        num_offered = len(sink.offered)
        sink.close()
        await bench.platform.say(second)
        await trial.until(lambda seen: len(seen.offered) > num_offered, "nothing was offered to the sink")
    sink.open()
    async with bench.running(sink) as trial:
        await trial.until(lambda seen: second in seen.said(), "what was not accepted is lost")
    assert sink.said() == [first, second], f"accepted twice: {sink.said()}"
