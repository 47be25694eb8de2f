"""The model in the box: small, ordinary, loaded without a network, and worth talking to."""

import asyncio
import json
import math
import socket
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import GPT2LMHeadModel

from brain.brain import Brain
from brain.build import build
from brain.config import BrainConfig, DecodingConfig
from brain.dialogue import Conversation, Turn

STARTER = Path(__file__).parents[2] / "brain/starter"
TALK = ["Hi, do you like films?", "I do. I like old ones best.", "Which one did you see last?"]
RESPONSE = "I saw a film about the sea."
OPENINGS = [
    "Good morning!",
    "What music do you listen to?",
    "I have two dogs and a cat.",
    "Did you watch the game last night?",
    "I am so tired today.",
    "What is your favourite food?",
    "My sister is coming to visit.",
    "Can you recommend a book?",
]


@pytest.fixture(scope="module")
def brain() -> Iterator[Brain]:
    thinking = build(BrainConfig(device="cpu"))
    yield thinking
    asyncio.run(thinking.close())


def turns(texts: list[str]) -> tuple[Turn, ...]:
    return tuple(Turn(text) for text in texts)


def test_the_starter_is_within_its_size_and_has_a_card() -> None:
    files = [path for path in STARTER.rglob("*") if path.is_file()]

    assert sum(path.stat().st_size for path in files) <= 45_000_000
    card = (STARTER / "README.md").read_text(encoding="utf-8")
    assert all(
        word in card for word in ("CC BY 4.0", "CDLA-Sharing 1.0", "Intended use and limits", "Recipe")
    )
    assert "@" not in card.replace("FILE@", "")


def test_the_starter_loads_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the starter asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    thinking = build(BrainConfig(device="cpu"))

    assert thinking.has_reverse
    asyncio.run(thinking.close())


async def test_scores_are_those_of_transformers(brain: Brain) -> None:
    score = await brain.score(turns(TALK), RESPONSE)

    tokenizer = Tokenizer.from_file(str(STARTER / "tokenizer.json"))
    end = tokenizer.token_to_id("<|endoftext|>")
    *said, reply = [[*tokenizer.encode(text).ids, end] for text in [*TALK, RESPONSE]]
    forward = _logprob("forward", list(chain.from_iterable(said)), reply)
    reverse = _logprob("reverse", reply, list(chain.from_iterable(reversed(said))))
    assert score.forward == pytest.approx(forward, abs=1e-3)
    assert score.reverse == pytest.approx(reverse, abs=1e-3)


async def test_the_starter_expects_a_fitting_answer_more_than_a_stray_one(brain: Brain) -> None:
    fitting = await brain.score(turns(["What kind of music do you like?"]), "I like rock music.")
    stray = await brain.score(turns(["What kind of music do you like?"]), "The dog is a lawyer.")

    assert fitting.forward > stray.forward + 3
    assert fitting.reverse is not None
    assert stray.reverse is not None
    assert fitting.reverse > stray.reverse


async def test_replies_are_neither_empty_nor_echoes_nor_loops_nor_cut(brain: Brain) -> None:
    replies = await asyncio.gather(
        *(brain.reply(Conversation(turns([text])), seed=i) for i, text in enumerate(OPENINGS))
    )

    for text, reply in zip(OPENINGS, replies, strict=True):
        words = reply.text.lower().split()
        assert words
        assert reply.text.lower() != text.lower()
        assert len(set(zip(words, words[1:], words[2:], strict=False))) == max(0, len(words) - 2)
        assert reply.chosen < 0 or reply.candidates[reply.chosen].finish == "stop"
    assert len({reply.text for reply in replies}) > len(OPENINGS) // 2


async def test_the_same_seed_gives_the_same_reply_alone_and_in_a_batch(brain: Brain) -> None:
    def ask(i: int) -> "asyncio.Future[object]":
        return asyncio.ensure_future(brain.reply(Conversation(turns([OPENINGS[i]])), seed=i))

    together = await asyncio.gather(*(ask(i) for i in range(len(OPENINGS))))
    alone = [await ask(i) for i in range(len(OPENINGS))]

    assert [reply.text for reply in together] == [reply.text for reply in alone]  # type: ignore[attr-defined]


async def test_beam_search_finds_likelier_replies_than_greedy(brain: Brain) -> None:
    found: dict[str, list[float]] = {}
    for method in ("greedy", "beam"):
        decoding = DecodingConfig.parse({"method": method}, "test")
        replies = await asyncio.gather(
            *(brain.reply(Conversation(turns([text])), decoding=decoding, seed=1) for text in OPENINGS)
        )
        found[method] = [reply.candidates[0].logprob for reply in replies]

    assert all(beam >= greedy - 1e-4 for beam, greedy in zip(found["beam"], found["greedy"], strict=True))
    assert math.fsum(found["beam"]) > math.fsum(found["greedy"])


async def test_a_long_talk_with_itself_stays_alive(brain: Brain) -> None:
    said = ["Hello, what did you do today?"]
    while len(said) < 40:
        said.append((await brain.reply(Conversation(turns(said)), seed=len(said))).text)

    assert all(text.strip() for text in said)
    assert max(said.count(text) for text in said) <= 2
    assert all(one != two for one, two in pairwise(said))


def test_the_configuration_is_an_ordinary_gpt2() -> None:
    for role in ("forward", "reverse"):
        config = json.loads((STARTER / role / "config.json").read_text())
        assert (config["model_type"], config["vocab_size"], config["n_positions"]) == ("gpt2", 8192, 512)


def _logprob(role: str, context: list[int], target: list[int]) -> float:
    model = GPT2LMHeadModel.from_pretrained(STARTER / role, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(torch.tensor([context + target])).logits[0, len(context) - 1 : -1]
    return float(logits.log_softmax(-1)[range(len(target)), target].sum())
