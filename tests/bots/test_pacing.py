"""When a platform may be written to."""

import random

from bots.messages import ChatKey, Limits, Rate
from bots.pacing import Pacer

ANN, BO = ChatKey("x", "bot", "ann"), ChatKey("x", "bot", "bo")


def pacer(**rates: Rate) -> Pacer:
    return Pacer(Limits(max_len=100, **rates), clock=lambda: 100.0)


def test_a_chat_has_its_own_pace() -> None:
    paced = pacer(per_chat=Rate(1, 1.0))
    assert [paced.reserve(ANN, True) for _ in range(3)] == [0.0, 1.0, 2.0]
    assert paced.reserve(BO, True) == 0.0


def test_a_group_has_a_second_limit() -> None:
    paced = pacer(per_group=Rate(2, 60.0))
    assert [paced.reserve(ANN, False) for _ in range(3)] == [0.0, 0.0, 60.0]
    assert [paced.reserve(BO, True) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_all_together_have_a_limit() -> None:
    paced = pacer(overall=Rate(2, 1.0))
    assert [paced.reserve(one, True) for one in (ANN, BO, ANN)] == [0.0, 0.0, 1.0]


def test_a_chat_at_its_own_limit_waits_alone() -> None:
    paced = pacer(per_chat=Rate(1, 1.0), overall=Rate(2, 1.0))
    assert [paced.reserve(ANN, True) for _ in range(40)] == [float(wait) for wait in range(40)]
    assert [paced.reserve(ChatKey("x", "bot", str(chat)), True) for chat in range(3)] == [0.0, 1.0, 2.0]


def test_no_stretch_of_time_has_more_than_is_allowed_in_all() -> None:
    draw, now = random.Random(7), 0.0
    paced = Pacer(
        Limits(max_len=100, per_chat=Rate(1, 1.0), per_group=Rate(4, 9.0), overall=Rate(5, 1.0)),
        clock=lambda: now,
    )
    moments = []
    for _ in range(400):
        now += draw.choice((0.0, 0.0, 0.1, 0.3))
        moments.append(now + paced.reserve(ChatKey("x", "bot", str(draw.randrange(9))), draw.random() < 0.5))
    moments.sort()
    assert all(sixth - first >= 1.0 - 1e-9 for first, sixth in zip(moments, moments[5:], strict=False))


def test_a_pause_that_was_asked_for_concerns_one_chat_or_all() -> None:
    paced = pacer()
    paced.hold(ANN, 5.0)
    assert (paced.reserve(ANN, True), paced.reserve(BO, True)) == (5.0, 0.0)
    paced.hold(None, 9.0)
    assert paced.reserve(BO, True) == 9.0
