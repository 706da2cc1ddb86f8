"""The default key of Secrets Manager: made once for each place, whoever comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyturn.arn import Place
from keyturn.operations.kms.default_key import default_key, find_default_key, is_default_key
from keyturn.operations.kms.subjects import current_material
from keyturn.rules.kms_keys import DEFAULT_ALIAS
from keyturn.storage import kms_keys
from keyturn.storage.database import Transaction
from keyturn.storage.kms_keys import AliasRecord
from keyturn.testing.handlers import PLACE, HandlerBench, open_bench

ELSEWHERE = Place(PLACE.partition, "eu-west-1", PLACE.account_id)


def test_each_place_has_its_own_and_has_it_from_the_first_use_on(tmp_path: Path) -> None:
    with open_bench(tmp_path) as bench:
        assert find_default_key(bench.kit, PLACE) is None
        with bench.kit.state.write() as transaction:
            first = default_key(bench.kit, transaction, PLACE, bench.clock.now())
            again = default_key(bench.kit, transaction, PLACE, bench.clock.now())
            other = default_key(bench.kit, transaction, ELSEWHERE, bench.clock.now())
        bench.kept.refresh()

        assert again == first
        assert find_default_key(bench.kit, PLACE) == first
        assert other.key_id != first.key_id
        assert is_default_key(first, PLACE)
        assert not is_default_key(other, PLACE)


def test_a_key_whose_first_use_failed_is_not_there(tmp_path: Path) -> None:
    class Failed(Exception):
        pass

    with open_bench(tmp_path) as bench:

        def fail() -> None:
            with bench.kit.state.write() as transaction:
                key = default_key(bench.kit, transaction, PLACE, bench.clock.now())
                assert bench.kit.keyring.encrypt(current_material(key), b"at once", {})
                raise Failed

        with pytest.raises(Failed):
            fail()
        bench.kept.refresh()
        assert find_default_key(bench.kit, PLACE) is None
        with bench.kit.state.write() as transaction:
            key = default_key(bench.kit, transaction, PLACE, bench.clock.now())
        bench.kept.refresh()
        assert find_default_key(bench.kit, PLACE) == key


def test_of_two_servers_the_second_takes_the_firsts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_bench(tmp_path) as bench:
        first = _other_servers_key(bench)
        insert_alias, seen = kms_keys.insert_alias, []

        def lose(transaction: Transaction, alias: AliasRecord) -> bool:
            # The other server's row becomes visible only now.
            seen.append(alias)
            assert not insert_alias(transaction, alias)
            return False

        with monkeypatch.context() as patch, bench.kit.state.write() as transaction:
            patch.setattr(kms_keys, "insert_alias", lose)
            loaded = kms_keys.load_alias
            patch.setattr(kms_keys, "load_alias", lambda *of: loaded(*of) if seen else None)
            assert default_key(bench.kit, transaction, PLACE, bench.clock.now()).key_id == first
        bench.kept.refresh()

        assert seen
        with bench.kit.state.read() as connection:
            assert [key.key_id for key in kms_keys.list_keys(connection, PLACE)] == [first]


def _other_servers_key(bench: HandlerBench) -> str:
    with bench.kit.state.write() as transaction:
        key = default_key(bench.kit, transaction, PLACE, bench.clock.now())
    assert key.aliases == (DEFAULT_ALIAS,)
    bench.kept.refresh()
    return key.key_id
