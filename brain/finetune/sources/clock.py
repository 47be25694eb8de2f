"""What the stamps of one export mean, deduced from all of them together."""

from collections import Counter
from dataclasses import dataclass, field

from brain.finetune.sources.calendars import days_from_date
from brain.finetune.sources.phrases import PHRASES
from brain.finetune.sources.stamps import Stamp

ORDERS = {"dmy": (2, 1, 0), "mdy": (2, 0, 1), "ymd": (0, 1, 2)}  # places of year, month and day


@dataclass(slots=True)
class Clock:
    """Sees every stamp of one shape, then tells what each means."""

    num: int = 0
    is_24h: bool = False
    _invalid: Counter[str] = field(default_factory=Counter)
    _moved: Counter[str] = field(default_factory=Counter)  # days between neighbours, forwards or backwards
    _last: dict[str, int] = field(default_factory=dict)
    _widths: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    _turns: Counter[tuple[str, str]] = field(default_factory=Counter)  # words that follow each other in a day
    _before: Stamp | None = None
    _dates: set[tuple[int, int, int]] = field(default_factory=set)

    def see(self, stamp: Stamp) -> None:
        """Take one stamp into account, in the order of the file."""
        self.num += 1
        self.is_24h = self.is_24h or stamp.time[0] > 12
        before, self._before = self._before, stamp
        if before and before.date == stamp.date:
            if before.period != stamp.period:
                self._turns[before.period, stamp.period] += 1
            return
        self._widths[stamp.widths] += 1
        for order in ORDERS:
            days = _days(stamp, order)
            if days is None:
                self._invalid[order] += 1
                continue
            self._moved[order] += abs(days - self._last.get(order, days))
            self._last[order] = days

    def order(self) -> str:
        """The order of day, month and year: fewest impossible dates, then fewest days from line to line."""
        return min(
            ORDERS, key=lambda order: (self._invalid[order], self._moved[order], self._unlikely(order))
        )

    def is_certain(self) -> bool:
        """Whether no other order explains the dates equally well."""
        costs = sorted((self._invalid[order], self._moved[order]) for order in ORDERS)
        return costs[0] != costs[1]

    def seconds(self, stamp: Stamp, order: str) -> float | None:
        """Seconds since 1970 in the phone's own zone, None when there is no such date."""
        days = _days(stamp, order)
        if days is None:
            return None
        hour, minute, second = stamp.time
        if stamp.period and not self.is_24h and hour <= 12:
            is_pm = self._is_afternoon(stamp.period)
            if is_pm is not None and not (stamp.period == "中午" and hour == 11):
                hour = hour % 12 + 12 * is_pm
        return float(days * 86400 + hour * 3600 + minute * 60 + second)

    def _unlikely(self, order: str) -> int:
        """With nothing else to go by: unpadded years of two digits beside am and pm are American."""
        widths = self._widths.most_common(1)[0][0] if self._widths else (2, 2, 2)
        stamp = self._before
        if widths[0] == 4:
            return 0 if order == "ymd" else 1
        is_american = (
            stamp is not None
            and stamp.shape[2] == "/"
            and widths[2] == 2
            and min(w[0] for w in self._widths) == 1
            and bool(stamp.period)
        )
        return ("mdy", "dmy", "ymd").index(order) if is_american else ("dmy", "mdy", "ymd").index(order)

    def _is_afternoon(self, word: str) -> bool | None:
        if word in PHRASES["morning"] or word in PHRASES["afternoon"]:
            return word in PHRASES["afternoon"]
        after = sum(num for (_, second), num in self._turns.items() if second == word)
        before = sum(num for (first, _), num in self._turns.items() if first == word)
        return None if after == before else after > before  # within a day the afternoon comes second


def _days(stamp: Stamp, order: str) -> int | None:
    year, month, day = ORDERS[order]
    if max(stamp.widths) > 2 and stamp.widths[year] <= 2:
        return None  # a number of four digits is the year
    return days_from_date(stamp.date[year], stamp.date[month], stamp.date[day])
