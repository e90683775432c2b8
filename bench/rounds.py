"""Contenders take turns under the same load, and what each used is read from its CPU clock.

Counted is the user and system time of the contender's process (Envoy and nginx: its children too;
ebbtide: gateway, activator and autoscaler are one process, whose children are model servers).
"""

from collections.abc import Callable, Sequence

from bench.case import Run
from bench.contenders import Contender
from bench.entries import Entry, Sample
from bench.load import BrokenLoadError, Load
from bench.progress import say
from bench.stats import cpu_us, turns

__all__ = ["Drive", "take_rounds"]

Drive = Callable[[Contender, int], Load]
"""Loads one contender for so many seconds."""
_WARM_UP_S = 1


def take_rounds(
    case: str, contenders: Sequence[Contender], drive: Drive, run: Run
) -> tuple[Entry, ...]:
    """`drive` each contender for a second to warm up, then once a round, in turns."""
    by_name = {contender.name: contender for contender in contenders}
    samples: dict[str, list[Sample]] = {name: [] for name in by_name}
    say(f"{case}: {', '.join(by_name)}")
    for contender in contenders:
        _named(contender, drive, _WARM_UP_S)
    for number, turn in enumerate(turns(list(by_name), run.rounds)):
        if number % len(by_name) == 0:
            say(f"{case}: round {turn.round + 1} of {run.rounds}")
        samples[turn.name].append(_sample(by_name[turn.name], drive, run.seconds))
    return tuple(
        Entry(case=case, contender=name, samples=tuple(made)) for name, made in samples.items()
    )


def _sample(contender: Contender, drive: Drive, seconds: int) -> Sample:
    contender.process.forget_peak()
    before = contender.cpu_s()
    load = _named(contender, drive, seconds)
    used = contender.cpu_s() - before
    return Sample(
        rps=load.requests / load.seconds,
        p50_ms=load.p50_us / 1000,
        p99_ms=load.p99_us / 1000,
        cpu_us=cpu_us(used, load.requests),
        rss_mb=contender.rss_mb(),
        peak_mb=contender.peak_mb(),
    )


def _named(contender: Contender, drive: Drive, seconds: int) -> Load:
    try:
        return drive(contender, seconds)
    except BrokenLoadError as error:
        msg = f"{contender.name}: {error}"
        raise BrokenLoadError(msg) from error
