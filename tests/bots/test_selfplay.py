"""The bot with itself."""

from pathlib import Path

from bots import selfplay
from bots.cast import Cast
from brain.brain import Brain
from brain.config import BrainConfig
from brain.persona import DEFAULT_PERSONA
from brain.testing import ScriptedEngine, tiny_encoder


async def test_each_turn_answers_all_before_it(tmp_path: Path) -> None:
    engine = ScriptedEngine(tiny_encoder(), ["by the sea"], ["good night"])
    config = BrainConfig()
    turns = selfplay.play(Brain(engine, config), Cast(tmp_path, config), DEFAULT_PERSONA, "hello", seed=1)
    said = [(await anext(turns)).text for _ in range(3)]
    await turns.aclose()
    assert said == ["hello", "by the sea", "good night"]
    assert [len(prompt.turns) for prompt in engine.prompts] == [1, 2]
    assert len(set(engine.seeds)) == 2
