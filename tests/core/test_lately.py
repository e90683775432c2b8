"""Which GPUs there were a moment ago: whoever calls for them is held for a while."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from activator.core.lately import GRACE, Lately
from fleet.model import Fleet, GpuNode, GpuPool
from fleet.places import Places
from tests.core.test_kube_snapshot import DEMO, read
from tests.fakes.cluster import revision
from tests.fakes.kubeobjects import container, deployment

MODEL = revision(gpus=2)


def fleet(*nodes: tuple[str, int], model=MODEL, elastic: int = 0, usable: bool = True) -> Fleet:
    """Nodes with so many GPUs."""
    made = tuple(
        GpuNode(name=name, gpu_class="gpu", total=total, free=total, usable=usable)
        for name, total in nodes
    )
    # As the adapter reads them: of the nodes there are, those that will do.
    known = replace(model, nodes=frozenset(name for name, _ in nodes))
    total = sum(number for _, number in nodes)
    return Fleet(
        revisions=MappingProxyType({model.name: known}),
        gpus=(GpuPool(name="gpu", total=total, free=total, elastic=elastic, grows=elastic > 0),),
        nodes=made,
    )


def possible(lately: Lately, world: Fleet, now: float) -> bool:
    found = world.revisions[MODEL.name]
    return Places(world).possible(found) or lately.possible(found, now)


@pytest.mark.parametrize(
    "after",
    [
        fleet(("n1", 2), usable=False),
        fleet(("n1", 0)),
        fleet(("n1", 1)),
        fleet(),
        fleet(("n2", 1)),
    ],
    ids=["not ready or cordoned", "driver anew", "one broken", "node deleted", "a smaller one"],
)
def test_what_was_possible_is_waited_for_and_not_for_ever(after):
    lately = Lately()
    lately.take(fleet(("n1", 2)), 0.0)
    lately.take(after, 100.0)
    assert not Places(after).possible(after.revisions[MODEL.name])
    assert possible(lately, after, 100.0 + GRACE - 0.1)
    assert not possible(lately, after, 100.0 + GRACE)


def test_what_never_was_is_not_waited_for():
    lately = Lately()
    lately.take(fleet(("n1", 1)), 0.0)
    lately.take(fleet(), 1.0)
    assert not possible(lately, fleet(), 1.0)


def test_a_manifest_that_asks_for_what_never_was_has_no_past():
    lately, small = Lately(), revision(gpus=1)
    lately.take(fleet(("n1", 1), model=small), 0.0)
    lately.take(fleet(model=small), 1.0)
    assert lately.possible(small, 2.0)
    assert not lately.possible(replace(small, gpus=2), 2.0)
    assert not lately.possible(replace(small, placement="on others"), 2.0)
    assert not lately.possible(revision("other"), 2.0)


def test_a_manifest_that_needs_what_there_was_may_say_anything_else():
    lately = Lately()
    lately.take(fleet(("n1", 2)), 0.0)
    gone = fleet(model=replace(MODEL, template="t2"))
    lately.take(gone, 1.0)
    assert possible(lately, gone, 2.0)
    assert lately.possible(replace(MODEL, template="t3", gpus=1), 2.0)
    assert not lately.possible(replace(MODEL, template="t3", gpus=3), 2.0)


@pytest.mark.parametrize(
    ("changed", "waits"),
    [
        ({"containers": [container() | {"image": "example.com/server:2"}]}, True),
        ({"containers": [container("2")]}, True),
        ({"containers": [container("5")]}, False),
        ({"containers": [container(resource="nvidia.com/mig-1g.5gb")]}, False),
        ({"nodeSelector": {"zone": "b"}}, False),
        ({"nodeSelector": {"nvidia.com/gpu.product": "T4"}}, False),
    ],
)
def test_in_a_cluster_its_template_may_change_while_the_node_is_gone(changed, waits):
    lately = Lately()
    # A node of 4, by its label A100: a class that is not to be seen once it is gone.
    lately.take(read([deployment()]), 0.0)
    lately.take(read([deployment()], nodes=[]), 1.0)
    gone = read([deployment(pod=changed)], nodes=[])
    lately.take(gone, 2.0)
    assert not Places(gone).possible(gone.revisions[DEMO])
    assert lately.possible(gone.revisions[DEMO], 3.0) is waits


def test_many_changes_on_the_way_do_not_push_it_out():
    lately = Lately()
    nodes = [(f"n{number:02}", 2) for number in range(40)]
    for gone in range(41):
        lately.take(fleet(*nodes[gone:]), float(gone))
    assert possible(lately, fleet(), 40.0 + GRACE - 1)
    assert not possible(lately, fleet(), 40.0 + GRACE)


def test_a_pool_that_may_not_grow_any_more_is_fewer_too():
    lately = Lately()
    lately.take(fleet(elastic=2), 0.0)
    lately.take(fleet(), 10.0)
    assert possible(lately, fleet(), 10.0)
    assert not possible(lately, fleet(), 10.0 + GRACE)


def test_a_node_that_comes_and_goes_takes_no_room_from_what_others_lost():
    lately, now = Lately(), 0.0
    lately.take(fleet(("n1", 2), ("n2", 1)), now)
    for _ in range(20):
        now += 1.0
        lately.take(fleet(("n2", 1)), now)
        now += 1.0
        lately.take(fleet(), now)
    there = fleet()
    assert possible(lately, there, 1.0 + GRACE - 0.1)
    assert not possible(lately, there, 1.0 + GRACE)
