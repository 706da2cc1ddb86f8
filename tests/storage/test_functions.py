from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from keyturn.storage import functions
from keyturn.storage.database import StorageError, Stores, Transaction
from keyturn.storage.functions import FunctionRecord, StatementRecord

from .conftest import NOW, PLACE

_SHA, _OTHER_SHA = "sha-of-the-zip", "sha-of-another"
_DEADLINE_SECONDS = 20
_ARN = PLACE.function_arn("rotate")


def _function(name: str = "rotate", sha: str = _SHA) -> FunctionRecord:
    return FunctionRecord(
        arn=PLACE.function_arn(name),
        account_id=PLACE.account_id,
        region=PLACE.region,
        name=name,
        runtime="python3.11",
        handler="rotation.lambda_handler",
        role_arn="arn:aws:iam::000000000000:role/rotator",
        description="",
        timeout_seconds=30,
        memory_mb=128,
        ephemeral_storage_mb=512,
        sealed=b"sealed",
        code_sha256=sha,
        code_size_bytes=3,
        revision_id="a-revision",
        last_modified_at=NOW,
        tags={"team": "db"},
    )


def _touched(transaction: Transaction) -> set[tuple[str, str]]:
    return {(change["kind"], change["subject"]) for change in transaction.touched}


def _store(stores: Stores, *records: FunctionRecord) -> None:
    with stores.state.write() as transaction:
        for record in records:
            functions.store_package(transaction, record.code_sha256, b"zip")
            assert functions.insert_function(transaction, record)


def _package(stores: Stores, sha: str) -> bytes | None:
    with stores.state.read() as connection:
        return functions.load_package(connection, sha)


def test_a_function_comes_back_as_stored(stores: Stores) -> None:
    _store(stores, _function(), replace(_function("plain"), sealed=None, tags=None))

    with stores.state.read() as connection:
        assert functions.load_function(connection, _ARN) == _function()
        assert functions.load_function(connection, PLACE.function_arn("other")) is None
        assert functions.list_functions(connection, PLACE) == [
            replace(_function("plain"), sealed=None, tags=None),
            _function(),
        ]


def test_a_function_name_that_is_taken_is_reported(stores: Stores) -> None:
    _store(stores, _function())
    with stores.state.write() as transaction:
        assert not functions.insert_function(transaction, replace(_function(), description="mine"))
        assert transaction.touched == []

    with stores.state.read() as connection:
        assert functions.load_function(connection, _ARN) == _function()


def test_a_function_needs_its_package(stores: Stores) -> None:
    def insert_without_package() -> None:
        with stores.state.write() as transaction:
            functions.insert_function(transaction, _function())

    with pytest.raises(StorageError):
        insert_without_package()


def test_a_package_is_stored_once_and_lives_as_long_as_somebody_uses_it(stores: Stores) -> None:
    _store(stores, _function("one"), _function("two"))
    assert _package(stores, _SHA) == b"zip"

    with stores.state.write() as transaction:
        functions.delete_function(transaction, _function("one"))
        assert _touched(transaction) == {
            (functions.FUNCTION, PLACE.function_arn("one")),
            (functions.FUNCTION_POLICY, PLACE.function_arn("one")),
            (functions.FUNCTION_QUALIFIERS, PLACE.function_arn("one")),
        }
    assert _package(stores, _SHA) == b"zip"

    with stores.state.write() as transaction:
        functions.delete_function(transaction, _function("two"))
    assert _package(stores, _SHA) is None


def test_new_code_takes_the_place_of_the_package_nobody_uses_any_more(stores: Stores) -> None:
    _store(stores, _function())
    with stores.state.write() as transaction:
        functions.store_package(transaction, _OTHER_SHA, b"new")
        functions.update_function(transaction, _function(), code_sha256=_OTHER_SHA, revision_id="next")
        assert _touched(transaction) == {(functions.FUNCTION, _ARN)}

    assert (_package(stores, _SHA), _package(stores, _OTHER_SHA)) == (None, b"new")
    with stores.state.read() as connection:
        expected = replace(_function(), code_sha256=_OTHER_SHA, revision_id="next")
        assert functions.load_function(connection, _ARN) == expected


def test_the_package_is_kept_when_only_the_configuration_changes(stores: Stores) -> None:
    _store(stores, _function())
    with stores.state.write() as transaction:
        functions.update_function(transaction, _function(), timeout_seconds=60, sealed=None)
        functions.update_function(transaction, _function(), code_sha256=_SHA)

    assert _package(stores, _SHA) == b"zip"
    with stores.state.read() as connection:
        assert functions.load_function(connection, _ARN) == replace(_function(), timeout_seconds=60, sealed=None)


def test_an_old_record_does_not_mislead_about_the_package_to_delete(stores: Stores) -> None:
    _store(stores, _function(), _function("keeper"))
    with stores.state.write() as transaction:
        functions.store_package(transaction, _OTHER_SHA, b"new")
        functions.update_function(transaction, _function(), code_sha256=_OTHER_SHA)
        functions.delete_function(transaction, _function())  # Says that it uses the first package.

    assert (_package(stores, _SHA), _package(stores, _OTHER_SHA)) == (b"zip", None)


def test_a_package_about_to_be_used_is_not_deleted_with_its_last_user(stores: Stores) -> None:
    _store(stores, _function("last"))
    failures: list[StorageError] = []

    def delete_last() -> None:
        try:
            with stores.state.write() as transaction:
                functions.delete_function(transaction, _function("last"))
        except StorageError as error:
            failures.append(error)

    thread = threading.Thread(target=delete_last)
    with stores.state.write() as transaction:
        functions.store_package(transaction, _SHA, b"zip")
        thread.start()
        functions.insert_function(transaction, _function("next"))
    thread.join(_DEADLINE_SECONDS)

    assert failures == []
    assert _package(stores, _SHA) == b"zip"


def test_statements_are_kept_by_qualifier_in_the_order_in_which_they_came(stores: Stores) -> None:
    _store(stores, _function(), _function("other"))
    with stores.state.write() as transaction:
        for statement_id in ("z", "a", "m"):
            assert functions.put_statement(transaction, _ARN, "", statement_id, f'"{statement_id}"')
        assert functions.put_statement(transaction, _ARN, "$LATEST", "z", '"latest"')
        assert functions.put_statement(transaction, PLACE.function_arn("other"), "", "z", '"other"')
        assert not functions.put_statement(transaction, _ARN, "", "a", '"again"')
    with stores.state.write() as transaction:
        assert functions.remove_statement(transaction, _ARN, "", "a")
        assert not functions.remove_statement(transaction, _ARN, "", "a")
        assert functions.put_statement(transaction, _ARN, "", "a", '"new"')
        assert _touched(transaction) == {(functions.FUNCTION_POLICY, _ARN)}

    with stores.state.read() as connection:
        assert functions.load_statements(connection, _ARN) == {
            "": (StatementRecord("z", '"z"'), StatementRecord("m", '"m"'), StatementRecord("a", '"new"')),
            "$LATEST": (StatementRecord("z", '"latest"'),),
        }
        assert functions.load_statements(connection, PLACE.function_arn("nobody")) == {}


def test_statements_go_with_their_function(stores: Stores) -> None:
    _store(stores, _function())
    with stores.state.write() as transaction:
        functions.put_statement(transaction, _ARN, "", "a", "{}")
        functions.delete_function(transaction, _function())

    with stores.state.read() as connection:
        assert functions.load_statements(connection, _ARN) == {}
