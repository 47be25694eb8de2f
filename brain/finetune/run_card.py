"""The card of a trained model: what it was made from, how, and how well it does, for people."""

from pathlib import Path
from typing import Any


def write_card(folder: Path, run: dict[str, Any]) -> None:
    """Write README.md into a model folder from the contents of run.json."""
    (folder / "README.md").write_text(card_from_run(run), encoding="utf-8")


def card_from_run(run: dict[str, Any]) -> str:
    """Markdown: start, data with hashes, steps, figures in nats per token and per UTF-8 byte."""
    config = run["config"]
    start = config["base"] or "nothing (random weights)"
    reads = "P(history | response), newest turn first" if config["reverse"] else "P(response | history)"
    loss, perplexity = run.get("best_val_loss"), run.get("best_perplexity")
    figures = [f"- {name}: {value:.4f} nats per byte" for name, value in run["best_nats_per_byte"].items()]
    validation = (
        [f"Validation loss {loss:.4f} nats per token (perplexity {perplexity:.2f}), step {run['best_step']}."]
        if loss is not None
        else [
            "No held-out data was given, so these are the last weights and nothing is known of their quality."
        ]
    )
    lines = [
        f"# A dialogue model trained with Banterbrain: {config['out']}",
        "",
        f"A GPT-2 of {run['parameters']:,} parameters for {reads}; trained from {start}.",
        f"{run['steps']:,} optimiser steps, {run['tokens_per_epoch']:,} tokens a pass, "
        f"seed {config['seed']}, {run['seconds'] / 60:.0f} minutes. All options stand in run.json.",
        "",
        "## Data",
        *(f"- {name} (SHA-256 {digest})" for name, digest in run["data"].items()),
        "",
        "## Figures",
        *validation,
        *figures,
        "",
        "## Limits",
        "It repeats the manners, mistakes and opinions of its data and may repeat sentences of it. Whoever",
        "passes it on sees to it that the data's licences and the people in the data allow that.",
        "",
    ]
    return "\n".join(lines)
