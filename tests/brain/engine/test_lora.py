"""Many characters on one base: each row as its own merged weights would have it, in any company."""

import asyncio
import copy
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from brain.config import DecodingConfig
from brain.dialogue import Candidate, Prompt
from brain.engine.causal import CausalModel
from brain.engine.engine import ModelEngine
from brain.engine.gpt2 import GPT2, gpt2_from_transformers
from brain.engine.lora import LoraWeights, placed
from brain.engine.model import FRESH, Row
from brain.engine.shape import GPT2Shape
from brain.errors import CheckpointError, EngineTimeout
from brain.lora_folders import LoraFolders
from brain.protocols import Span
from brain.testing import random_lora, tiny_encoder, tiny_gpt2

ENCODER = tiny_encoder()
BASE = tiny_gpt2(ENCODER, n_positions=96)
SHAPE = GPT2Shape(2, 4, 32, 96, 128)
CPU = torch.device("cpu")
GREEDY = DecodingConfig(method="greedy", max_new_tokens=10, min_new_tokens=6, no_repeat_ngram=1)
METHODS: list[dict[str, Any]] = [
    {"method": "greedy"},
    {"method": "sample", "num_candidates": 3},
    {"method": "beam", "num_beams": 4, "num_best": 2},
    {"method": "mmi", "num_candidates": 5, "repetition_penalty": 1.3},
]
MIB = 2**20


def prompts(num: int, seed: int = 5) -> list[Prompt]:
    chance = random.Random(seed)
    return [
        Prompt((), tuple(chance.choices(range(1, ENCODER.vocab_size), k=chance.randint(1, 60))))
        for _ in range(num)
    ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Twelve characters, of different ranks."""
    root = tmp_path_factory.mktemp("loras")
    return [str(random_lora(root / f"c{n}", SHAPE, seed=n, rank=1 + n % 4)) for n in range(12)]


def source() -> LoraFolders:
    return LoraFolders("starter", "forward")


def new_model(keep_bytes: int = 0, **options: Any) -> GPT2:
    return gpt2_from_transformers(BASE, CPU, torch.float32, keep_bytes, **options)


def new_engine(max_bytes: int = 64 * MIB, **options: Any) -> ModelEngine:
    return ModelEngine(new_model(**options), ENCODER, loras=source(), max_lora_bytes=max_bytes)


def taken(folder: str) -> LoraWeights:
    return placed(source().read(folder), SHAPE, CPU, torch.float32)


def merged(folder: str | None) -> Any:
    """The slow way: transformers' model with the product of A and B in its matrices."""
    model: Any = copy.deepcopy(BASE)
    if folder is not None:
        with torch.no_grad():
            for (layer, matrix), (a, b, scale) in source().read(folder).parts.items():
                model.get_parameter(f"transformer.h.{layer}.{matrix}.weight").add_(scale * (b @ a).t())
    return model


@torch.inference_mode()
def logprobs(model: Any, ids: Sequence[int]) -> torch.Tensor:
    out: torch.Tensor = model(torch.tensor([list(ids)])).logits[0].log_softmax(-1)
    return out


def said(candidates: Sequence[Candidate]) -> list[tuple[tuple[int, ...], str]]:
    return [(candidate.ids, candidate.finish) for candidate in candidates]


@pytest.mark.parametrize("has_fixed_shapes", [False, True])
@pytest.mark.parametrize("sizes", [(1,) * 13, (7, 1, 1, 30), (5,), (0, 3, 3), (9, 0)])
def test_each_row_of_a_pass_is_as_its_merged_weights_would_have_it(
    folders: list[str], sizes: tuple[int, ...], has_fixed_shapes: bool
) -> None:
    """Sizes are the prompts of each character, 0 for one of the base: grids, single ones, uneven ones."""
    model = new_model(has_fixed_shapes=has_fixed_shapes)
    who = [n for n, size in enumerate(sizes) for _ in range(max(size, 1))]
    who = [n if sizes[n] and n < 12 else None for n in who]
    random.Random(1).shuffle(who)
    texts = [prompt.ids for prompt in prompts(len(who))]
    weights = {n: taken(folders[n]) for n in set(who) if n is not None}
    references = {n: merged(None if n is None else folders[n]) for n in set(who)}

    keys, first = model.prefill(texts, 300, [None if n is None else weights[n] for n in who])
    found = [first.logits - first.log_norm]
    said = [list(text) for text in texts]
    for step in range(3):
        for row, text in enumerate(said):
            text.append((7 * row + step) % 300)
        rows = [
            Row(key, row if step else FRESH, text[-1])
            for row, (key, text) in enumerate(zip(keys, said, strict=True))
        ]
        following = model.step(rows, 300)
        found.append(following.logits - following.log_norm)

    for row, (n, text) in enumerate(zip(who, said, strict=True)):
        expected = logprobs(references[n], text)[len(texts[row]) - 1 :]
        torch.testing.assert_close(torch.stack([part[row] for part in found]), expected, atol=1e-4, rtol=0)


def test_scores_are_those_of_merged_weights(folders: list[str]) -> None:
    chance = random.Random(3)
    who = [chance.choice([None, *range(12)]) for _ in range(40)]
    spans = [
        Span(
            tuple(chance.choices(range(300), k=chance.randint(1, 30))),
            tuple(chance.choices(range(300), k=chance.randint(1, 30))),
        )
        for _ in who
    ]
    weights = [None if n is None else taken(folders[n]) for n in who]

    found = new_model().score(spans, weights)

    for n, span, score in zip(who, spans, found, strict=True):
        every = logprobs(merged(None if n is None else folders[n]), [*span.context, *span.target])
        expected = sum(float(every[len(span.context) - 1 + at, t]) for at, t in enumerate(span.target))
        assert score == pytest.approx(expected, abs=1e-3)


async def test_twelve_characters_in_24_mixed_chats_say_what_each_says_alone(folders: list[str]) -> None:
    together, texts = new_engine(), prompts(24)
    chats = [(text, folders[n % 12]) for n, text in enumerate(texts)]

    mixed = await asyncio.gather(*(together.generate(t, GREEDY, 0, lora=lora) for t, lora in chats))
    await together.close()

    for folder in folders:
        alone = ModelEngine(gpt2_from_transformers(merged(folder), CPU, torch.float32), ENCODER)
        for (text, lora), found in zip(chats, mixed, strict=True):
            if lora == folder:
                assert said(found) == said(await alone.generate(text, GREEDY, 0))
        await alone.close()
    assert len({found[0].ids for found in mixed}) > 12  # they do not all say the same


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method["method"]))
@pytest.mark.parametrize("has_fixed_shapes", [False, True])
async def test_every_method_of_decoding_finds_what_merged_weights_find(
    folders: list[str], method: dict[str, Any], has_fixed_shapes: bool
) -> None:
    decoding = DecodingConfig(max_new_tokens=10, temperature=1.0).merge(method, "test")
    engine, texts = new_engine(has_fixed_shapes=has_fixed_shapes), prompts(6)
    loras = [folders[0], None, folders[1], folders[2], None, folders[0]]

    found = await asyncio.gather(
        *(engine.generate(text, decoding, 3, lora=lora) for text, lora in zip(texts, loras, strict=True))
    )
    await engine.close()

    for text, lora, candidates in zip(texts, loras, found, strict=True):
        alone = ModelEngine(gpt2_from_transformers(merged(lora), CPU, torch.float32), ENCODER)
        expected = await alone.generate(text, decoding, 3)
        await alone.close()
        assert said(candidates) == said(expected)
        assert [c.logprob for c in candidates] == pytest.approx([c.logprob for c in expected], abs=1e-4)


async def test_what_one_character_has_read_is_not_taken_for_another(folders: list[str]) -> None:
    engine, prompt = new_engine(keep_bytes=10 * MIB), prompts(1)[0]
    for lora in (None, folders[0], folders[1], folders[0]):
        reused = engine.stats.reused
        found = await engine.generate(prompt, GREEDY, 0, lora=lora)
        fresh = ModelEngine(gpt2_from_transformers(merged(lora), CPU, torch.float32), ENCODER)
        assert said(found) == said(await fresh.generate(prompt, GREEDY, 0))
        await fresh.close()
    assert engine.stats.reused - reused == len(prompt.ids) - 1  # but its own prompt is kept
    await engine.close()


async def test_in_a_small_bound_characters_come_and_go_and_say_the_same(folders: list[str]) -> None:
    largest = max(taken(folder).num_bytes for folder in folders)
    wide, narrow = new_engine(), new_engine(max_bytes=2 * largest)
    chats = [(text, folders[n % 12]) for n, text in enumerate(prompts(24))]

    async def ask(engine: ModelEngine, text: Prompt, lora: str) -> list[Candidate]:
        found = await engine.generate(text, GREEDY, 0, lora=lora)
        assert engine.stats.lora_bytes <= 2 * largest or engine is wide
        return found

    expected = await asyncio.gather(*(ask(wide, *chat) for chat in chats))
    found = await asyncio.gather(*(ask(narrow, *chat) for chat in chats))
    await wide.close()
    await narrow.close()

    assert list(map(said, found)) == list(map(said, expected))


async def test_the_one_used_longest_ago_goes_and_one_in_use_never(folders: list[str]) -> None:
    same = [folder for n, folder in enumerate(folders) if n % 4 == 3]  # of equal size
    engine = new_engine(max_bytes=2 * taken(same[0]).num_bytes)
    for lora in (same[0], same[1], same[0], same[2]):
        await engine.prepare(lora)
    assert engine._shelf.names == (same[0], same[2])

    async with engine._shelf.held(same[0]), engine._shelf.held(same[2]):
        with pytest.raises(EngineTimeout):  # there is no room while both are at work
            await engine.generate(prompts(1)[0], GREEDY, 0, lora=same[1], max_seconds=0.2)
        assert engine._shelf.names == (same[0], same[2])
        waiting = asyncio.create_task(engine.prepare(same[1]))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    await waiting
    assert engine._shelf.names == (same[2], same[1])
    await engine.close()


async def test_weights_that_never_fit_are_refused(folders: list[str]) -> None:
    engine = new_engine(max_bytes=1000)
    with pytest.raises(CheckpointError, match=r"the LoRA weights take 0\.0 MiB, brain\.lora_mib allows"):
        await engine.prepare(folders[0])
    await engine.close()


async def test_weights_replaced_on_disk_speak_with_the_next_request(tmp_path: Path) -> None:
    lora, engine = str(random_lora(tmp_path / "lora", SHAPE, seed=1)), new_engine(keep_bytes=10 * MIB)
    decoding = GREEDY.model_copy(update={"min_new_tokens": 10, "max_new_tokens": 32})
    prompt = prompts(3)[2]
    before = await engine.generate(prompt, decoding, 0, lora=lora)
    started, tokens = asyncio.Event(), 0

    def heard(candidate: int, token: int) -> None:
        nonlocal tokens
        tokens += 1
        started.set()

    running = asyncio.create_task(engine.generate(prompt, decoding, 0, lora=lora, on_token=heard))
    await started.wait()
    random_lora(tmp_path / "lora", SHAPE, seed=2)

    after = await engine.generate(prompt, decoding, 0, lora=lora)

    assert said(await running) == said(before)  # it ends as it began
    reference = ModelEngine(gpt2_from_transformers(merged(lora), CPU, torch.float32), ENCODER)
    assert said(after) == said(await reference.generate(prompt, decoding, 0)) != said(before)
    assert engine.stats.lora_bytes == taken(lora).num_bytes  # the old ones are gone
    await engine.close()
    await reference.close()


@pytest.mark.parametrize("damage", ["gone", "cut", "config"])
async def test_damaged_new_weights_leave_the_old_ones_in_use(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder, engine = random_lora(tmp_path / "lora", SHAPE), new_engine()
    lora, prompt = str(folder), prompts(1)[0]
    before = await engine.generate(prompt, GREEDY, 0, lora=lora)
    if damage == "gone":
        shutil.rmtree(folder)
    elif damage == "cut":
        os.truncate(folder / "adapter_model.safetensors", 1000)
    else:
        (folder / "adapter_config.json").write_text("{")

    after = [await engine.generate(prompt, GREEDY, 0, lora=lora) for _ in range(3)]

    assert all(said(found) == said(before) for found in after)
    assert caplog.text.count("the LoRA weights before stay in use") == 1
    random_lora(folder, SHAPE, seed=9)
    assert said(await engine.generate(prompt, GREEDY, 0, lora=lora)) != said(before)
    await engine.close()


async def test_any_company_any_order_any_cancellation_any_character(folders: list[str]) -> None:
    chance, texts = random.Random(11), prompts(60, seed=2)
    decodings = [DecodingConfig(max_new_tokens=10).merge(method, "test") for method in METHODS]
    visits = [(t, chance.choice(decodings), chance.choice([None, *folders[:6]])) for t in texts]
    engine = new_engine(max_bytes=3 * taken(folders[3]).num_bytes, keep_bytes=300_000)

    async def visit(
        text: Prompt, decoding: DecodingConfig, lora: str | None, comes: float, leaves: float
    ) -> list[Candidate] | None:
        await asyncio.sleep(comes)
        call = asyncio.create_task(engine.generate(text, decoding, 4, lora=lora))
        done, _ = await asyncio.wait([call], timeout=leaves)
        if not done and call.cancel():
            return None
        return await call

    found = await asyncio.gather(
        *(visit(*one, chance.random() / 5, chance.choice([0.01, 60, 60])) for one in visits)
    )
    await engine.close()

    alone = new_engine()
    for (text, decoding, lora), candidates in zip(visits, found, strict=True):
        if candidates is not None:
            expected = await alone.generate(text, decoding, 4, lora=lora)
            assert said(candidates) == said(expected)
            assert [c.logprob for c in candidates] == pytest.approx([c.logprob for c in expected], abs=1e-4)
    await alone.close()
    assert sum(candidates is not None for candidates in found) > 20


async def test_in_bfloat16_replies_stay_close_to_merged_weights(folders: list[str]) -> None:
    model = gpt2_from_transformers(BASE, CPU, torch.bfloat16)
    spans = [Span(prompt.ids, (5, 6, 7)) for prompt in prompts(8)]
    weights = [placed(source().read(folders[n]), SHAPE, CPU, torch.bfloat16) for n in range(8)]
    exact = new_model().score(spans, [taken(folders[n]) for n in range(8)])
    assert model.score(spans, weights) == pytest.approx(exact, abs=0.3)


NewModel = Callable[[], Any]


@pytest.mark.parametrize("make", [new_model, lambda: CausalModel(BASE)], ids=["ours", "transformers"])
async def test_an_engine_that_was_given_no_source_says_so(make: NewModel) -> None:
    engine = ModelEngine(make(), ENCODER)
    with pytest.raises(CheckpointError, match="takes no LoRA weights"):
        await engine.generate(prompts(1)[0], GREEDY, 0, lora="x")
    await engine.close()


async def test_a_model_of_transformers_says_how_to_merge_them(folders: list[str]) -> None:
    engine = ModelEngine(CausalModel(BASE), ENCODER, loras=source())
    with pytest.raises(CheckpointError, match=r"start with --model .*c0, which merges them"):
        await engine.score([Span((1,), (2,))], lora=folders[0])
    await engine.close()
