"""When the leader is poked again, and when it is given up for the time being."""

from activator.core.pokes import PATIENCE, Pokes


def test_once_a_second():
    pokes = Pokes()
    assert pokes.due(10.0)
    pokes.sent(10.0)
    assert not pokes.due(10.9)
    assert pokes.due(11.0)


def test_silent_after_five_seconds_without_an_answer_to_the_first_of_them():
    pokes = Pokes()
    assert not pokes.silent(0.0)
    pokes.sent(10.0)
    pokes.sent(14.9)
    assert not pokes.silent(10.0 + PATIENCE - 0.01)
    assert pokes.silent(10.0 + PATIENCE)
    assert PATIENCE == 5.0


def test_only_a_look_that_began_after_the_poke_answers_it():
    pokes = Pokes()
    pokes.sent(10.0)
    pokes.heard(9.9)
    assert pokes.silent(15.0)
    pokes.heard(10.0)
    assert not pokes.silent(15.0)
    pokes.sent(16.0)
    pokes.heard(10.0)
    assert not pokes.silent(20.9)
    assert pokes.silent(21.0)


def test_who_needs_it_no_more_forgets_what_it_asked():
    pokes = Pokes()
    pokes.sent(10.0)
    pokes.over()
    assert not pokes.silent(99.0)
