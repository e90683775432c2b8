"""Decide, budget, evict and plan together, on a toy world that obeys at once."""

import itertools
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from autoscaler.core.arrange import Case, Rules, arrange
from autoscaler.core.decide import decide
from autoscaler.core.memory import Tuning, remember_nothing
from autoscaler.core.plan import ClearDrain, Mark, Scale, plan
from autoscaler.core.seen import Seen, ServerSeen
from fleet.model import Fleet, GpuPool, Phase, Policy
from fleet.reasons import Reason
from tests.core.autoscaling import load, replica
from tests.fakes.cluster import revision

SLOTS = 2
models = st.integers(0, 3)


class Model:
    def __init__(self, name, gpus, policy):
        self.revision = revision(name, gpus=gpus, policy=policy)
        self.memory = remember_nothing(Tuning())
        self.waiting = 0
        self.running: dict[str, int] = {}
        self.ready_at: dict[str, float] = {}
        self.ended_at = None
        self.demand_s = 0.0
        self.acknowledged = 0
        self.heard = True


class ToyWorld(RuleBasedStateMachine):
    """Replicas are ready as soon as they are wanted, and gone as soon as they are not."""

    @initialize(
        total=st.integers(1, 4),
        gpus=st.lists(st.integers(1, 2), min_size=4, max_size=4),
        policies=st.lists(
            st.builds(
                Policy,
                slots=st.just(SLOTS),
                keep_alive=st.sampled_from([0.0, 10.0, 1e6]),
                min_replicas=st.sampled_from([0, 0, 1]),
                pinned=st.sampled_from([False, False, True]),
                priority=st.integers(-1, 1),
            ),
            min_size=4,
            max_size=4,
        ),
    )
    def begin(self, total, gpus, policies):
        self.now, self.total, self.lost = 0.0, total, 0
        self.names = itertools.count()
        self.models = [
            Model(f"m{i}", g, p) for i, (g, p) in enumerate(zip(gpus, policies, strict=True))
        ]
        self.begun()

    def begun(self):
        """All models are there."""

    @rule(which=models, count=st.integers(1, 9))
    def arrive(self, which, count):
        self.models[which].waiting += count
        self.dispatch(self.models[which])

    @rule(which=models)
    def finish(self, which):
        model = self.models[which]
        busy = [name for name, running in model.running.items() if running]
        if busy:
            model.running[busy[0]] -= 1
            model.ended_at = self.now
            self.dispatch(model)

    @rule(which=models)
    def unheard(self, which):
        self.models[which].heard = not self.models[which].heard

    @rule(seconds=st.sampled_from([0.1, 2.0, 30.0, 70.0]))
    def wait(self, seconds):
        self.now += seconds
        for model in self.models:
            model.demand_s += seconds * (model.waiting + sum(model.running.values()))

    @rule()
    def look(self):
        held = [m.revision.replicas for m in self.models]
        busy = {m.revision.name for m in self.models if m.waiting or sum(m.running.values())}
        for _ in range(6):
            steps = self.plan()
            if not steps:
                break
            for action in itertools.chain(*steps):
                self.carry_out(action, busy)
            self.carried_out()
        assert self.plan() == (), "repeating a carried-out plan changes nothing"
        for model, before in zip(self.models, held, strict=True):
            if not model.heard:
                assert model.revision.replicas >= before, "unknown never lowers"
            if model.revision.policy.pinned:
                assert model.revision.replicas >= min(before, 1)

    @invariant()
    def never_more_gpus_than_there_are(self):
        if hasattr(self, "models"):
            assert sum(m.revision.replicas * m.revision.gpus for m in self.models) <= self.total
            assert self.lost == 0, "never a busy one"

    def plan(self):
        cases = []
        for model in self.models:
            seen = self.seen(model)
            decision = decide(model.memory, seen, model.revision.policy, self.now)
            model.memory = decision.memory
            cases.append(
                Case(
                    revision=model.revision,
                    seen=seen,
                    decision=decision,
                    waiting=model.waiting if model.heard else 0,
                )
            )
        return plan(arrange(cases, self.fleet(), Rules(tick=0.0), now=self.now))

    def fleet(self):
        held = sum(m.revision.replicas * m.revision.gpus for m in self.models)
        return Fleet(gpus=(GpuPool(name="gpu", total=self.total, free=self.total - held),))

    def seen(self, model):
        server = ServerSeen(at=self.now, pending=0, completions=0)
        members = tuple(
            replica(name, Phase.READY, at=at, server=server, running=model.running[name])
            for name, at in model.ready_at.items()
        )
        heard = load(
            self.now,
            demand_s=model.demand_s,
            waiting=model.waiting,
            running=sum(model.running.values()),
            oldest_wait=1.0 if model.waiting else None,
            ended_at=model.ended_at,
            slots=SLOTS,
            drained=model.acknowledged,
        )
        seen = Seen(replicas=model.revision.replicas, members=members, load=heard)
        return seen if model.heard else Seen(replicas=seen.replicas, members=members)

    def carry_out(self, action, busy):
        (model,) = [m for m in self.models if m.revision.name == action.revision]
        match action:
            case Mark():
                model.revision = replace(model.revision, drain=action.drain)
                if not any(model.running[name] for name in action.drain.replicas):
                    model.acknowledged = action.drain.number
            case ClearDrain():
                model.revision = replace(model.revision, drain=None)
            case Scale():
                if action.reason is Reason.EVICTED:
                    assert action.revision not in busy
                self.scale(model, action.after)
        self.dispatch(model)

    def carried_out(self):
        """All steps of a plan were."""

    def scale(self, model, after):
        model.revision = replace(model.revision, replicas=after)
        drain = model.revision.drain
        first = drain.replicas if drain else frozenset()
        order = sorted(model.running, key=lambda name: (name in first, model.ready_at[name]))
        while len(model.running) > after:
            gone = order.pop()
            self.lost += model.running.pop(gone)
            del model.ready_at[gone]
        while len(model.running) < after:
            name = f"r{next(self.names)}"
            model.running[name], model.ready_at[name] = 0, self.now

    def dispatch(self, model):
        drain = model.revision.drain
        for name in model.running:
            while model.waiting and model.running[name] < SLOTS:
                if drain and name in drain.replicas:
                    break
                model.running[name] += 1
                model.waiting -= 1
        if drain and not any(model.running.get(name) for name in drain.replicas):
            model.acknowledged = max(model.acknowledged, drain.number)


TestToyWorld = ToyWorld.TestCase
TestToyWorld.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
