from __future__ import annotations

from dataclasses import fields, replace

from keyturn.storage import function_versions, functions
from keyturn.storage.database import Stores, Transaction
from keyturn.storage.function_versions import AliasRecord, Qualifiers, VersionRecord
from keyturn.storage.functions import AttachedVpc

from .conftest import PLACE
from .test_functions import _ARN, _OTHER_SHA, _SHA, _function, _package, _store, _touched

_TOUCHED = {(functions.FUNCTION, _ARN), (functions.FUNCTION_QUALIFIERS, _ARN)}


def _version(sha: str = _SHA, revision_id: str = "of-the-version") -> VersionRecord:
    function = replace(_function(sha=sha), revision_id=revision_id)
    return VersionRecord(**{field.name: getattr(function, field.name) for field in fields(VersionRecord)})


def _publish(transaction: Transaction, version: int, record: VersionRecord) -> None:
    current = functions.lock_function(transaction, _ARN)
    assert current is not None
    function_versions.insert_version(transaction, current, version, record)


def _qualifiers(stores: Stores) -> Qualifiers:
    with stores.state.read() as connection:
        return function_versions.load_qualifiers(connection, _ARN)


def test_versions_and_aliases_come_back_as_stored_and_in_order(stores: Stores) -> None:
    _store(stores, _function(), _function("other"))
    with stores.state.write() as transaction:
        for version in range(1, 12):
            _publish(transaction, version, _version(revision_id=f"revision-{version}"))
        assert _touched(transaction) == _TOUCHED
        for alias in (
            AliasRecord("b", 11, "", "r"),
            AliasRecord("a", None, "what runs", "s"),
            AliasRecord("B", 2, "", "t"),
        ):
            assert function_versions.insert_alias(transaction, _ARN, alias)
        assert not function_versions.insert_alias(transaction, _ARN, AliasRecord("a", 1, "", "u"))

    found = _qualifiers(stores)
    assert list(found.versions) == list(range(1, 12))
    assert found.versions[7] == _version(revision_id="revision-7")
    assert list(found.aliases.values()) == [
        AliasRecord("B", 2, "", "t"), AliasRecord("a", None, "what runs", "s"), AliasRecord("b", 11, "", "r")
    ]  # fmt: skip
    assert (found.number("7"), found.number("07"), found.number("12"), found.number("a")) == (7, None, None, None)
    with stores.state.read() as connection:
        assert function_versions.load_qualifiers(connection, PLACE.function_arn("other")) == Qualifiers({}, {})
        function = functions.load_function(connection, _ARN)
    assert function is not None
    assert (function.last_version, function.published_version) == (11, 11)
    assert found.versions[7].of(function, 7) == replace(function, revision_id="revision-7", version=7)


def test_a_package_lives_as_long_as_a_version_has_it(stores: Stores) -> None:
    _store(stores, _function())
    with stores.state.write() as transaction:
        _publish(transaction, 1, _version())
        functions.store_package(transaction, _OTHER_SHA, b"new")
        functions.update_function(transaction, _function(), code_sha256=_OTHER_SHA, published_version=None)
        _publish(transaction, 2, _version(_OTHER_SHA))
    assert (_package(stores, _SHA), _package(stores, _OTHER_SHA)) == (b"zip", b"new")

    with stores.state.write() as transaction:
        current = functions.lock_function(transaction, _ARN)
        assert current is not None
        function_versions.delete_version(transaction, current, 1)
        assert (functions.FUNCTION_QUALIFIERS, _ARN) in _touched(transaction)
    assert (_package(stores, _SHA), _package(stores, _OTHER_SHA)) == (None, b"new")

    with stores.state.write() as transaction:
        current = functions.lock_function(transaction, _ARN)
        assert current is not None
        assert current.published_version == 2
        function_versions.delete_version(transaction, current, 2)
    with stores.state.read() as connection:
        function = functions.load_function(connection, _ARN)
    assert function is not None
    assert (function.last_version, function.published_version) == (2, None)
    with stores.state.write() as transaction:
        functions.delete_function(transaction, function)
    assert _package(stores, _OTHER_SHA) is None


def test_what_has_a_qualifier_goes_with_its_function_and_its_policy_with_it(stores: Stores) -> None:
    _store(stores, _function())
    with stores.state.write() as transaction:
        _publish(transaction, 1, _version())
        function_versions.insert_alias(transaction, _ARN, AliasRecord("live", 1, "", "r"))
        for qualifier in ("", "1", "live"):
            functions.put_statement(transaction, _ARN, qualifier, "s", "{}")
    with stores.state.write() as transaction:
        function_versions.update_alias(transaction, _ARN, "live", version=None, revision_id="next")
        function_versions.update_version(transaction, _ARN, 1, revision_id="next")
    assert _qualifiers(stores).aliases["live"] == AliasRecord("live", None, "", "next")
    assert _qualifiers(stores).versions[1] == _version(revision_id="next")

    with stores.state.write() as transaction:
        current = functions.lock_function(transaction, _ARN)
        assert current is not None
        function_versions.delete_alias(transaction, _ARN, "live")
        function_versions.delete_version(transaction, current, 1)
        assert set(functions.load_statements(transaction.connection, _ARN)) == {""}
        _publish(transaction, 2, _version())
        functions.delete_function(transaction, current)
    assert _qualifiers(stores) == Qualifiers({}, {})
    assert _package(stores, _SHA) is None


def test_the_vpcs_of_functions_and_of_their_versions_are_listed_in_their_account_and_region(stores: Stores) -> None:
    first, second = (
        AttachedVpc(SubnetIds=[subnet_id], SecurityGroupIds=["sg-1"], VpcId="vpc-1", Ipv6AllowedForDualStack=False)
        for subnet_id in ("subnet-1", "subnet-2")
    )
    elsewhere = replace(_function("elsewhere"), region="eu-west-1", vpc_config=second)
    _store(stores, replace(_function(), vpc_config=first), _function("plain"), elsewhere)
    with stores.state.write() as transaction:
        _publish(transaction, 1, replace(_version(), vpc_config=second))
        _publish(transaction, 2, _version())

    with stores.state.read() as connection:
        assert functions.list_attached_vpcs(connection, PLACE) == [first, second]
        function = functions.load_function(connection, _ARN)
    assert function is not None
    assert function.vpc_config == first
    assert _qualifiers(stores).versions[1].vpc_config == second
    with stores.state.write() as transaction:
        functions.delete_function(transaction, _function())
        assert functions.list_attached_vpcs(transaction.connection, PLACE) == []
