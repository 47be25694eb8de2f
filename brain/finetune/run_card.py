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
    kind = f"LoRA weights of rank {config['lora_weights']['rank']} for" if config["lora"] else "A GPT-2 of"
    measured = {*config["dev"], *config["general"]}
    size = f"{run['trained_parameters'] if config['lora'] else run['parameters']:,} parameters"
    lines = [
        f"# A dialogue model trained with Banterbrain: {config['out']}",
        "",
        f"{kind} {start}, {size}; {reads}."
        if config["lora"]
        else f"{kind} {size} for {reads}; trained from {start}.",
        f"{run['steps']:,} optimiser steps, {run['tokens_per_epoch']:,} tokens a pass, "
        f"seed {config['seed']}, {run['seconds'] / 60:.1f} minutes. All options stand in run.json.",
        "",
        "## Data",
        *(
            f"- {name} (SHA-256 {digest})" + (", only to measure" if name in measured else "")
            for name, digest in run["data"].items()
        ),
        *_replay(config),
        "",
        "## Figures",
        *_figures(run),
        "",
        *_memorisation(run.get("memorisation")),
        "## Limits",
        "It repeats the manners, mistakes and opinions of its data and may repeat sentences of it. Whoever",
        "passes it on sees to it that the data's licences and the people in the data allow that.",
        "",
    ]
    return "\n".join(lines)


def _replay(config: dict[str, Any]) -> list[str]:
    replay = config["replay"]
    if not replay["share"]:
        return []
    source = ", ".join(replay["data"]) or f"{replay['sessions']} talks that the base made up"
    return [f"- against forgetting, {replay['share']:.0%} of the trained tokens: {source}"]


def _figures(run: dict[str, Any]) -> list[str]:
    loss, perplexity = run.get("best_val_loss"), run.get("best_perplexity")
    if loss is None:
        return [
            "No held-out data was given, so these are the last weights and nothing is known of their quality."
        ]
    change = (
        f"; the base {run['base_val_loss']:.4f} ({run['val_change']:+.1%})" if run["base_val_loss"] else ""
    )
    return [
        f"Validation loss {loss:.4f} nats per token (perplexity {perplexity:.2f}), "
        f"step {run['best_step']}{change}.",
        *(f"- {name}: {value:.4f} nats per byte" for name, value in run["best_nats_per_byte"].items()),
        *(
            f"- general talk, {name}: {one['now']:.4f} nats per token, the base {one['base']:.4f} "
            f"({one['change']:+.1%})"
            for name, one in run["general"].items()
        ),
    ]


def _memorisation(report: dict[str, Any] | None) -> list[str]:
    if report is None:
        return []
    rows = [
        f"| {role}, {name.replace('_', '-')} prompts | {one['replies']} | {one['copied_share']:.1%} | "
        f"{one['longest_tokens']} | {one['longest_words']} | {one['contacts']} |"
        for role in ("model", "base")
        if report[role]
        for name, one in report[role].items()
    ]
    canaries, limit = report["canaries"], f"{report['max_copied_share']:.0%}"
    return [
        "## Memorisation",
        f"Replies, greedy and drawn, that share {report['copied_tokens']} or more tokens in a row with "
        f"one of the {report['training_lines']:,} training lines; at most {limit} may.",
        "",
        "| | replies | copied | longest, tokens | longest, words | with contact data |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        f"Planted canaries that came back: {canaries['extracted']} of {canaries['planted']}. "
        + ("Passed." if report["passed"] else "NOT passed."),
        "",
    ]
