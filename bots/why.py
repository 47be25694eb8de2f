"""/why in words: which history was used, which candidates there were, what was refused, what was chosen."""

from bots.messages import Outgoing, Table
from brain.dialogue import Candidate, Reply


def explain(reply: Reply, num_turns: int) -> Outgoing:
    """How a reply came about.

    Args:
        reply: as the brain gave it.
        num_turns: turns there were when it was asked for, the answered one included.
    """
    names = sorted({name for candidate in reply.candidates for name in candidate.scores})
    rows = tuple(_row(place, candidate, names) for place, candidate in enumerate(reply.candidates))
    columns = ("", "candidate", "log P", "per token", *names, "end", "refused")
    return Outgoing("\n".join(_sentences(reply, num_turns)), table=Table(columns, rows, reply.chosen))


def _sentences(reply: Reply, num_turns: int) -> list[str]:
    used = len(reply.prompt.turns)
    history = f"History: {_count(used, 'turn')}, {_count(len(reply.prompt.ids), 'token')}"
    if num_turns > used:
        history += f"; {num_turns - used} older left out"
    if reply.prompt.is_cut:
        history += "; the newest turn was too long and lost its beginning"
    refused = sum(candidate.refused is not None for candidate in reply.candidates)
    choice = f"Candidates: {len(reply.candidates)} different ones, {refused} refused"
    if reply.draws > 1:
        choice += f", {reply.draws} draws"
    chosen = (
        f"number {reply.chosen} was chosen"
        if reply.chosen >= 0
        else "none was left: a fallback line was said"
    )
    return [f"{history}.", f"{choice}; {chosen}.", f"{reply.seconds:.2f} s, seed {reply.seed}."]


def _row(place: int, candidate: Candidate, names: list[str]) -> tuple[str, ...]:
    num_tokens = len(candidate.ids) + (candidate.finish == "stop")
    scores = (f"{candidate.scores[name]:.2f}" if name in candidate.scores else "" for name in names)
    return (
        str(place),
        candidate.text,
        f"{candidate.logprob:.2f}",
        f"{candidate.logprob / max(1, num_tokens):.2f}",
        *scores,
        candidate.finish,
        candidate.refused or "",
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
