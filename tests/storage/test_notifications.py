"""Messages that wait for notifiers, on both databases: stored once, taken by one, offered again."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from keyturn.storage import notifications
from keyturn.storage.database import Stores
from keyturn.storage.notifications import WaitingNotification

from .conftest import NOW, OpenStores

MINUTE = timedelta(minutes=1)


def store(stores: Stores, *documents: str, before: int = 0, notifier: str = "hook") -> bool:
    notifications.begin(stores.journal)
    messages = [(notifier, document) for document in documents]
    return notifications.store_messages(stores.journal, before, before + 1, messages, NOW)


def take(stores: Stores, notifier: str = "hook") -> WaitingNotification | None:
    return notifications.take_due(stores.journal, notifier, NOW, MINUTE)


def waiting(stores: Stores) -> dict[str, int]:
    with stores.journal.read() as connection:
        return dict(notifications.waiting(connection))


def test_messages_are_taken_in_the_order_in_which_they_are_due(stores: Stores) -> None:
    store(stores, "one", "two", "three")
    first = take(stores)
    assert first is not None
    notifications.put_off(stores.journal, first, NOW)

    taken = [take(stores) for _ in range(4)]

    assert [message and (message.document, message.tries) for message in taken] == [
        ("one", 2), ("two", 1), ("three", 1), None
    ]  # fmt: skip


def test_only_one_of_two_that_looked_at_the_same_stores_messages(stores: Stores) -> None:
    assert store(stores, "one")
    assert not store(stores, "again")
    assert store(stores, "two", before=1)
    assert notifications.begin(stores.journal) == 2
    assert waiting(stores) == {"hook": 2}


def test_two_servers_at_the_same_time_store_and_take_each_message_once(stores: Stores, open_stores: OpenStores) -> None:
    others = [open_stores() for _ in range(3)]
    notifications.begin(stores.journal)
    together = threading.Barrier(len(others))

    def work(mine: Stores) -> tuple[bool, list[int]]:
        together.wait()
        messages = [("hook", str(number)) for number in range(20)]
        stored = notifications.store_messages(mine.journal, 0, 7, messages, NOW)
        together.wait()
        taken = []
        while message := take(mine):
            taken.append(message.notification_id)
        return stored, taken

    with ThreadPoolExecutor(len(others)) as threads:
        results = list(threads.map(work, others))

    assert sum(stored for stored, _ in results) == 1
    taken = [number for _, numbers in results for number in numbers]
    assert len(taken) == len(set(taken)) == 20


def test_what_somebody_else_took_meanwhile_is_not_touched(stores: Stores) -> None:
    store(stores, "one")
    slow = take(stores)
    assert slow is not None
    quick = notifications.take_due(stores.journal, "hook", NOW + 2 * MINUTE, MINUTE)
    assert quick is not None

    notifications.remove(stores.journal, slow)
    notifications.put_off(stores.journal, slow, NOW)
    assert take(stores) is None
    notifications.remove(stores.journal, quick)
    assert waiting(stores) == {}


def test_when_the_next_is_due_and_what_makes_all_due(stores: Stores) -> None:
    store(stores, "one")
    message = take(stores)
    assert message is not None
    notifications.put_off(stores.journal, message, NOW + 3 * MINUTE)
    with stores.journal.read() as connection:
        assert notifications.next_due(connection, "hook") == NOW + 3 * MINUTE
        assert notifications.next_due(connection, "other") is None

    notifications.make_due(stores.journal, NOW)

    assert take(stores) is not None


def test_notifiers_have_messages_of_their_own(stores: Stores) -> None:
    store(stores, "one", "two")
    store(stores, "three", before=1, notifier="other")
    assert waiting(stores) == {"hook": 2, "other": 1}
    assert notifications.remove_older(stores.journal, NOW + MINUTE, {"hook"}) == 1
    assert notifications.remove_older(stores.journal, NOW, {"other"}) == 0
    assert notifications.remove_all(stores.journal, "hook") == 2
    assert waiting(stores) == {}
