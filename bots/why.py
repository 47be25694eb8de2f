"""/why in words: which history was used, which candidates there were, what was refused, what was chosen."""

from bots.messages import Outgoing, Table
from bots.records import CandidateRecord, ReplyRecord

BEST = 6  # candidates that are told where there are no tables


def explain(record: ReplyRecord) -> Outgoing:
    """How a reply came about."""
    names = sorted({name for candidate in record.candidates for name in candidate.scores})
    rows = tuple(_row(place, candidate, names) for place, candidate in enumerate(record.candidates))
    columns = ("", "candidate", "log P", "per token", *names, "end", "refused")
    return Outgoing("\n".join(_sentences(record)), table=Table(columns, rows, record.chosen))


def told(record: ReplyRecord) -> str:
    """The same in plain text, with the best candidates only: for platforms without tables."""
    places = sorted(range(len(record.candidates)), key=lambda place: _rank(record, place))[:BEST]
    lines = [
        f"{'>' if place == record.chosen else '-'} {_line(record.candidates[place])}" for place in places
    ]
    return "\n".join([*_sentences(record), *lines])


def _rank(record: ReplyRecord, place: int) -> tuple[bool, bool, float]:
    candidate = record.candidates[place]
    return place != record.chosen, candidate.refused is not None, -candidate.worth


def _line(candidate: CandidateRecord) -> str:
    numbers = [f"{name} {value:.2f}" for name, value in sorted(candidate.scores.items())]
    why = f"refused: {candidate.refused}" if candidate.refused else ", ".join(numbers)
    return f"{candidate.text} (log P {candidate.logprob:.2f}{', ' if why else ''}{why})"


def _sentences(record: ReplyRecord) -> list[str]:
    history = f"History: {_count(record.turns_used, 'turn')}, {_count(record.prompt_tokens, 'token')}"
    if record.num_turns > record.turns_used:
        history += f"; {record.num_turns - record.turns_used} older left out"
    if record.is_cut:
        history += "; the newest turn was too long and lost its beginning"
    refused = sum(candidate.refused is not None for candidate in record.candidates)
    choice = f"Candidates: {len(record.candidates)} different ones, {refused} refused"
    if record.draws > 1:
        choice += f", {record.draws} draws"
    chosen = (
        f"number {record.chosen} was chosen"
        if record.chosen >= 0
        else "none was left: a fallback line was said"
    )
    return [f"{history}.", f"{choice}; {chosen}.", f"{record.seconds:.2f} s, seed {record.seed}."]


def _row(place: int, candidate: CandidateRecord, names: list[str]) -> tuple[str, ...]:
    scores = (f"{candidate.scores[name]:.2f}" if name in candidate.scores else "" for name in names)
    return (
        str(place),
        candidate.text,
        f"{candidate.logprob:.2f}",
        f"{candidate.logprob / max(1, candidate.num_tokens):.2f}",
        *scores,
        candidate.finish,
        candidate.refused or "",
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
