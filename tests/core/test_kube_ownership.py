"""Whose a pod is, and whether it is of the template that new pods are made from."""

import copy

from fleet.cluster.kubernetes.ownership import SetRef, owner_of
from fleet.model import Fleet
from fleet.names import RevisionName
from tests.core.test_kube_snapshot import DEMO, only, read
from tests.fakes.kubeobjects import deployment, pod, replica_set

OTHER = RevisionName("default/demo-7c9d")


def ref(name: str, hash_: str) -> SetRef:
    return SetRef(key=("default", name), uid="u", hash=hash_)


def test_a_name_tells_the_deployment_exactly() -> None:
    assert owner_of(ref("a-b-7c9d", "7c9d"), {}) == "default/a-b"
    assert owner_of(ref("a-7c9d", "7c9d"), {}) == "default/a"
    assert owner_of(ref("a-b", "7c9d"), {}) is None
    assert owner_of(ref("a-7c9d", ""), {}) is None
    assert owner_of(ref("-7c9d", "7c9d"), {}) is None
    assert owner_of(ref("a7c9d", "7c9d"), {}) is None
    assert owner_of(None, {}) is None


def test_names_that_begin_alike_are_told_apart() -> None:
    """A Deployment may even be called as a ReplicaSet of another is."""
    one, other = deployment(), deployment("demo-7c9d")
    pods = [pod(replica_set(one), "x1"), pod(replica_set(other), "x2")]
    for known in ([replica_set(one), replica_set(other)], []):
        fleet = read([one, other], pods, replica_sets=known)
        assert only(fleet, DEMO).name == "default/demo-7c9d-x1"
        assert only(fleet, OTHER).name == "default/demo-7c9d-7c9d-x2"


def test_an_adopted_set_belongs_to_who_controls_it() -> None:
    demo, before = deployment(), deployment("before")
    adopted = replica_set(before)
    adopted["metadata"]["ownerReferences"] = replica_set(demo)["metadata"]["ownerReferences"]
    fleet = read([demo, before], [pod(adopted)], replica_sets=[adopted])
    assert only(fleet).name == "default/before-7c9d-x1"


def test_a_set_that_nobody_controls_has_replicas_of_nobody() -> None:
    demo = deployment()
    orphan = replica_set(demo)
    del orphan["metadata"]["ownerReferences"]
    fleet = read([demo], [pod(orphan)], replica_sets=[orphan])
    assert fleet.of(DEMO) == ()
    assert fleet.pool("A100").total == 3


def test_a_set_of_the_same_name_but_another_life_is_not_the_pods() -> None:
    demo = deployment()
    made = pod(replica_set(demo))
    made["metadata"]["ownerReferences"][0]["uid"] = "an earlier one"
    fleet = read([demo], [made])
    assert only(fleet).template != fleet.revisions[DEMO].template


def rolled(demo, **status: object) -> Fleet:
    """A Deployment whose template was changed after its set was made."""
    before = replica_set(demo)
    after = copy.deepcopy(demo)
    after["spec"]["template"]["metadata"]["annotations"] = {"changed": "yes"}
    after["metadata"]["generation"] = 2
    after["spec"] |= status
    return read([after], [pod(before)], replica_sets=[before])


def current(fleet: Fleet) -> bool:
    return only(fleet).template == fleet.revisions[DEMO].template


def test_a_template_that_was_changed_makes_its_pods_old_at_once() -> None:
    assert not current(rolled(deployment()))
    seen = deployment(status={"observedGeneration": 2})
    seen["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "2"
    assert not current(rolled(seen))


def test_while_it_is_paused_new_pods_are_of_the_old_template() -> None:
    paused = deployment(status={"observedGeneration": 2, "updatedReplicas": 0})
    fleet = rolled(paused, paused=True)
    assert current(fleet)
    assert fleet.revisions[DEMO].settled


def test_one_that_is_paused_in_the_middle_of_a_rollout_is_not_settled() -> None:
    """Kubernetes would take pods of both sets, whatever their deletion cost."""
    old = deployment()
    demo = copy.deepcopy(old)
    demo["spec"] |= {"replicas": 2, "paused": True}
    demo["spec"]["template"]["metadata"]["annotations"] = {"changed": "yes"}
    demo["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "2"
    demo["status"] |= {"replicas": 2, "updatedReplicas": 1}
    sets = [replica_set(old), replica_set(demo, "8d0e", rollout="2")]
    pods = [pod(sets[0], "x1"), pod(sets[1], "x2")]
    assert not read([demo], pods, replica_sets=sets).revisions[DEMO].settled


def test_the_order_of_keys_is_no_other_template() -> None:
    demo = deployment()
    own = replica_set(demo)
    container = own["spec"]["template"]["spec"]["containers"][0]
    reversed_ = dict(reversed(container.items()))
    own["spec"]["template"]["spec"]["containers"][0] = reversed_
    own["metadata"]["annotations"] = {}
    assert current(read([demo], [pod(own)], replica_sets=[own]))
