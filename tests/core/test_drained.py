"""Which samples are told to the leader at once."""

from fleet.bus.drained import Drained
from fleet.names import GatewayName, RevisionName
from tests.fakes.adminview import sample

ONE, TWO = GatewayName("one"), GatewayName("two")
A, B = RevisionName("default/a"), RevisionName("default/b")


def test_an_acknowledgement_is_news_once_for_each_gateway_and_number():
    drained = Drained()
    assert drained.news(ONE, {A: sample(A), B: sample(B)}) == []
    assert drained.news(ONE, {A: sample(A, drained=3), B: sample(B)}) == [A]
    assert drained.news(ONE, {A: sample(A, drained=3)}) == []
    assert drained.news(TWO, {A: sample(A, drained=3)}) == [A]
    assert drained.news(ONE, {A: sample(A, drained=4)}) == [A]
    assert drained.news(ONE, {A: sample(A)}) == []
    assert drained.news(ONE, {A: sample(A, drained=4)}) == [A]


def test_what_is_gone_is_forgotten():
    drained = Drained()
    drained.news(ONE, {A: sample(A, drained=1), B: sample(B, drained=1)})
    drained.news(TWO, {A: sample(A, drained=1)})
    drained.news(ONE, {}, gone=[A])
    assert drained.news(ONE, {A: sample(A, drained=1), B: sample(B, drained=1)}) == [A]
    drained.forget(ONE)
    assert drained.news(TWO, {A: sample(A, drained=1)}) == []
    assert drained.news(ONE, {B: sample(B, drained=1)}) == [B]
    drained.forget(ONE)
    drained.forget(TWO)
    assert drained._known == {}
