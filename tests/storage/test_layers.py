"""Versions of layers, and who keeps their archives, on both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from keyturn.storage import functions, layers
from keyturn.storage.database import Stores
from keyturn.storage.layers import LayerVersionRecord

from .conftest import NOW, PLACE
from .test_functions import _ARN, _DEADLINE_SECONDS, _function, _package, _store

_LAYER = PLACE.layer_arn("drivers")
_ROUNDS, _AT_ONCE = 200, 6
# A hash as it is stored: what base64 has beside letters and digits means nothing to LIKE or JSON.
_SHA = "A+b/C9cZ3xY0w1v2u3t4s5r6q7p8o9n0m1l2k3j4i5h="


def _version(number: int = 1, sha: str = _SHA) -> LayerVersionRecord:
    return LayerVersionRecord(
        layer_arn=_LAYER,
        version=number,
        description="",
        license_info=None,
        architectures=None,
        runtimes=("python3.11",),
        code_sha256=sha,
        code_size_bytes=3,
        unzipped_size_bytes=4,
        created_at=NOW,
        statements=(),
        revision_id="a-revision",
    )


def _publish(stores: Stores, sha: str = _SHA) -> LayerVersionRecord:
    with stores.state.write() as transaction:
        record = _version(layers.next_version(transaction, PLACE, "drivers"), sha)
        functions.store_package(transaction, sha, b"layer")
        layers.insert_version(transaction, record)
    return record


def _delete(stores: Stores, record: LayerVersionRecord) -> None:
    with stores.state.write() as transaction:
        layers.delete_version(transaction, record)


def test_a_version_comes_back_as_stored(stores: Stores) -> None:
    _publish(stores)
    _publish(stores)

    expected = replace(_version(), runtimes=["python3.11"], statements=[])
    with stores.state.read() as connection:
        assert layers.load_version(connection, _LAYER, 1) == expected
        assert layers.load_version(connection, _LAYER, 3) is None
        newest_first = [replace(expected, version=2), expected]
        assert layers.list_versions(connection, _LAYER) == layers.list_layers(connection, PLACE) == newest_first
        assert layers.list_layers(connection, replace(PLACE, region="eu-west-1")) == []


def test_those_who_publish_at_once_get_different_numbers(stores: Stores) -> None:
    threads = [threading.Thread(target=_publish, args=(stores,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_DEADLINE_SECONDS)

    with stores.state.read() as connection:
        assert [record.version for record in layers.list_versions(connection, _LAYER)] == list(range(8, 0, -1))


def test_those_who_make_a_layer_at_once_make_one(stores: Stores) -> None:
    """Names are unique in two ways, and whoever comes second may stumble over either."""
    for number in range(_ROUNDS):
        name, together = f"layer-{number}", threading.Barrier(_AT_ONCE)

        def publish(name: str = name, together: threading.Barrier = together) -> int:
            together.wait(_DEADLINE_SECONDS)
            with stores.state.write() as transaction:
                return layers.next_version(transaction, PLACE, name)

        with ThreadPoolExecutor(_AT_ONCE) as threads:
            published = [threads.submit(publish) for _ in range(_AT_ONCE)]
        assert sorted(each.result() for each in published) == list(range(1, _AT_ONCE + 1))


def test_statements_are_replaced(stores: Stores) -> None:
    record = _publish(stores)
    with stores.state.write() as transaction:
        layers.update_statements(transaction, record, [("a", "{}"), ("b", "[]")], "another")
        locked = layers.lock_version(transaction, _LAYER, 1)

    assert locked is not None
    assert (locked.statements, locked.revision_id) == ([["a", "{}"], ["b", "[]"]], "another")


def test_an_archive_stays_as_long_as_a_layer_or_a_function_has_it(stores: Stores) -> None:
    first, second = _publish(stores), _publish(stores)
    _store(stores, replace(_function(), layers=[first.attached]))
    _delete(stores, first)
    _delete(stores, second)
    assert _package(stores, _SHA) == b"layer"

    with stores.state.write() as transaction:
        functions.update_function(transaction, replace(_function(), layers=[first.attached]), layers=None)
    assert _package(stores, _SHA) is None
    with stores.state.read() as connection:
        found = functions.load_function(connection, _ARN)
    assert found is not None
    assert found.layers is None


def test_an_archive_that_starts_like_another_ones_hash_is_not_taken_for_it(stores: Stores) -> None:
    other = "Z" + _SHA[1:]
    kept, dropped = _publish(stores), _publish(stores, other)
    _store(stores, replace(_function(), layers=[kept.attached]))

    _delete(stores, dropped)

    assert _package(stores, other) is None


def test_a_version_that_a_function_takes_is_not_deleted_meanwhile(stores: Stores) -> None:
    record = _publish(stores)
    deleting = threading.Thread(target=_delete, args=(stores, record))
    with stores.state.write() as transaction:
        locked = layers.lock_version(transaction, _LAYER, 1)
        assert locked is not None
        deleting.start()
        functions.store_package(transaction, _function().code_sha256, b"zip")
        assert functions.insert_function(transaction, replace(_function(), layers=[locked.attached]))
    deleting.join(_DEADLINE_SECONDS)

    assert not deleting.is_alive()
    assert _package(stores, _SHA) == b"layer"
    with stores.state.read() as connection:
        assert layers.load_version(connection, _LAYER, 1) is None
