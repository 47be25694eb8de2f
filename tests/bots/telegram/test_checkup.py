"""What the doctor is told, and what the Config refuses."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from bots.messages import Finding
from bots.telegram.config import TelegramConfig
from bots.testing import CANARY
from tests.bots.telegram.conftest import MakeAdapter
from tests.bots.telegram.server import BotApiServer


async def found(make: MakeAdapter, **keys: Any) -> list[Finding]:
    return list(await make(**keys).check())


async def test_all_is_well_but_privacy_in_groups(make: MakeAdapter, server: BotApiServer) -> None:
    fine, privacy = await found(make)
    assert (fine.level, fine.what) == ("ok", "telegram: the token is @banter_test_bot's")
    assert privacy.level == "warning"
    assert "/setprivacy" in privacy.fix
    server.me["can_read_all_group_messages"] = True
    assert [finding.level for finding in await found(make)] == ["ok"]
    assert {call.method for call in server.calls} == {"getMe", "getWebhookInfo"}  # no side effects


async def test_a_wrong_token_says_where_to_get_one(make: MakeAdapter) -> None:
    [finding] = await found(make, token=SecretStr("1:short"))
    assert finding.level == "problem"
    assert "@BotFather" in finding.fix
    assert "short" not in f"{finding.what}"


async def test_no_network(make: MakeAdapter, server: BotApiServer) -> None:
    await server.stop()
    [finding] = await found(make)
    assert (finding.level, finding.what) == ("problem", "telegram: cannot be reached (ConnectError)")


async def test_a_webhook_that_keeps_updates_from_polling(make: MakeAdapter, server: BotApiServer) -> None:
    server.webhook = {"url": "https://other.example/hook?key=1", "secret_token": ""}
    server.fault = "gone"  # which delivers nothing to nowhere
    problem = (await found(make))[1]
    assert problem.level == "problem"
    assert "a webhook to other.example is set" in problem.what


async def test_a_webhook_that_cannot_work(make: MakeAdapter, server: BotApiServer) -> None:
    url = "http://here.example:8080/hook"
    server.webhook = {"url": url, "last_error_message": "Connection refused"}
    failed = (await found(make, mode="webhook", webhook_url=url))[1]
    assert "the last delivery failed: Connection refused" in failed.what
    server.webhook = {"url": "https://other.example/hook"}
    taken = (await found(make, mode="webhook", webhook_url=url))[1]
    assert "other.example" in taken.what


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"mode": "webhook"}, "needs the public address"),
        ({"webhook_url": "here"}, "https://host/path"),
        ({"base_url": "api.telegram.org"}, "https://host"),
        ({"webhook_secret": f"{CANARY}"}, "are taken"),
        ({"poll_timeout_s": 0}, "greater than or equal to 1"),
    ],
)
def test_the_config_says_what_is_wrong_without_a_secret(keys: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint) as error:
        TelegramConfig.model_validate({"token": CANARY, **keys})
    assert CANARY not in str(error.value)


@pytest.mark.parametrize("base_url", ["https://x.example", "https://x.example/", "https://x.example/bot"])
def test_base_url_comes_with_or_without_bot(base_url: str) -> None:
    assert TelegramConfig(token=SecretStr(CANARY), base_url=base_url).api_root() == "https://x.example/bot"


def test_white_space_around_a_token_does_not_count() -> None:
    assert TelegramConfig(token=SecretStr(f" {CANARY}\n")).token.get_secret_value() == CANARY
