"""How the threads of torch wait for each other; to be settled before torch is imported."""

import os
import sys

# Turns of the OpenMP runtime's waiting loop: longer than the pause between two operations, too short to take
# a core from a neighbour. Sleeping at once (OMP_WAIT_POLICY=PASSIVE) makes a step half as long again; the
# runtime's default is thirty times as many.
_BRIEF_SPIN = "10000"


def wait_briefly() -> None:
    """Let torch's helper threads wait awake for a moment, then sleep; the environment may say otherwise."""
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _BRIEF_SPIN)
