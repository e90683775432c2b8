"""A Lease object, read whatever is in it, and written back with all that others put there."""

import pytest

from fleet.leases.record import LASTS, made, read_record, taken

AT = "2026-01-02T03:04:05.000006Z"


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"spec": None},
        {"spec": {"holderIdentity": 7, "renewTime": [], "leaseTransitions": "x"}},
        {"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}},
        {"spec": {"leaseDurationSeconds": 10**9, "leaseTransitions": True}},
    ],
)
def test_a_lease_that_says_nothing_usable_is_nobodys(raw):
    record = read_record(raw)
    assert (record.holder, record.lasts, record.turns) == ("", LASTS, 0)


def test_what_is_written_is_read_again():
    body = taken(made("one", "space"), holder="me", at=AT, turns=3)
    assert body["metadata"] == {"name": "one", "namespace": "space", "resourceVersion": ""}
    record = read_record({**body, "metadata": {**body["metadata"], "resourceVersion": "9"}})
    assert (record.holder, record.renewed, record.turns, record.version) == ("me", AT, 3, "9")


def test_a_renewal_keeps_when_it_was_acquired_and_what_others_wrote():
    first = taken(made("one", "space", labels={"a": "b"}), holder="me", at=AT, turns=3)
    first["spec"]["strategy"] = "theirs"
    record = read_record({**first, "metadata": {**first["metadata"], "resourceVersion": "9"}})
    later = AT.replace("05", "07")
    again = taken(record, holder="me", at=later, turns=3)
    assert again["spec"]["acquireTime"] == AT
    assert again["spec"]["renewTime"] == later
    assert again["spec"]["strategy"] == "theirs"
    assert again["metadata"]["labels"] == {"a": "b"}
    assert again["metadata"]["resourceVersion"] == "9"
    assert first["spec"]["renewTime"] == AT, "what was read is left as it was"


def test_another_holder_acquires_it():
    record = read_record(taken(made("one", "space"), holder="me", at=AT, turns=3))
    other = taken(record, holder="you", at=AT.replace("05", "09"), turns=4)
    assert other["spec"]["acquireTime"] == AT.replace("05", "09")
