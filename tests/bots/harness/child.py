"""`banter run` without a model: python child.py CONFIG SECONDS. What a kill test kills.

The service of the settings in CONFIG with an EchoBrain that takes SECONDS per reply. Which adapters run is
said by CONFIG, and through PYTHONPATH by distributions that a test laid there; see `killing.install`.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from bots import logs
from bots.cast import Cast
from bots.service import Service, enabled, secrets_of
from bots.settings import load
from bots.testing.brains import EchoBrain
from brain.dialogue import Conversation, Reply
from brain.persona import DEFAULT_PERSONA


class Fragile(EchoBrain):
    """Breaks down over one word, with all it knows in the message."""

    async def reply(self, conversation: Conversation, **given: Any) -> Reply:
        """As EchoBrain; RuntimeError when asked to crash."""
        if conversation.turns[-1].text == "crash":
            raise RuntimeError(f"{dict(os.environ)}")
        return await super().reply(conversation, **given)


def main() -> None:
    """Run until killed or asked to stop."""
    settings = load(Path(sys.argv[1]))
    adapters = enabled(settings)
    logs.set_up(settings.log, secrets_of(settings, adapters))
    cast = Cast(settings.persona_root, settings.brain)
    service = Service(Fragile(float(sys.argv[2])), cast, DEFAULT_PERSONA, settings, adapters)
    asyncio.run(service.run())


if __name__ == "__main__":
    main()
