"""The one timer of the request path: when it looks at what, on a clock that the test moves."""

from math import inf

from gateway.http.deadlines import Deadlines


class LateLoop:
    """A loop whose timers fire when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[LateTimer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback) -> "LateTimer":
        timer = LateTimer(when, callback)
        self.timers.append(timer)
        return timer

    def fire(self, now: float) -> None:
        """Let all that is due by then happen, all of it at `now`."""
        self.now = now
        due = [timer for timer in self.timers if timer.when <= now and not timer.cancelled]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            timer.callback()


class LateTimer:
    def __init__(self, when: float, callback) -> None:
        self.when, self.callback, self.cancelled = when, callback, False

    def cancel(self) -> None:
        self.cancelled = True


class Waits:
    """Something with one deadline, which counts how often it is looked at."""

    def __init__(self, due: float) -> None:
        self.due, self.filed = due, inf
        self.looks: list[float] = []

    def overdue(self, now: float) -> float:
        self.looks.append(now)
        assert len(self.looks) < 100, "looked at again and again"
        return self.due if self.due > now else inf


def test_a_late_timer_looks_once_at_what_is_due_just_after() -> None:
    # Filed early, as a connection is whose deadline has moved on since; the loop was busy, and the
    # timer fires so late that the new deadline lies within the slack of the bucket before it.
    loop = LateLoop()
    deadlines = Deadlines(loop)
    waits = Waits(due=0.598)
    deadlines.file(waits, 0.45)
    loop.fire(0.595)
    assert waits.looks == [0.595]
    loop.fire(0.6)
    assert waits.looks == [0.595, 0.6]
    assert waits.filed == inf


def test_nothing_is_met_early_and_all_of_it_at_most_a_tick_late() -> None:
    loop = LateLoop()
    deadlines = Deadlines(loop)
    every = [Waits(due=0.01 * number) for number in range(1, 200)]
    for waits in every:
        deadlines.file(waits, waits.due)
    for step in range(1, 460):
        loop.fire(step / 200)
    for waits in every:
        assert waits.due <= waits.looks[-1] <= waits.due + 0.11
