"""What is left of the GPUs while they are given out. Pure, but it changes as it is used.

Rule 1: two things bound what is given: the class as a whole, of which ebbtide may count on so many,
        and the place, since a replica has all its GPUs on one node. Where nodes are not told apart
        the class is one place that is as large as itself.
Rule 2: GPUs that are being freed are given out like free ones, and after them; it is said which
        they were (`Kind.COMING`).
Rule 3: what has no place yet, although it is wanted, is counted where it fits best, then among the
        GPUs that may still be asked for, then as overdrawn: whoever comes next makes room for it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from fleet.places import PlaceKey

__all__ = ["Asker", "Kind", "Need", "Spot", "Stock", "Supply"]


class Kind(Enum):
    """What a replica gets."""

    FREE = "free"
    COMING = "coming"
    """GPUs that something holds which is going."""
    NEW = "new"
    """GPUs of a node that is still to be bought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One place."""

    key: PlaceKey
    free: int
    coming: int = 0
    """Held by what is going."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """The GPUs there are."""

    totals: Mapping[str, int]
    """By class: as many as ebbtide may count on."""
    spots: tuple[Spot, ...] = ()
    """Of classes whose nodes are told apart; and of others what is free of them."""
    elastic: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """By class: how many more may be asked for."""
    growing: frozenset[str] = frozenset()
    """Classes of which a node is bought for a pod that waits: there it is not written too early."""
    grow_first: bool = False
    """A newcomer asks for a new node rather than evict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Whose replicas need GPUs, and where they may have them."""

    gpu_class: str
    gpus: int
    """GPUs per replica."""
    may: frozenset[PlaceKey] | None = None
    """The places that will do; None: its class, wherever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """So many more GPUs in these places, together, would make room."""

    where: frozenset[PlaceKey]
    gpus: int


@dataclass(slots=True)
class _Left:
    free: int
    coming: int

    @property
    def all(self) -> int:
        return self.free + self.coming


class Stock:
    """What is left of a supply."""

    def __init__(self, supply: Supply) -> None:
        self._room = dict(supply.totals)
        self._elastic = dict(supply.elastic)
        self.owed = Counter[str]()
        """By class: GPUs that pods wait for already, less those of them that are to be bought."""
        self._spots = {spot.key: _Left(spot.free, spot.coming) for spot in supply.spots}
        self._kept = Counter[PlaceKey]()
        """Free now, and given to what waits for more to come in that place."""
        told = {gpu_class for gpu_class, _ in self._spots}
        for gpu_class, total in supply.totals.items():
            if gpu_class not in told:
                self._spots[gpu_class, None] = _Left(total, 0)
        for (gpu_class, node), left in self._spots.items():
            if node is None:
                # Its class bounds it already.
                left.coming = max(left.coming, supply.totals.get(gpu_class, 0) - left.free)

    def hold(self, asker: Asker, replicas: int, at: Mapping[PlaceKey, int]) -> None:
        """Count so many replicas as held; `at`: those of them that have their place."""
        for (gpu_class, _), placed in at.items():
            self._room[gpu_class] = self._room.get(gpu_class, 0) - placed * asker.gpus
        for _ in range(max(0, replicas - sum(at.values())) if asker.gpus else 0):
            kind, gpu_class = self.take(asker) or self.grow(asker) or (None, asker.gpu_class)
            if kind is None:
                self._room[gpu_class] = self._room.get(gpu_class, 0) - asker.gpus
            if kind in (Kind.COMING, None):
                self.owed[gpu_class] += asker.gpus

    def take(self, asker: Asker) -> tuple[Kind, str] | None:
        """Give out the GPUs of one replica, and of which class; None where there is no room."""
        fits = [key for key in self._places(asker) if self._lack(key, asker) <= 0]
        if not fits:
            return None
        key = min(fits, key=lambda key: self._preference(key, asker))
        left, gpu_class = self._spots[key], key[0]
        kind = Kind.FREE if left.free >= asker.gpus else Kind.COMING
        free = min(left.free, asker.gpus)
        if kind is Kind.COMING:
            self._kept[key] += free
        left.free -= free
        left.coming -= asker.gpus - free
        self._room[gpu_class] -= asker.gpus
        return kind, gpu_class

    def grow(self, asker: Asker) -> tuple[Kind, str] | None:
        """Give out the GPUs of one replica that are still to be asked for."""
        classes = dict.fromkeys((asker.gpu_class, *(key[0] for key in self._places(asker))))
        for gpu_class in classes:
            if self._elastic.get(gpu_class, 0) >= asker.gpus:
                self._elastic[gpu_class] -= asker.gpus
                return Kind.NEW, gpu_class
        return None

    def could_take_what_is_kept(self, asker: Asker) -> bool:
        """Whether a pod of it may be put where GPUs lie free for what waits there for more."""
        return any(self._kept[key] >= asker.gpus for key in self._places(asker))

    def free_up(self, key: PlaceKey, gpus: int) -> None:
        """So many more are being freed in a place."""
        self._room[key[0]] = self._room.get(key[0], 0) + gpus
        if key in self._spots:
            self._spots[key].coming += gpus

    def needs(self, asker: Asker) -> Iterable[Need]:
        """What would have to be freed for one replica, any of these."""
        short: dict[str, Need] = {}
        for key in self._places(asker):
            gpu_class, node = key
            if node is None or self._spots[key].all >= asker.gpus:
                # The place has room and its class has not: it may come from anywhere in the class.
                where = frozenset(other for other in self._spots if other[0] == gpu_class)
                lack = asker.gpus - self._room.get(gpu_class, 0)
                short[gpu_class] = Need(where=where, gpus=lack)
            else:
                yield Need(where=frozenset({key}), gpus=self._lack(key, asker))
        yield from short.values()

    def _lack(self, key: PlaceKey, asker: Asker) -> int:
        return asker.gpus - min(self._spots[key].all, self._room.get(key[0], 0))

    def _preference(self, key: PlaceKey, asker: Asker) -> tuple[bool, int, PlaceKey]:
        """Free ones first; then where the least is left over."""
        left = self._spots[key]
        return (left.free < asker.gpus, left.all, (key[0], key[1] or ""))

    def _places(self, asker: Asker) -> list[PlaceKey]:
        if asker.may is not None:
            return [key for key in asker.may if key in self._spots]
        return [key for key in self._spots if key[0] == asker.gpu_class]
