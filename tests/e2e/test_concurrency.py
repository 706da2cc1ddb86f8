"""Sixteen clients on one secret at once: nothing is lost, nothing is torn, nothing old is read.

On SQLite, on PostgreSQL, and on PostgreSQL with two servers, where half of the clients talk to the one and half to the
other.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from contextlib import suppress
from functools import partial
from itertools import cycle, islice
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import ServerProcess
from .crowd import CLIENTS, LABEL_OF_THEIR_OWN, Client, Event, at_once, stale_reads
from .idle_function import function_that_never_runs

STEPS = 25


@pytest.fixture
def clients(servers: list[ServerProcess]) -> list[Any]:
    """One boto3 client for each of the crowd, each of the next server."""
    made = [server.client("secretsmanager", max_pool_connections=CLIENTS) for server in servers]
    return list(islice(cycle(made), CLIENTS))


def test_nothing_is_lost_torn_or_old(clients: list[Any], servers: list[ServerProcess]) -> None:
    name, first_id = f"crowd/{uuid.uuid4().hex}", str(uuid.uuid4())
    began_at = time.monotonic()
    api = clients[0]
    api.create_secret(Name=name, ClientRequestToken=first_id, SecretString=f"{first_id} at first")
    first = Event(first_id, began_at, time.monotonic())
    crowd = [Client(number, client, name) for number, client in enumerate(clients)]

    at_once([partial(client.play, STEPS) for client in crowd])

    # Everything that was acknowledged is there, and nothing else.
    written = {version_id: value for client in crowd for version_id, value in client.written.items()}
    versions = _all_versions(api, name)
    assert {version["VersionId"] for version in versions} == {first_id, *written}
    for version_id, value in written.items():
        assert api.get_secret_value(SecretId=name, VersionId=version_id)["SecretString"] == value
    described = api.describe_secret(SecretId=name)
    stages = described["VersionIdsToStages"]
    held = {label: version_id for version_id, labels in stages.items() for label in labels}
    assert sorted(label for labels in stages.values() for label in labels) == sorted(held)
    own = {client.label: client.label_at for client in crowd if client.label_at}
    assert {label: holder for label, holder in held.items() if label.startswith(LABEL_OF_THEIR_OWN)} == own
    assert held.keys() - own.keys() == {"AWSCURRENT", "AWSPREVIOUS"}
    tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])}
    assert tags == {key: value for client in crowd for key, value in client.tags.items()}
    assert described["Description"] in {client.described for client in crowd}
    # What is current now is no exception from what was current before.
    for client in crowd:
        client.read()
    assert stale_reads(crowd, first) == []
    # The crowd did get in its own way.
    done = sum((client.done for client in crowd), Counter())
    assert done["moves that came too late"] > 0, done
    assert done["move"] > done["moves that came too late"], done


def _code(answer: Any) -> str:
    return str(answer.get("Code", "done"))


def _name() -> str:
    return f"race/{uuid.uuid4().hex}"


def test_one_of_many_makes_a_secret_of_a_name(clients: list[Any]) -> None:
    name = _name()

    answers = at_once([partial(api.create_secret, Name=name, SecretString=str(n)) for n, api in enumerate(clients)])

    assert Counter(map(_code, answers)) == {"done": 1, "ResourceExistsException": CLIENTS - 1}
    winner = next(number for number, answer in enumerate(answers) if "ARN" in answer)
    assert clients[0].get_secret_value(SecretId=name)["SecretString"] == str(winner)


@pytest.mark.parametrize("value", [{"SecretString": "the same"}, {}])
def test_a_secret_that_is_made_many_times_with_one_token_is_made_once(
    clients: list[Any], value: dict[str, str]
) -> None:
    name, token = _name(), str(uuid.uuid4())

    answers = at_once([partial(api.create_secret, Name=name, ClientRequestToken=token, **value) for api in clients])

    assert {_code(answer) for answer in answers} == {"done"}
    assert len({answer["ARN"] for answer in answers}) == 1
    assert {answer.get("VersionId") for answer in answers} == {token if value else None}


def test_a_value_that_is_put_many_times_with_one_token_is_put_once(clients: list[Any]) -> None:
    name, token = _name(), str(uuid.uuid4())
    first_id = clients[0].create_secret(Name=name, SecretString="first")["VersionId"]
    put = {"SecretId": name, "ClientRequestToken": token, "SecretString": "second"}

    answers = at_once([partial(api.put_secret_value, **put) for api in clients])

    assert [answer.get("VersionStages") for answer in answers] == [["AWSCURRENT"]] * CLIENTS
    stages = clients[0].describe_secret(SecretId=name)["VersionIdsToStages"]
    assert stages == {first_id: ["AWSPREVIOUS"], token: ["AWSCURRENT"]}


def test_one_of_many_values_gets_a_token(clients: list[Any]) -> None:
    name, token = _name(), str(uuid.uuid4())
    clients[0].create_secret(Name=name, SecretString="first")
    put = {"SecretId": name, "ClientRequestToken": token}

    answers = at_once([partial(api.put_secret_value, SecretString=str(n), **put) for n, api in enumerate(clients)])

    assert Counter(map(_code, answers)) == {"done": 1, "ResourceExistsException": CLIENTS - 1}
    winner = next(number for number, answer in enumerate(answers) if "ARN" in answer)
    assert clients[0].get_secret_value(SecretId=name, VersionId=token)["SecretString"] == str(winner)


def test_one_of_many_moves_a_label_that_all_have_seen_in_one_place(clients: list[Any]) -> None:
    name = _name()
    first_id = clients[0].create_secret(Name=name, SecretString="first")["VersionId"]
    mine = [
        api.put_secret_value(SecretId=name, SecretString=str(n), VersionStages=[f"CLIENT{n}"])["VersionId"]
        for n, api in enumerate(clients)
    ]
    move = {"SecretId": name, "VersionStage": "AWSCURRENT", "RemoveFromVersionId": first_id}

    answers = at_once(
        [
            partial(api.update_secret_version_stage, MoveToVersionId=to, **move)
            for api, to in zip(clients, mine, strict=True)
        ]
    )

    assert Counter(map(_code, answers)) == {"done": 1, "InvalidParameterException": CLIENTS - 1}
    winner = next(number for number, answer in enumerate(answers) if "ARN" in answer)
    assert clients[0].get_secret_value(SecretId=name)["VersionId"] == mine[winner]


@pytest.fixture(scope="module")
def function_arn(servers: list[ServerProcess]) -> str:
    return function_that_never_runs(servers[0])


def test_one_of_many_begins_a_rotation(clients: list[Any], function_arn: str) -> None:
    name = _name()
    first_id = clients[0].create_secret(Name=name, SecretString="first")["VersionId"]
    rotate = {"SecretId": name, "RotationLambdaARN": function_arn}

    answers = at_once([partial(api.rotate_secret, **rotate) for api in clients])

    assert Counter(map(_code, answers)) == {"done": 1, "InvalidRequestException": CLIENTS - 1}
    (token,) = [answer["VersionId"] for answer in answers if "VersionId" in answer]
    stages = clients[0].describe_secret(SecretId=name)["VersionIdsToStages"]
    assert stages == {first_id: ["AWSCURRENT"], token: ["AWSPENDING"]}


def test_rotations_that_are_begun_abandoned_and_cancelled_all_at_once_do_not_wait_for_each_other(
    clients: list[Any], servers: list[ServerProcess], function_arn: str
) -> None:
    name = _name()
    clients[0].create_secret(Name=name, SecretString="first")
    clients[0].rotate_secret(SecretId=name, RotationLambdaARN=function_arn)

    def play(api: Any) -> Counter[str]:
        answers = []
        for _ in range(5):
            for call, request in (
                (api.rotate_secret, {}),
                (api.put_secret_value, {"SecretString": "another"}),
                (api.cancel_rotate_secret, {}),
            ):
                try:
                    call(SecretId=name, **request)
                except ClientError as error:
                    said: Any = error.response["Error"]
                    answers.append(f"{said['Code']}: {said['Message']}")
        return Counter(answers)

    refusals: Counter[str] = sum(at_once([partial(play, api) for api in clients]), Counter())

    unfinished = "InvalidRequestException: A previous rotation isn't complete. That rotation will be reattempted."
    assert set(refusals) <= {unfinished}
    for server in servers:
        assert "deadlock" not in server.log()
        assert "left where it stood" not in server.log()


def test_the_crowds_witness_knows_what_is_stale() -> None:
    first = Event("v0", 0, 1)
    client = Client(0, None, "")
    client.turns = [Event("v1", 2, 5), Event("v2", 6, 9)]

    def stale(*reads: Event) -> list[str]:
        client.reads = list(reads)
        return [version_id for version_id, _ in stale_reads([client], first)]

    # While a write is under way the old value and the new one are right.
    assert stale(Event("v0", 3, 4), Event("v1", 3, 4), Event("v1", 7, 8), Event("v2", 7, 8)) == []
    assert stale(Event("v0", 5.5, 5.6)) == ["v0"]
    assert stale(Event("v1", 9.5, 9.6)) == ["v1"]
    # Whoever has seen the new value does not see the old one again, though the write is still under way.
    assert stale(Event("v1", 2.5, 3), Event("v0", 4, 5)) == ["v0"]
    assert stale(Event("v9", 9.5, 9.6)) == ["v9"]
    # A version that is made current again is right again.
    client.turns.append(Event("v1", 10, 11))
    assert stale(Event("v1", 12, 13)) == []


def _all_versions(api: Any, name: str) -> list[Any]:
    versions: list[Any] = []
    request: dict[str, Any] = {"SecretId": name, "IncludeDeprecated": True}
    while True:
        answer = api.list_secret_version_ids(**request)
        versions += answer["Versions"]
        if "NextToken" not in answer:
            return versions
        request["NextToken"] = answer["NextToken"]


def _as_held(api: Any, name: str) -> dict[str, Any]:
    """What a secret and its replicas are to have in common."""
    described = api.describe_secret(SecretId=name)
    values = {
        version["VersionId"]: api.get_secret_value(SecretId=name, VersionId=version["VersionId"])["SecretString"]
        for version in _all_versions(api, name)
    }
    members = ("VersionIdsToStages", "Description", "LastChangedDate")
    return {"values": values, "tags": described.get("Tags") or [], **{key: described.get(key) for key in members}}


def test_a_replica_is_what_its_primary_is_after_a_crowd(clients: list[Any], servers: list[ServerProcess]) -> None:
    name, first_id = f"crowd/{uuid.uuid4().hex}", str(uuid.uuid4())
    here, there = clients[0], servers[-1].client("secretsmanager", region="eu-west-1")
    first = {"ClientRequestToken": first_id, "SecretString": f"{first_id} at first"}
    here.create_secret(Name=name, **first, AddReplicaRegions=[{"Region": "eu-west-1"}])
    crowd = [Client(number, client, name) for number, client in enumerate(clients)]

    at_once([partial(client.play, STEPS // 5) for client in crowd])

    assert _as_held(there, name) == _as_held(here, name)


def test_replicas_that_come_and_go_among_writers_hold_what_their_primary_holds(
    clients: list[Any], servers: list[ServerProcess]
) -> None:
    name, regions = _name(), ["eu-west-1", "ap-southeast-2"]
    here = clients[0]
    abroad = {region: servers[-1].client("secretsmanager", region=region) for region in regions}
    here.create_secret(Name=name, SecretString="at first")

    def write(number: int) -> None:
        for step in range(6):
            clients[number].put_secret_value(SecretId=name, SecretString=f"{number} {step}")

    def replicate(number: int) -> None:
        region = regions[number % 2]
        for _ in range(4):
            clients[number].replicate_secret_to_regions(
                SecretId=name, AddReplicaRegions=[{"Region": region}], ForceOverwriteReplicaSecret=True
            )
            clients[number].remove_regions_from_replication(SecretId=name, RemoveReplicaRegions=[region])

    def promote(number: int) -> None:
        for _ in range(6):
            with suppress(ClientError):  # There may be no replica at the moment.
                abroad[regions[number % 2]].stop_replication_to_replica(SecretId=name)

    def occupy(number: int) -> None:
        for _ in range(6):
            with suppress(ClientError):  # There may be a replica at the moment.
                abroad[regions[number % 2]].create_secret(Name=name, SecretString="occupied")

    work = [write, write, replicate, replicate, promote, occupy]
    answers = at_once([partial(work[number % len(work)], number) for number in range(12)])

    assert [answer for answer in answers if answer] == []
    wanted = [{"Region": region} for region in regions]
    here.replicate_secret_to_regions(SecretId=name, AddReplicaRegions=wanted, ForceOverwriteReplicaSecret=True)
    statuses = here.describe_secret(SecretId=name)["ReplicationStatus"]
    assert {entry["Region"]: entry["Status"] for entry in statuses} == dict.fromkeys(regions, "InSync")
    for api in abroad.values():
        assert _as_held(api, name) == _as_held(here, name)
