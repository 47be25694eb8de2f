"""The kill test with the real adapters: 300 messages in 30 chats, SIGKILL at 20 random moments."""

import asyncio
from pathlib import Path

import crowds
from crowds import AnyCrowd, DiscordCrowd
from killing import CONFIG, Plan, Tally, connected, killed_again_and_again, started


async def connected_once(session: Path) -> None:
    for _ in range(200):
        if session.is_file():  # noqa: ASYNC240
            return
        await asyncio.sleep(0.05)
    raise AssertionError("no session was kept")


async def killed(crowd: AnyCrowd, folder: Path) -> Tally:
    (folder / "config.toml").write_text(CONFIG + crowd.section())
    (folder / ".banter").mkdir()
    bot = await started(folder, 0.0, crowds.variables(crowd))
    await connected(folder, 1, 20.0)  # Discord tells a bot that was never there of nobody
    if isinstance(crowd, DiscordCrowd):
        await connected_once(folder / ".banter" / "discord-session.json")
    bot.terminate()
    await bot.wait()
    (folder / "child.log").unlink()
    tally = await killed_again_and_again(crowd, folder, Plan(), crowds.variables(crowd))
    print(crowd.name, tally, tally.repeated)
    assert (tally.num_kills, tally.missing, tally.disordered) == (20, [], [])
    kept = b"".join(file.read_bytes() for file in (folder / ".banter").iterdir())
    assert crowd.token not in tally.log
    assert crowd.token.encode() not in kept
    return tally


async def test_on_discord_everything_is_answered_once(tmp_path: Path) -> None:
    async with crowds.discord() as crowd:
        assert (await killed(crowd, tmp_path)).repeated == []


async def test_on_telegram_everything_is_answered_and_little_repeated(tmp_path: Path) -> None:
    async with crowds.telegram() as crowd:
        tally = await killed(crowd, tmp_path)
    assert len(tally.repeated) <= 6  # 0 to 2 of 300; more where other work keeps answers from being noted
