"""Dates as phones write them to a count of days, in the four calendars that phones have."""

from datetime import date

_EPOCH = date(1970, 1, 1).toordinal()
_JULIAN_DAY = 1721424.5  # of ordinal 0


def days_from_date(year: int, month: int, day: int) -> int | None:
    """Days since 1970-01-01, None when there is no such date.

    Years of two digits are 2000 to 2051, or Buddhist from 52; 1300 to 1419 are Persian, 1420 to 1500 Islamic
    and from 2400 Buddhist: chats are not older than phones.
    """
    if year < 100:
        year += 2000 if year < 52 else 2500
    if year >= 2400:
        year -= 543
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    if 1300 <= year < 1420:
        return _from_persian(year, month, day)
    if 1420 <= year <= 1500:
        return _from_islamic(year, month, day)
    try:
        return date(year, month, day).toordinal() - _EPOCH if 1970 <= year < 2200 else None
    except ValueError:
        return None


def _from_persian(year: int, month: int, day: int) -> int | None:
    """Leap years by the 33-year cycle, which holds for 1244 to 1472."""
    if day > (31 if month <= 6 else 30):
        return None
    before = 31 * min(month - 1, 6) + 30 * max(month - 7, 0)
    leaps = (8 * year + 21) // 33
    return 365 * year + leaps + before + day - _PERSIAN_ZERO


def _from_islamic(year: int, month: int, day: int) -> int | None:
    """The tabular calendar; what is proclaimed from the moon may differ by a day."""
    if day > 30:
        return None
    julian = (11 * year + 3) // 30 + 354 * year + 30 * month - (month - 1) // 2 + day + 1948440 - 385
    return round(julian - _JULIAN_DAY + 0.5) - _EPOCH - 1


# 1 Farvardin 1403 was 2024-03-20.
_PERSIAN_ZERO = 365 * 1403 + (8 * 1403 + 21) // 33 + 1 - (date(2024, 3, 20).toordinal() - _EPOCH)
