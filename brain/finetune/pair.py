"""A trained forward and reverse model become one folder like the starter: half precision, one tokenizer.

    python -m brain.finetune.pair FORWARD REVERSE DIR

writes DIR/forward, DIR/reverse and DIR/tokenizer.json from two model folders that share a tokenizer.
"""

import sys
from pathlib import Path

import torch

from brain.encoding import encoder_from_folder
from brain.errors import BrainError, CheckpointError
from brain.finetune.models import write_model
from brain.weights import read_model


def write_pair(forward: Path, reverse: Path, folder: Path) -> None:
    """Write both models in float16 below `folder`, which may hold other files and keeps them.

    Raises:
        CheckpointError: a model cannot be read, or the two do not share their tokenizer.
    """
    tokenizers = [(source / "tokenizer.json").read_bytes() for source in (forward, reverse)]
    if tokenizers[0] != tokenizers[1]:
        raise CheckpointError(f"{forward} and {reverse} have different tokenizers; a pair needs one")
    folder.mkdir(parents=True, exist_ok=True)
    for source, role in ((forward, "forward"), (reverse, "reverse")):
        model = read_model(source, torch.device("cpu"), torch.float16)
        model.config.use_cache = True
        write_model(model, None, folder / role)
    encoder_from_folder(forward).save(folder / "tokenizer.json")


if __name__ == "__main__":
    try:
        write_pair(*map(Path, sys.argv[1:4]))
    except (BrainError, OSError, TypeError) as problem:
        print(f"pair: {problem}", file=sys.stderr)
        raise SystemExit(1) from None
