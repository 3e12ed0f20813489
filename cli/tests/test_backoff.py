"""A child that had been ready is back within a second; one that cannot start waits ever longer."""

from flowweaver_cli.backoff import BackOff


def test_who_had_been_ready_is_back_within_a_second_however_often_it_dies() -> None:
    back_off = BackOff()
    assert [back_off.after(0.5, was_ready=True) for _ in range(8)] == [0, 0.2, 0.5, 1, 1, 1, 1, 1]


def test_who_never_became_ready_waits_ever_longer() -> None:
    back_off = BackOff()
    assert [back_off.after(0.5, was_ready=False) for _ in range(8)] == [0, 0.2, 0.5, 1, 2, 5, 10, 10]
    assert back_off.failures == 8


def test_once_it_was_ready_again_it_need_not_wait_long() -> None:
    back_off = BackOff()
    for _ in range(8):
        back_off.after(0.5, was_ready=False)
    assert back_off.after(3, was_ready=True) == 1


def test_a_long_life_is_forgiven_at_once() -> None:
    back_off = BackOff()
    for _ in range(8):
        back_off.after(0.5, was_ready=False)
    assert (back_off.after(10.1, was_ready=False), back_off.failures) == (0, 0)
