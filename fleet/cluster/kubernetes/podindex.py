"""Which pods there are, by Deployment and by node. Pure; keeps up with one object at a time."""

from collections.abc import Iterable
from typing import TypeVar

from fleet.cluster.kubernetes.deployments import Refusal
from fleet.cluster.kubernetes.fields import text
from fleet.cluster.kubernetes.ownership import PodSet, SetRef, owner_of, read_set, set_of
from fleet.kubernetes.objects import Key, Object, uid_of
from fleet.names import RevisionName

__all__ = ["PodIndex"]

_K = TypeVar("_K")
_V = TypeVar("_V")


class PodIndex:
    """The pods, and whose they are."""

    def __init__(self) -> None:
        self.pods: dict[Key, Object] = {}
        self.sets: dict[Key, PodSet] = {}
        self.revisions: set[RevisionName] = set()
        """Whose pods have changed since this was last cleared."""
        self.nodes: set[str] = set()
        """Where pods have changed since this was last cleared."""
        self._refs: dict[Key, SetRef | None] = {}
        self._owners: dict[Key, RevisionName | None] = {}
        self._owned: dict[RevisionName, dict[Key, None]] = {}
        self._of_set: dict[Key, dict[Key, None]] = {}
        self._on_node: dict[str, dict[Key, None]] = {}
        self._by_uid: dict[str, Key] = {}
        self._refused: dict[RevisionName, dict[Key, Refusal]] = {}

    def owned(self, name: RevisionName) -> Iterable[Key]:
        """The pods of a Deployment."""
        return self._owned.get(name, ())

    def on(self, node: str) -> Iterable[Key]:
        """The pods on a node."""
        return self._on_node.get(node, ())

    def owner(self, key: Key) -> RevisionName | None:
        """The Deployment that a pod belongs to."""
        return self._owners.get(key)

    def ref(self, key: Key) -> SetRef | None:
        """The ReplicaSet that a pod is of."""
        return self._refs.get(key)

    def by_uid(self, uid: str) -> Key | None:
        """The pod of that uid."""
        return self._by_uid.get(uid)

    def refusal(self, name: RevisionName) -> Refusal | None:
        """What one of a Deployment's ReplicaSets says of pods that it cannot make."""
        found = self._refused.get(name)
        return None if not found else found[min(found)]

    def touch(self, name: RevisionName) -> None:
        """Read all pods of a Deployment anew."""
        self.revisions.add(name)
        self.nodes.update(text(self.pods[key], "spec", "nodeName") for key in self.owned(name))

    def put_pod(self, key: Key, raw: Object) -> None:
        """A pod as it is now."""
        self.drop_pod(key)
        self.pods[key] = raw
        ref = self._refs[key] = set_of(raw)
        if ref is not None:
            self._of_set.setdefault(ref.key, {})[key] = None
        node = text(raw, "spec", "nodeName")
        if node:
            self._on_node.setdefault(node, {})[key] = None
            self.nodes.add(node)
        self._by_uid[uid_of(raw)] = key
        self._own(key)

    def drop_pod(self, key: Key) -> None:
        """A pod that is gone."""
        raw = self.pods.pop(key, None)
        if raw is None:
            return
        self._disown(key)
        ref = self._refs.pop(key)
        if ref is not None:
            _remove(self._of_set, ref.key, key)
        node = text(raw, "spec", "nodeName")
        if node:
            _remove(self._on_node, node, key)
            self.nodes.add(node)
        if self._by_uid.get(uid_of(raw)) == key:
            del self._by_uid[uid_of(raw)]

    def put_set(self, key: Key, raw: Object) -> None:
        """A ReplicaSet as it is now."""
        self._refuse(key, None)
        found = self.sets[key] = read_set(raw)
        self._refuse(key, found.refusal)
        self._own_all(key)

    def drop_set(self, key: Key) -> None:
        """A ReplicaSet that is gone."""
        self._refuse(key, None)
        self.sets.pop(key, None)
        self._own_all(key)

    def _refuse(self, key: Key, refusal: Refusal | None) -> None:
        owner = self.sets[key].owner if key in self.sets else None
        if owner is None:
            return
        if refusal is not None:
            self._refused.setdefault(owner, {})[key] = refusal
            self.revisions.add(owner)
        elif key in self._refused.get(owner, {}):
            _remove(self._refused, owner, key)
            self.revisions.add(owner)

    def _own_all(self, set_key: Key) -> None:
        for key in self._of_set.get(set_key, {}):
            self._disown(key)
            self._own(key)
            self.nodes.add(text(self.pods[key], "spec", "nodeName"))

    def _own(self, key: Key) -> None:
        owner = self._owners[key] = owner_of(self._refs[key], self.sets)
        if owner is not None:
            self._owned.setdefault(owner, {})[key] = None
            self.revisions.add(owner)

    def _disown(self, key: Key) -> None:
        owner = self._owners.pop(key, None)
        if owner is not None:
            _remove(self._owned, owner, key)
            self.revisions.add(owner)


def _remove(index: dict[_K, dict[Key, _V]], name: _K, key: Key) -> None:
    index[name].pop(key, None)
    if not index[name]:
        del index[name]
