"""Who is told, in which order, and until when."""

from fleet.subscribers import Subscribers


def test_all_are_told_in_the_order_they_came_until_they_leave() -> None:
    told: list[str] = []
    subscribers = Subscribers[str]()
    end = subscribers.add(lambda news: told.append(f"first {news}"))
    subscribers.add(lambda news: told.append(f"second {news}"))
    subscribers.tell("a")
    end()
    end()
    subscribers.tell("b")
    assert told == ["first a", "second a", "second b"]


def test_one_listener_twice_is_told_twice_and_leaves_once() -> None:
    told: list[str] = []
    subscribers = Subscribers[str]()
    end = subscribers.add(told.append)
    subscribers.add(told.append)
    subscribers.tell("a")
    end()
    end()
    subscribers.tell("b")
    assert told == ["a", "a", "b"]


def test_coming_and_leaving_while_being_told_counts_from_the_next_time() -> None:
    told: list[str] = []
    subscribers = Subscribers[str]()

    def swap(news: str) -> None:
        end_last()
        subscribers.add(lambda later: told.append(f"late {later}"))
        end_swap()

    end_swap = subscribers.add(swap)
    end_last = subscribers.add(told.append)
    subscribers.tell("a")
    assert told == ["a"]
    subscribers.tell("b")
    assert told == ["a", "late b"]
