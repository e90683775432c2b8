"""The toy world on nodes: whatever is granted finds a node, and only who makes room there goes."""

from dataclasses import replace
from types import MappingProxyType

from hypothesis import settings
from hypothesis.stateful import invariant

from fleet.model import Fleet, GpuNode, GpuPool, Phase, Replica
from tests.core.test_budget_nodes import packs
from tests.core.test_toy_world import ToyWorld

NODES = {"n1": 2, "n2": 2, "n3": 1}
ALLOWED = (None, "n1", "n2 n3", "n1 n2")


class ToyNodes(ToyWorld):
    """Replicas have their node as soon as a plan is carried out."""

    def begun(self):
        self.total = sum(NODES.values())
        self.where = {}
        for model, nodes in zip(self.models, ALLOWED, strict=True):
            model.revision = replace(model.revision, nodes=nodes and frozenset(nodes.split()))

    def nodes(self, model):
        return sorted(NODES if model.revision.nodes is None else model.revision.nodes)

    def free(self):
        free = dict(NODES)
        for model in self.models:
            for name in model.running:
                if name in self.where:
                    free[self.where[name]] -= model.revision.gpus
        return free

    def fleet(self):
        free = self.free()
        return Fleet(
            revisions=MappingProxyType({m.revision.name: m.revision for m in self.models}),
            replicas=MappingProxyType(
                {m.revision.name: tuple(map(self.replica, [m] * 9, m.running)) for m in self.models}
            ),
            gpus=(GpuPool(name="gpu", total=self.total, free=sum(free.values())),),
            nodes=tuple(
                GpuNode(name=node, gpu_class="gpu", total=gpus, free=free[node])
                for node, gpus in NODES.items()
            ),
        )

    def replica(self, model, name):
        return Replica(
            name=name,
            phase=Phase.LOADING,
            since=model.ready_at[name],
            template=model.revision.template,
            node=self.where[name],
            gpus=model.revision.gpus,
        )

    def carried_out(self):
        new = [(m, name) for m in self.models for name in m.running if name not in self.where]
        new.sort(key=lambda one: -one[0].revision.gpus)
        while new:
            (model, name), *new = new
            gpus, free = model.revision.gpus, self.free()
            others = [(m.revision.gpus, self.nodes(m)) for m, _ in new]
            fits = [
                node
                for node in self.nodes(model)
                if free[node] >= gpus and packs(others, {**free, node: free[node] - gpus})
            ]
            assert fits, "granted, and no node has room"
            self.where[name] = fits[0]

    @invariant()
    def no_node_holds_more_than_it_has(self):
        if hasattr(self, "where"):
            assert min(self.free().values()) >= 0


TestToyNodes = ToyNodes.TestCase
TestToyNodes.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
