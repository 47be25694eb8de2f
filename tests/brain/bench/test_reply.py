"""A benchmark's reply is a real one, of exactly the sizes asked for."""

from pathlib import Path
from random import Random

import pytest
import torch

from brain.bench.config import ReplyBenchConfig, ServeBenchConfig
from brain.bench.ids import IdsEncoder, random_turn
from brain.bench.models import Pair, open_pair
from brain.bench.reply import ReplyBench, timed_reply
from brain.bench.serve import ServeBench
from brain.config import BrainConfig
from brain.dialogue import Candidate, Turn
from brain.errors import CheckpointError, ConfigError
from brain.testing import ScriptedEngine, tiny_encoder, tiny_gpt2

SIZES = ReplyBenchConfig(history=9, candidates=3, new_tokens=4, source=5, runs=2, floor=False)
ROUND = ServeBenchConfig(chats=3, history=9, new_tokens=4, source=5, runs=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model without a tokenizer."""
    path = tmp_path_factory.mktemp("model")
    tiny_gpt2(tiny_encoder()).save_pretrained(path)
    return path


def brain(folder: Path, **options: object) -> BrainConfig:
    return BrainConfig.parse({"model": str(folder), "device": "cpu", "num_threads": 1, **options}, "test")


async def test_the_engines_get_exactly_the_sizes_asked_for(folder: Path) -> None:
    encoder = IdsEncoder(300, 0)
    drawn = tuple(Candidate("", (1, 2, 3, token), -1.0, "length") for token in (4, 5, 6))
    forward, reverse = ScriptedEngine(encoder, drawn), ScriptedEngine(encoder)
    pair = Pair(forward, reverse, "it", encoder, None, torch.float32, torch.device("cpu"), 1)

    stages = await timed_reply(pair, SIZES, Random(1))

    [prompt], [decoding] = forward.prompts, forward.decodings
    assert list(stages) == ["prefill", "generate", "mmi"]
    assert len(prompt.ids) == 9
    assert (decoding.min_new_tokens, decoding.max_new_tokens, decoding.num_candidates) == (4, 4, 3)
    assert [span.context for span in reverse.spans] == [(1, 2, 3, token, 0) for token in (4, 5, 6)]
    assert [len(span.target) for span in reverse.spans] == [5, 5, 5]
    assert len({span.target for span in reverse.spans}) == 1


async def test_a_model_without_a_tokenizer_replies(folder: Path) -> None:
    told: list[str] = []
    bench = ReplyBench(brain(folder), SIZES, 0, told.append)
    await bench.warm_up()
    report = await bench.measure()
    await bench.close()

    assert report.seconds.min <= report.seconds.median <= report.seconds.max
    assert all(report.stages[stage] > 0 for stage in ("prefill", "generate", "mmi"))
    assert (report.dtype, report.threads, report.reverse) == ("float32", 1, str(folder))
    assert report.peak_mib >= report.loaded_mib > 0
    assert report.floor_s is None
    assert len(told) == 1 + SIZES.runs


async def test_the_floor_is_told(folder: Path) -> None:
    bench = ReplyBench(brain(folder, reverse="none"), SIZES.merge({"floor": True}, "test"), 0, print)
    report = await bench.measure()
    await bench.close()

    assert report.floor is not None
    assert report.floor_s == report.floor.seconds > 0
    assert set(report.floor.stages) == {"prompt", "steps"}
    assert set(report.stages) == {"prefill", "generate"}


async def test_runs_never_share_a_prompt(folder: Path) -> None:
    encoder = IdsEncoder(300, 299)
    turns = {random_turn(encoder, 20, Random(f"0 {run}")) for run in range(10)}
    assert len(turns) == 10
    assert all(turn.index(299) == 19 for turn in turns)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"history": 61}, "history 61 and new tokens 4 make 65 tokens, but the model has 64 positions"),
        ({"source": 60}, "new tokens 4, their end and source 60 make 65 tokens"),
    ],
)
async def test_sizes_beyond_the_positions_are_refused(
    sizes: dict[str, int], sentence: str, folder: Path
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        ReplyBench(brain(folder), SIZES.merge(sizes, "test"), 0, print)


async def test_two_models_must_share_a_vocabulary(folder: Path, tmp_path: Path) -> None:
    tiny_gpt2(tiny_encoder(290)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="290 tokens"):
        open_pair(brain(folder, reverse=str(tmp_path)), with_mmi=True)


@pytest.mark.parametrize("arrivals", ["at-once", "poisson"])
async def test_every_chat_is_answered(arrivals: str, folder: Path) -> None:
    bench = ServeBench(brain(folder), ROUND.merge({"arrivals": arrivals, "turns": 3}, "test"), 0, print)
    assert len((await bench._run_once()).latencies) == 3 * ROUND.chats
    await bench.warm_up()
    report = await bench.measure()
    await bench.close()

    assert report.replies_per_s == report.spread.median > 0
    assert 0 < report.latency_s.median <= report.latency_s.p95
    assert (report.offered_per_s is None) == (arrivals == "at-once")
    assert report.reverse is None  # one candidate: nothing to choose


def test_ids_are_their_own_text() -> None:
    encoder = IdsEncoder(20, 0)
    turns = [Turn("7 8"), Turn("9")]
    assert encoder.encode(turns) == [7, 8, 0, 9, 0]
    assert encoder.encode_reversed(turns) == [9, 0, 7, 8, 0]
    assert encoder.decode([7, 8, 0]) == "7 8"
