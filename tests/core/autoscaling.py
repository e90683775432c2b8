"""What the tests of the autoscaler's cores build their tables from."""

from types import MappingProxyType

from autoscaler.core.decide import decide
from autoscaler.core.memory import Tuning, remember_nothing
from autoscaler.core.seen import Counted, Load, ReplicaSeen, Seen, ServerSeen
from fleet.model import Phase, Policy
from fleet.names import GatewayName, ReplicaName

GW = GatewayName("gw")
AUTO = Policy(slots=4, keep_alive=60.0)
REST = ServerSeen(at=0.0, pending=0, completions=0)


def replica(name="r1", phase=Phase.READY, *, at=0.0, server=REST, **changes):
    ready = phase is Phase.READY
    return ReplicaSeen(
        **{
            "name": ReplicaName(name),
            "phase": phase,
            "since": at,
            "open": ready,
            "ready_at": at if ready else None,
            "ready_after": 1.0 if ready else None,
            "server": server,
            **changes,
        }
    )


def load(at=0.0, *, demand_s=0.0, arrivals=0, completions=0, service_s=0.0, **changes):
    counted = Counted(demand_s, arrivals, completions, service_s)
    return Load(
        **{
            "at": at,
            "counters": MappingProxyType({GW: counted}),
            "waiting": 0,
            "running": 0,
            "slots": 4,
            **changes,
        }
    )


class Story:
    """One revision under a steady load, looked at every 2 s."""

    def __init__(self, *, ready=1, policy=AUTO, gpu=None, tuning=None, loading=0):
        self.now = 0.0
        self.policy, self.gpu = policy, gpu
        self.ready, self.loading = ready, loading
        self.memory = remember_nothing(tuning or Tuning())
        self.demand_s = self.arrivals = self.completions = self.service_s = 0.0
        self.decision = None
        self.blocked = None

    def seen(self, *, waiting=0, running=0, known=True, **changes):
        server = ServerSeen(
            at=self.now, pending=0, gpu_use=self.gpu, completions=int(self.completions)
        )
        each, more = divmod(running, max(1, self.ready))
        members = [
            replica(f"r{i}", server=server, running=each + (i < more)) for i in range(self.ready)
        ]
        members += [replica(f"l{i}", Phase.LOADING) for i in range(self.loading)]
        heard = load(
            self.now,
            demand_s=self.demand_s,
            arrivals=self.arrivals,
            completions=self.completions,
            service_s=self.service_s,
            waiting=waiting,
            running=running,
            oldest_wait=1.0 if waiting else None,
        )
        seen = {"replicas": self.ready + self.loading, "members": tuple(members)}
        if known:
            seen["load"] = heard
        return Seen(**{**seen, "blocked": self.blocked, **changes})

    def look(self, **seen):
        self.decision = decide(self.memory, self.seen(**seen), self.policy, self.now)
        self.memory = self.decision.memory
        return self.decision

    def go_on(self, seconds, *, waiting=0, running=0, rate=0.0, service=1.0, known=True):
        """Look every 2 s for `seconds`, at a steady load; returns the last decision."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now += 2.0
            self.demand_s += 2.0 * (waiting + running)
            self.arrivals += 2.0 * rate
            self.completions += 2.0 * rate
            self.service_s += 2.0 * rate * service
            self.look(waiting=waiting, running=running, known=known)
        return self.decision

    def carry_out(self):
        self.ready = self.decision.after
