"""Killed at random moments, the bot answers everything, in order, once."""

from pathlib import Path

from killing import CONFIG, FAKE, Plan, install, killed_again_and_again
from wire import WireServer

HARNESS = Path(__file__).parent / "harness"


async def test_every_message_is_answered_once_and_in_order_whenever_the_process_is_killed(
    tmp_path: Path,
) -> None:
    install(tmp_path / "site", "banter-wire", "fake = wire:WireAdapter")
    async with WireServer().serving() as server:
        (tmp_path / "config.toml").write_text(CONFIG + FAKE.format(port=server.port))
        variables = {
            "BANTER_FAKE__TOKEN": "token-of-the-wire",
            "PYTHONPATH": f"{tmp_path / 'site'}:{HARNESS}",
        }
        tally = await killed_again_and_again(server, tmp_path, Plan(), variables)
    print(tally)
    assert (tally.missing, tally.repeated, tally.disordered) == ([], [], [])
    assert tally.num_kills == 20
    assert "token-of-the-wire" not in tally.log
    assert "chat 1 line" not in tally.log  # what people write is not logged
