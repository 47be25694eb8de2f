"""Not a peer but the limit: the machine's speeds, measured once per line, and the floor they give.

The formula stands in brain/bench/floor.py.
"""

import dataclasses
import json
import sys

import torch
from server import arguments

from brain.bench.floor import reply_floor
from brain.bench.machine import measure_machine
from brain.bench.shape import Shape


def main() -> None:
    """Measure once per line."""
    args = arguments(("--dtype", ("float32", "bfloat16")))
    config = json.loads((args.folder / "config.json").read_text())
    shape = Shape(config["n_layer"], config["n_embd"], config["vocab_size"])
    dtype = getattr(torch, args.dtype)
    for _ in sys.stdin:
        machine = measure_machine(shape, dtype, torch.device("cpu"))
        floor = reply_floor(machine, shape, dtype.itemsize, args)
        stages = {name: stage.seconds for name, stage in floor.stages.items()}
        answer = {"seconds": {"median": floor.seconds}, "stages": stages, "floor": dataclasses.asdict(floor)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
