"""LoRA weights of a finished run, made small enough to be shipped: half precision, no tokenizer of their own.

    python -m brain.finetune.slim RUN DIR

writes DIR from the folder of a run; what DIR held before is replaced as a whole.
"""

import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from brain.errors import BrainError, CheckpointError
from brain.finetune.models import whole_folder
from brain.lora import ADAPTER_CONFIG, BASE_FILE

WEIGHTS = "adapter_model.safetensors"


def write_slim(run: Path, folder: Path) -> None:
    """Write float16 LoRA weights with their configuration, the hash of their base and their card.

    Raises:
        CheckpointError: the run has no LoRA weights.
        TrainingError: the folder cannot be written.
    """
    model = run / "model"
    if not (model / WEIGHTS).is_file():
        raise CheckpointError(f"{run} is no finished run with LoRA weights: it has no model/{WEIGHTS}")
    weights = {
        name: tensor.to(torch.float16).contiguous() for name, tensor in load_file(model / WEIGHTS).items()
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as new:
        new.mkdir()
        save_file(weights, new / WEIGHTS, metadata={"format": "pt"})
        for name in (ADAPTER_CONFIG, BASE_FILE, "README.md"):
            shutil.copyfile(model / name, new / name)


if __name__ == "__main__":
    try:
        write_slim(*map(Path, sys.argv[1:3]))
    except (BrainError, OSError, TypeError) as problem:
        print(f"slim: {problem}", file=sys.stderr)
        raise SystemExit(1) from None
