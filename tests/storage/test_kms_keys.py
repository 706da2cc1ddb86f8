from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from keyturn.arn import Place
from keyturn.storage import inline_policies, kms_keys, schema
from keyturn.storage.database import Stores, Transaction
from keyturn.storage.kms_keys import AliasRecord, KeyManager, KmsKeyRecord, MaterialRecord, RotationType
from keyturn.testing.handlers import ALLOW_ALL

from .conftest import NOW, PLACE
from .desk import DAY, Desk

_ELSEWHERE = Place(PLACE.partition, "eu-west-1", PLACE.account_id)
_OTHERS = Place(PLACE.partition, PLACE.region, "111122223333")


def _key(key_id: str = "one", place: Place = PLACE, manager: KeyManager = KeyManager.CUSTOMER) -> KmsKeyRecord:
    return KmsKeyRecord(
        key_id=key_id,
        account_id=place.account_id,
        region=place.region,
        arn=place.kms_key_arn(key_id),
        manager=manager,
        description="of the shop",
        policy="{}",
        tags={"b": "1", "a": "2"},
        enabled=True,
        deletion_at=None,
        created_at=NOW,
    )


def _alias(alias: str = "alias/a", key_id: str = "one", place: Place = PLACE) -> AliasRecord:
    return AliasRecord(place.kms_alias_arn(alias), place.account_id, place.region, alias, key_id, NOW, NOW)


def _store(stores: Stores, *keys: KmsKeyRecord) -> None:
    with stores.state.write() as transaction:
        for key in keys:
            kms_keys.insert_key(transaction, key, f"wrapped {key.key_id}".encode())


def _load(stores: Stores, key_id: str = "one") -> KmsKeyRecord | None:
    with stores.state.read() as connection:
        return kms_keys.load_key(connection, key_id)


def _create_key(desk: Desk) -> Any:
    # Whoever uses a customer managed key is asked for leave.
    with desk.kit.state.write() as transaction:
        inline_policies.put_inline_policy(transaction, desk.bench.caller.arn, "everything", ALLOW_ALL)
    return desk.bench.call("kms", "CreateKey")["KeyMetadata"]


def _touched(transaction: Transaction) -> set[tuple[str, str]]:
    return {(change["kind"], change["subject"]) for change in transaction.touched}


def test_a_key_comes_back_as_stored(stores: Stores) -> None:
    pending = replace(_key("two"), tags=None, enabled=False, deletion_at=NOW + timedelta(days=7))
    _store(stores, _key(), pending)

    loaded = _load(stores)
    assert loaded is not None
    assert loaded == _key()
    assert list(loaded.tags or {}) == ["b", "a"]
    assert _load(stores, "two") == pending
    assert _load(stores, "three") is None


def test_keys_are_listed_and_counted_where_they_are(stores: Stores) -> None:
    managed, own = _key("managed", manager=KeyManager.AWS), _key("own", manager=KeyManager.KEYTURN)
    _store(stores, _key("two"), _key("one"), managed, own, _key("b", _ELSEWHERE), _key("c", _OTHERS))

    with stores.state.read() as connection:
        assert [key.key_id for key in kms_keys.list_keys(connection, PLACE)] == ["managed", "one", "two"]
        assert [key.key_id for key in kms_keys.list_keys(connection, _OTHERS)] == ["c"]
        assert kms_keys.count_customer_keys(connection, PLACE) == 2
        assert kms_keys.load_system_key(connection) == own
        assert {material.key_id for material in kms_keys.load_materials(connection)} == {
            "one", "two", "managed", "own", "b", "c"
        }  # fmt: skip


def test_a_change_is_told_to_who_keeps_the_key(stores: Stores) -> None:
    _store(stores, _key())
    with stores.state.write() as transaction:
        locked = kms_keys.lock_key(transaction, "one")
        assert locked == _key()
        kms_keys.update_key(transaction, locked, enabled=False, tags=None)
        assert _touched(transaction) == {(kms_keys.KEY, "one")}
        assert kms_keys.lock_key(transaction, "two") is None

    assert _load(stores) == replace(_key(), enabled=False, tags=None)


def test_an_aliass_name_is_its_places_own_and_moves(stores: Stores) -> None:
    _store(stores, _key(), _key("two"), _key("far", _ELSEWHERE))
    with stores.state.write() as transaction:
        assert kms_keys.insert_alias(transaction, _alias())
        assert not kms_keys.insert_alias(transaction, _alias(key_id="two"))
        assert kms_keys.insert_alias(transaction, _alias(key_id="far", place=_ELSEWHERE))
        assert kms_keys.insert_alias(transaction, _alias("alias/b"))
        assert (kms_keys.KEY, "one") in _touched(transaction)
        assert (kms_keys.ALIAS, PLACE.kms_alias_arn("alias/a")) in _touched(transaction)
    assert _load(stores) == replace(_key(), aliases=("alias/a", "alias/b"))

    later = NOW + timedelta(hours=1)
    with stores.state.write() as transaction:
        locked = kms_keys.lock_alias(transaction, _alias().arn)
        assert locked == _alias()
        kms_keys.point_alias(transaction, locked, "two", later)
        # Both keys are kept with the names of their aliases.
        assert _touched(transaction) == {(kms_keys.ALIAS, locked.arn), (kms_keys.KEY, "one"), (kms_keys.KEY, "two")}
    with stores.state.read() as connection:
        assert kms_keys.load_alias(connection, _alias().arn) == replace(_alias(key_id="two"), updated_at=later)
        assert [alias.alias for alias in kms_keys.list_aliases(connection, PLACE)] == ["alias/a", "alias/b"]
        assert [alias.key_id for alias in kms_keys.list_aliases(connection, _ELSEWHERE)] == ["far"]

    with stores.state.write() as transaction:
        kms_keys.delete_alias(transaction, _alias("alias/b"))
    assert _load(stores) == _key()


def test_a_key_ends_with_its_aliases_once_its_time_has_come(stores: Stores) -> None:
    _store(
        stores,
        replace(_key(), deletion_at=NOW),
        replace(_key("earlier"), deletion_at=NOW - timedelta(days=1)),
        replace(_key("later"), deletion_at=NOW + timedelta(milliseconds=1)),
        _key("never"),
    )
    with stores.state.write() as transaction:
        assert kms_keys.insert_alias(transaction, _alias())

    with stores.state.read() as connection:
        due = kms_keys.load_past_deletion(connection, NOW, 9)
        assert [key.key_id for key in due] == ["earlier", "one"]
        assert len(kms_keys.load_past_deletion(connection, NOW, 1)) == 1
    with stores.state.write() as transaction:
        kms_keys.delete_key(transaction, due[1])
        assert _touched(transaction) == {(kms_keys.KEY, "one"), (kms_keys.ALIAS, _alias().arn)}

    assert _load(stores) is None
    with stores.state.read() as connection:
        assert kms_keys.load_alias(connection, _alias().arn) is None


def test_a_key_is_wrapped_anew_without_anybody_noticing(stores: Stores) -> None:
    _store(stores, _key())
    _rotate(stores, NOW)
    with stores.state.write() as transaction:
        kms_keys.store_wrapped(transaction, "one", 0, b"by another root key")
        kms_keys.store_wrapped(transaction, "one", 1, b"the second too")

    with stores.state.read() as connection:
        assert [each.wrapped for each in kms_keys.list_materials(connection, "one")] == [
            b"by another root key",
            b"the second too",
        ]


def _rotate(
    stores: Stores, at: datetime, key_id: str = "one", rotation_type: RotationType = RotationType.ON_DEMAND
) -> MaterialRecord:
    with stores.state.write() as transaction:
        locked = kms_keys.lock_key(transaction, key_id)
        assert locked is not None
        number = locked.material_number + 1
        material = MaterialRecord(key_id, number, f"wrapped {key_id} {number}".encode(), at, rotation_type)
        kms_keys.rotate_key(transaction, locked, material, locked.next_rotation_at)
        assert _touched(transaction) == {(kms_keys.KEY, key_id)}
    return material


def test_a_rotated_key_has_new_material_and_keeps_what_it_had(stores: Stores) -> None:
    _store(stores, _key(), _key("two"))
    later = NOW + timedelta(days=1)
    second = _rotate(stores, NOW)
    third = _rotate(stores, later, rotation_type=RotationType.AUTOMATIC)

    assert _load(stores) == replace(_key(), material_number=2)
    assert _load(stores, "two") == _key("two")
    with stores.state.read() as connection:
        first = MaterialRecord("one", 0, b"wrapped one")
        assert kms_keys.list_materials(connection, "one") == [first, second, third]
        assert kms_keys.load_material(connection, "one", 1) == second
        assert kms_keys.load_material(connection, "one", 3) is None
        assert kms_keys.count_rotations_on_demand(connection, "one") == 1
        assert kms_keys.count_rotations_on_demand(connection, "two") == 0


def test_a_rotation_that_is_not_committed_has_not_happened(stores: Stores) -> None:
    class Killed(Exception):
        pass

    def die() -> None:
        with stores.state.write() as transaction:
            material = MaterialRecord("one", 1, b"never used", NOW, RotationType.ON_DEMAND)
            kms_keys.rotate_key(transaction, _key(), material, None)
            raise Killed

    _store(stores, _key())
    with pytest.raises(Killed):
        die()
    assert _load(stores) == _key()
    with stores.state.read() as connection:
        assert len(kms_keys.list_materials(connection, "one")) == 1


def test_keys_are_due_once_their_time_has_come_and_they_can_be_used(stores: Stores) -> None:
    def due(key_id: str, at: datetime = NOW) -> KmsKeyRecord:
        return replace(_key(key_id), rotation_period_days=90, next_rotation_at=at)

    _store(
        stores,
        due("one"),
        due("earlier", NOW - timedelta(days=1)),
        due("later", NOW + timedelta(milliseconds=1)),
        replace(due("off"), enabled=False),
        replace(due("doomed"), deletion_at=NOW + timedelta(days=7)),
        _key("never"),
    )
    with stores.state.read() as connection:
        assert [key.key_id for key in kms_keys.load_due_for_rotation(connection, NOW, 9)] == ["earlier", "one"]
        assert len(kms_keys.load_due_for_rotation(connection, NOW, 1)) == 1


def test_a_destroyed_key_leaves_no_byte_and_takes_its_values_with_it(desk: Desk, files: Callable[[], bytes]) -> None:
    key = _create_key(desk)
    arn = desk.create()
    desk.call("UpdateSecret", SecretId=arn, KmsKeyId=key["Arn"])
    desk.bench.call("kms", "RotateKeyOnDemand", KeyId=key["KeyId"])
    with desk.kit.state.read() as connection:
        stored = kms_keys.list_materials(connection, key["KeyId"])
    assert len(stored) == 2
    if desk.kit.state.dialect.is_embedded:
        assert all(material.wrapped in files() for material in stored)
    desk.bench.call("kms", "ScheduleKeyDeletion", KeyId=key["KeyId"], PendingWindowInDays=7)
    desk.bench.clock.advance(7 * DAY)

    desk.turn()
    desk.bench.kept.refresh()

    assert not [material for material in stored if material.wrapped[-32:] in files()]
    if not desk.kit.state.dialect.is_embedded:
        with desk.kit.state.read() as connection:
            purges = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'kms_materials'"
            assert connection.execute(text(purges)).scalar_one() > 0
    with desk.kit.state.read() as connection:
        assert kms_keys.list_materials(connection, key["KeyId"]) == []
        assert kms_keys.load_key(connection, key["KeyId"]) is None
    # The default key, which the secret had before, still opens what it had sealed.
    assert desk.call("GetSecretValue", SecretId=arn)["SecretString"] == "db 1"
    (told,) = desk.events("DeleteKey")
    assert told["resources"][0]["ARN"] == key["Arn"]


def test_a_value_that_had_two_keys_is_erased_under_both(desk: Desk, files: Callable[[], bytes]) -> None:
    key = _create_key(desk)["KeyId"]
    arn = desk.create()
    before = desk.sealed(arn)
    desk.call("UpdateSecret", SecretId=arn, KmsKeyId=key)
    desk.turn()
    after = desk.sealed(arn)
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    desk.call("DeleteSecret", SecretId=arn, ForceDeleteWithoutRecovery=True)

    desk.turn()
    if not desk.kit.state.dialect.is_embedded:
        desk.turn()

    content = files()
    assert not [sealed for sealed in (*before.values(), *after.values()) if sealed[-64:] in content]
    with desk.kit.state.read() as connection:
        assert connection.execute(select(schema.secret_versions.c.former_wrapped)).all() == []
