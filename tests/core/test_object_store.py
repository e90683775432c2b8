"""The objects of one resource: what comes late, twice or out of turn changes nothing."""

from hypothesis import given
from hypothesis import strategies as st

from fleet.kubernetes.objects import Object, key_of, newer, version_of
from fleet.kubernetes.pauses import LONGEST, SELDOM, Pauses
from fleet.kubernetes.store import Listing, Store


def item(name: str, version: int, *, uid: str = "u", keep: bool = True) -> Object:
    meta = {"namespace": "default", "name": name, "uid": uid, "resourceVersion": str(version)}
    return {"metadata": meta, "keep": keep, "junk": "x" * 10}


def trim(raw: Object) -> Object | None:
    return {"metadata": raw["metadata"]} if raw["keep"] else None


def listed(store: Store, version: int, *items: Object) -> bool:
    listing: Listing = {}
    store.list(listing, items)
    return store.replace(listing, str(version))


def versions(store: Store) -> dict[str, str]:
    return {name: version_of(kept) for (_, name), kept in store.objects.items()}


def test_only_what_is_newer_counts_and_only_trimmed() -> None:
    store = Store(trim)
    assert store.put(item("a", 5))
    assert store.objects[("default", "a")] == {"metadata": item("a", 5)["metadata"]}
    assert not store.put(item("a", 5))
    assert not store.put(item("a", 4))
    assert store.put(item("a", 10))
    assert not store.drop(item("a", 9))
    assert store.drop(item("a", 11))
    assert not store.drop(item("a", 11))
    assert store.objects == {}


def test_the_whole_of_what_is_known_in_part_is_taken_behind_a_list_too() -> None:
    """A list that was under way meanwhile is older than the write that was answered."""
    store = Store(trim)
    store.put(item("a", 5))
    assert store.amend(trim(item("a", 8)) or {}, base="5")
    assert not listed(store, 7, item("a", 5))
    assert versions(store) == {"a": "8"}
    assert store.put(item("a", 8, uid="whole"))
    assert store.objects["default", "a"]["metadata"]["uid"] == "whole"
    assert not store.put(item("a", 8, uid="again"))


def test_what_nobody_reads_is_not_kept_and_leaves_when_it_becomes_so() -> None:
    store = Store(trim)
    assert not store.put(item("a", 1, keep=False))
    assert store.put(item("a", 2))
    assert store.put(item("a", 3, keep=False))
    assert store.objects == {}
    assert not listed(store, 9, item("b", 8, keep=False))


def test_a_list_tells_what_is_gone_and_keeps_what_has_not_changed_as_it_was() -> None:
    store = Store(trim)
    assert listed(store, 9, item("a", 1), item("b", 2))
    kept = store.objects[("default", "a")]
    assert not listed(store, 10, item("a", 1), item("b", 2))
    assert store.objects[("default", "a")] is kept
    assert listed(store, 12, item("a", 1), item("b", 11))
    assert store.objects[("default", "a")] is kept
    assert listed(store, 13, item("a", 1))
    assert versions(store) == {"a": "1"}


def test_what_a_write_was_answered_with_outlives_an_older_list_but_not_a_newer_one() -> None:
    store = Store(trim)
    listed(store, 9, item("a", 1))
    store.put(item("a", 20))
    assert not listed(store, 15, item("a", 1))
    assert not listed(store, 15)
    assert versions(store) == {"a": "20"}
    assert listed(store, 21)
    assert versions(store) == {}


def test_one_that_was_made_anew_under_its_name_takes_its_place() -> None:
    store = Store(trim)
    listed(store, 9, item("a", 1, uid="first"))
    assert listed(store, 9, item("a", 1, uid="second"))
    assert store.objects[("default", "a")]["metadata"]["uid"] == "second"


def test_an_amendment_counts_only_for_the_version_it_was_made_from() -> None:
    store = Store(trim)
    assert not store.amend(item("a", 2), base="1")
    store.put(item("a", 1))
    assert store.amend(item("a", 3), base="1")
    assert not store.amend(item("a", 2), base="1")
    assert versions(store) == {"a": "3"}


def test_the_whole_of_what_is_known_in_part_is_taken_when_it_comes() -> None:
    for told in (Store.put, lambda store, whole: listed(store, 3, whole)):
        store = Store(lambda raw: raw)
        store.put(item("a", 1))
        store.amend({"metadata": item("a", 3)["metadata"]}, base="1")
        whole = item("a", 3)
        assert told(store, whole)
        assert store.objects[("default", "a")] is whole
        assert not told(store, item("a", 3))
        assert store.objects[("default", "a")] is whole


def test_a_resource_that_is_no_more_holds_nothing() -> None:
    store = Store(trim)
    assert not store.clear()
    store.put(item("a", 1))
    assert store.clear()
    assert store.objects == {}


def test_versions_are_numbers_where_they_look_like_it() -> None:
    assert newer("10", "9")
    assert not newer("9", "10")
    assert not newer("9", "9")
    assert newer("abc", "abd")
    assert not newer("abc", "abc")


@given(st.data())
def test_watch_and_answers_in_any_order_end_where_the_server_is(data: st.DataObject) -> None:
    """A history of writes; each state may also come as an answer, sooner or later than the watch
    tells of it."""
    history: list[tuple[str, Object]] = []
    there: dict[str, Object] = {}
    for version in range(1, data.draw(st.integers(2, 12))):
        name = data.draw(st.sampled_from("ab"))
        gone = name in there and data.draw(st.booleans())
        now = item(name, version)
        history.append(("DELETED" if gone else "MODIFIED", now))
        there = {**there, name: now}
        if gone:
            del there[name]
    store = Store(trim)
    for index, (kind, now) in enumerate(history):
        for ahead_kind, ahead in data.draw(st.lists(st.sampled_from(history[: index + 1]))):
            # An answer to a write of ours names an object that we know.
            if ahead_kind == "MODIFIED" and key_of(ahead) in store.objects:
                store.put(ahead)
        (store.drop if kind == "DELETED" else store.put)(now)
    assert versions(store) == {name: version_of(found) for name, found in there.items()}
    listed(store, len(history) + 1, *there.values())
    assert versions(store) == {name: version_of(found) for name, found in there.items()}


def test_pauses_double_with_jitter_up_to_a_limit() -> None:
    pauses = Pauses()
    assert pauses.seconds(1.0) == 0.0
    waits = []
    for _ in range(12):
        pauses = pauses.more()
        waits.append(pauses.seconds(1.0))
        assert pauses.seconds(0.0) == waits[-1] / 2
    assert waits[:3] == [0.1, 0.2, 0.4]
    assert waits[-1] == LONGEST
    many = Pauses(failures=10**6, alike=10**6, kind=KeyError)
    assert many.seconds(1.0, longest=SELDOM) == SELDOM
    other = many.more(ValueError)
    assert other.seconds(1.0, longest=SELDOM) == LONGEST
