"""EC2's objects, on both databases."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

from keyturn.arn import Place
from keyturn.storage import network_objects
from keyturn.storage.database import Stores
from keyturn.storage.kept import KeptRows
from keyturn.storage.network_objects import NetworkObject

from .conftest import NOW, PLACE

_DEADLINE_SECONDS = 30
VPC = NetworkObject(
    account_id=PLACE.account_id,
    region=PLACE.region,
    kind="vpc",
    object_id="vpc-1",
    vpc_id="vpc-1",
    body={"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16", "Tags": [{"Key": "Name", "Value": "Größe"}]},
    created_at=NOW,
)
SUBNET = replace(VPC, kind="subnet", object_id="subnet-1", body={"SubnetId": "subnet-1", "MapPublicIpOnLaunch": False})
GATEWAY = replace(VPC, kind="internet-gateway", object_id="igw-1", vpc_id=None, body={"Attachments": []})
ELSEWHERE = Place(PLACE.partition, "eu-west-1", PLACE.account_id)


def _put(stores: Stores, *records: NetworkObject) -> None:
    with stores.state.write() as transaction:
        for record in records:
            network_objects.put_object(transaction, record)


def _ids(records: list[NetworkObject]) -> list[str]:
    return [record.object_id for record in records]


def test_an_object_comes_back_as_stored(stores: Stores) -> None:
    _put(stores, VPC, GATEWAY)

    with stores.state.read() as connection:
        assert network_objects.load_object(connection, PLACE, "vpc", "vpc-1") == VPC
        assert network_objects.load_object(connection, PLACE, "internet-gateway", "igw-1") == GATEWAY
        assert network_objects.load_object(connection, PLACE, "subnet", "vpc-1") is None
        assert network_objects.load_object(connection, ELSEWHERE, "vpc", "vpc-1") is None


def test_objects_are_listed_oldest_first_by_kind_and_by_vpc(stores: Stores) -> None:
    older = replace(SUBNET, object_id="subnet-2", created_at=NOW - timedelta(seconds=1))
    other = replace(SUBNET, object_id="subnet-3", vpc_id="vpc-2")
    _put(stores, replace(VPC, created_at=NOW + timedelta(seconds=1)), SUBNET, older, other, GATEWAY)

    with stores.state.read() as connection:
        assert _ids(network_objects.list_objects(connection, PLACE, "subnet")) == ["subnet-2", "subnet-1", "subnet-3"]
        assert _ids(network_objects.list_objects_of_vpc(connection, PLACE, "vpc-1")) == [
            "subnet-2",
            "subnet-1",
            "vpc-1",
        ]
        assert network_objects.list_objects(connection, ELSEWHERE, "subnet") == []
        assert network_objects.list_objects_of_vpc(connection, ELSEWHERE, "vpc-1") == []


def test_an_object_is_replaced_and_keeps_its_moment(stores: Stores) -> None:
    _put(stores, GATEWAY)
    attached = replace(GATEWAY, vpc_id="vpc-1", body={"Attachments": [{"VpcId": "vpc-1"}]})
    _put(stores, replace(attached, created_at=NOW + timedelta(hours=1)))

    with stores.state.read() as connection:
        assert network_objects.list_objects(connection, PLACE, "internet-gateway") == [attached]


def test_a_deleted_object_is_gone_and_no_other(stores: Stores) -> None:
    _put(stores, VPC, SUBNET)
    with stores.state.write() as transaction:
        network_objects.delete_object(transaction, SUBNET)

    with stores.state.read() as connection:
        assert network_objects.list_objects_of_vpc(connection, PLACE, "vpc-1") == [VPC]


def test_what_is_kept_of_networks_is_dropped_with_any_change_of_them(stores: Stores) -> None:
    kept = KeptRows(stores.state)

    def ids() -> list[str]:
        kept.refresh()
        return kept.get(
            network_objects.NETWORK,
            network_objects.subject_of(PLACE),
            lambda connection: _ids(network_objects.list_objects_of_vpc(connection, PLACE, "vpc-1")),
        )

    assert ids() == []
    _put(stores, VPC)
    assert ids() == ["vpc-1"]
    with stores.state.write() as transaction:
        network_objects.delete_object(transaction, VPC)
    assert ids() == []


def test_who_changes_networks_waits_for_whoever_changes_them_already(stores: Stores) -> None:
    ended: list[str] = []

    def second() -> None:
        with stores.state.write() as transaction:
            network_objects.lock_networks(stores.state, transaction, PLACE)
            found = network_objects.list_objects(transaction.connection, PLACE, "vpc")
            ended.extend(_ids(found))

    thread = threading.Thread(target=second)
    with stores.state.write() as transaction:
        network_objects.lock_networks(stores.state, transaction, PLACE)
        assert network_objects.list_objects(transaction.connection, PLACE, "vpc") == []
        thread.start()
        network_objects.put_object(transaction, VPC)
    thread.join(_DEADLINE_SECONDS)

    assert ended == ["vpc-1"]
