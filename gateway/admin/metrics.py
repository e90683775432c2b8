"""`/metrics`: every figure is read when it is asked for, so none costs a request anything.

Rule 1: labels are model, revision, reason, phase, state, code and gpu_class, and nothing else.
Rule 2: what is unknown is left out, never 0.
Rule 3: requests that named no model there is have empty `model` and `revision` labels.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from fleet.model import Phase
from gateway.admin.bill import Bill, bill
from gateway.admin.ports import AdminView, ProcessState
from gateway.admin.state import ModelState, gpus, model_states
from gateway.core.tally import Buckets, Tally

__all__ = ["registry"]

_MODEL = ("model", "revision")
_STATES = ("starting", "serving", "idle", "draining")


def registry(view: AdminView) -> CollectorRegistry:
    """A registry of its own that holds all of ebbtide's figures, and only these."""
    made = CollectorRegistry(auto_describe=False)
    made.register(_Figures(view))
    return made


class _Figures(Collector):
    def __init__(self, view: AdminView) -> None:
        self._view = view
        self._highest: dict[tuple[str, ...], float] = {}

    def collect(self) -> Iterator[Metric]:
        states = model_states(self._view)
        yield from _requests(self._tallies(states))
        yield from _models(states)
        yield from _fleet(self._view)
        yield from _process(self._view.process())
        yield from _cost(bill(self._view.cost()), self._highest)

    def _tallies(self, states: Sequence[ModelState]) -> list[tuple[tuple[str, str], Tally]]:
        fleet = self._view.fleet()
        named = {state.revision: state.model for state in states}
        found: list[tuple[tuple[str, str], Tally]] = []
        for revision in fleet.revisions:
            tally = self._view.tally(revision)
            if tally is not None:
                found.append(((named[revision], revision), tally))
        nobody = self._view.tally(None)
        return found if nobody is None else [*found, (("", ""), nobody)]


def _requests(tallies: Sequence[tuple[tuple[str, str], Tally]]) -> Iterator[Metric]:
    answers = CounterMetricFamily(
        "ebbtide_requests", "Answers begun, by status.", labels=(*_MODEL, "code")
    )
    refused = CounterMetricFamily(
        "ebbtide_refusals", "Requests ended by ebbtide, by why.", labels=(*_MODEL, "reason")
    )
    retried = CounterMetricFamily(
        "ebbtide_retries", "Requests sent again, by what went wrong.", labels=(*_MODEL, "reason")
    )
    denied = CounterMetricFamily(
        "ebbtide_denied_retries", "Requests not sent again, by why.", labels=(*_MODEL, "reason")
    )
    put_out = CounterMetricFamily(
        "ebbtide_put_out_replicas", "Replicas kept out for their failures.", labels=_MODEL
    )
    wait = HistogramMetricFamily(
        "ebbtide_wait_seconds", "From a request's arrival to its dispatch.", labels=_MODEL
    )
    upstream = HistogramMetricFamily(
        "ebbtide_upstream_seconds", "From dispatch to the head of the answer.", labels=_MODEL
    )
    for labels, tally in tallies:
        for code, count in tuple(tally.codes.items()):
            answers.add_metric((*labels, str(code)), count)
        for reason, count in tuple(tally.refused.items()):
            refused.add_metric((*labels, reason.value), count)
        for loss, count in tuple(tally.retried.items()):
            retried.add_metric((*labels, loss.value), count)
        for why, count in tuple(tally.denied.items()):
            denied.add_metric((*labels, why.value), count)
        put_out.add_metric(labels, tally.put_out)
        wait.add_metric(labels, _cumulative(tally.wait), sum_value=tally.wait.total)
        upstream.add_metric(labels, _cumulative(tally.upstream), sum_value=tally.upstream.total)
    yield from (answers, refused, retried, denied, put_out, wait, upstream)


def _cumulative(buckets: Buckets) -> list[tuple[str, float]]:
    bounds = [*(str(bound) for bound in buckets.bounds), "+Inf"]
    return list(zip(bounds, map(float, accumulate(buckets.counts)), strict=True))


def _models(states: Sequence[ModelState]) -> Iterator[Metric]:
    phase = GaugeMetricFamily(
        "ebbtide_model_phase", "1 for the phase a model is in.", labels=(*_MODEL, "phase")
    )
    replicas = GaugeMetricFamily(
        "ebbtide_replicas", "Replicas wanted, and where they stand.", labels=(*_MODEL, "state")
    )
    for state in states:
        labels = (state.model, state.revision)
        for known in Phase:
            phase.add_metric((*labels, known.value), float(known.value == state.phase))
        for name in ("desired", "ready", "starting", "draining"):
            replicas.add_metric((*labels, name), getattr(state.replicas, name))
    yield from (phase, replicas)
    yield _gauge(states, "waiting", "ebbtide_waiting_requests", "Requests held now.")
    yield _gauge(states, "running", "ebbtide_running_requests", "Requests on a replica now.")
    yield _gauge(states, "gpus", "ebbtide_held_gpus", "GPUs that a model's replicas hold now.")
    yield _gauge(
        states, "idle_s", "ebbtide_idle_seconds", "Since the last request ended; absent while busy."
    )
    yield _gauge(
        states,
        "last_cold_start_s",
        "ebbtide_last_cold_start_seconds",
        "From arrival to the first byte, the last time nothing was ready.",
    )
    others = GaugeMetricFamily(
        "ebbtide_second_writer", "1 for a model that something else scales.", labels=_MODEL
    )
    for state in states:
        others.add_metric((state.model, state.revision), float(state.second_writer is not None))
    yield others
    cold = CounterMetricFamily(
        "ebbtide_cold_starts", "Arrivals that found nothing ready, once each wake.", labels=_MODEL
    )
    for state in states:
        cold.add_metric((state.model, state.revision), state.cold_starts)
    yield cold


def _gauge(states: Sequence[ModelState], field: str, name: str, text: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=_MODEL)
    for state in states:
        value = getattr(state, field)
        if value is not None:
            family.add_metric((state.model, state.revision), value)
    return family


def _fleet(view: AdminView) -> Iterator[Metric]:
    fleet = view.fleet()
    pools = GaugeMetricFamily(
        "ebbtide_gpus", "GPUs there are, by who has them.", labels=("gpu_class", "state")
    )
    elastic = GaugeMetricFamily(
        "ebbtide_elastic_gpus", "GPUs that may still be asked for.", labels=("gpu_class",)
    )
    for pool in gpus(fleet):
        pools.add_metric((pool.gpu_class, "free"), pool.free)
        pools.add_metric((pool.gpu_class, "held"), pool.total - pool.free)
        elastic.add_metric((pool.gpu_class,), pool.elastic)
    yield from (pools, elastic)
    faults = sum(not problem.warning for problem in fleet.problems)
    yield GaugeMetricFamily("ebbtide_problems", "Faults in the manifests now.", value=faults)
    yield GaugeMetricFamily(
        "ebbtide_ready", "Whether new requests are welcome.", value=float(view.unready() is None)
    )


def _process(state: ProcessState) -> Iterator[Metric]:
    """Of a process of its own among others; on one machine there is none of it."""
    told = (
        ("leader", "Whether this autoscaler leads.", state.leader),
        ("gateways", "Gateways that are members now.", state.gateways),
        ("cluster_cut_seconds", "Since the API server was last heard of.", state.cluster_cut_s),
        ("bus_cut_seconds", "Since Redis was last heard of.", state.bus_cut_s),
        ("bus_refused", "Whether Redis answers, and refuses something.", state.bus_refused),
    )
    for name, text, value in told:
        if value is not None:
            yield GaugeMetricFamily(f"ebbtide_{name}", text, value=float(value))
    if state.bus_lost is not None:
        lost = CounterMetricFamily(
            "ebbtide_bus_lost", "Messages over Redis that came to nothing.", labels=("reason",)
        )
        for reason, count in state.bus_lost.items():
            lost.add_metric((reason,), count)
        yield lost


def _cost(account: Bill, highest: dict[tuple[str, ...], float]) -> Iterator[Metric]:
    """`highest` keeps what was shown: busy time that is reported late makes idle time give some
    back, and a counter that falls would be taken for a restart."""
    labels = (*_MODEL, "gpu_class")
    used = CounterMetricFamily(
        "ebbtide_gpu_seconds", "GPU-seconds held, by what for.", labels=(*labels, "state")
    )
    # Gauges: a model that needs more GPUs than always-on replicas would have takes some of it back.
    released = GaugeMetricFamily(
        "ebbtide_released_gpu_seconds", "GPU-seconds given back by sleeping.", labels=labels
    )
    saved = GaugeMetricFamily("ebbtide_saved_money", "What these would have cost.", labels=labels)
    cost = CounterMetricFamily("ebbtide_cost_money", "What the held ones cost.", labels=labels)
    for line in account.lines:
        named = (line.model, line.revision, line.gpu_class)
        for state in _STATES:
            key = (*named, state)
            highest[key] = max(highest.get(key, 0.0), getattr(line.amounts, state))
            used.add_metric(key, highest[key])
        released.add_metric(named, line.amounts.released)
        saved.add_metric(named, line.amounts.saved)
        cost.add_metric(named, line.amounts.cost)
    yield from (used, released, cost, saved)
