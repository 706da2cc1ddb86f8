"""Versions and staging labels through boto3: what each write leaves behind, and what cannot be asked for."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from .conftest import ServerProcess
from .idle_function import function_that_never_runs
from .refusals import Refusal, refusal


class Secret:
    """A secret whose versions have short names in the order they were made: v0, v1, …"""

    def __init__(self, client: Any, **request: Any) -> None:
        self.client = client
        self.name = f"labels/{uuid.uuid4().hex}"
        made = client.create_secret(Name=self.name, **request)
        self.arn = made["ARN"]
        self.ids: list[str] = [made["VersionId"]] if "VersionId" in made else []

    def put(self, value: str, *stages: str) -> list[str]:
        request = {"VersionStages": list(stages)} if stages else {}
        made = self.client.put_secret_value(SecretId=self.name, SecretString=value, **request)
        self.ids.append(made["VersionId"])
        return list(made["VersionStages"])

    def move(self, label: str, to: int | None = None, away_from: int | None = None) -> None:
        self.client.update_secret_version_stage(SecretId=self.name, VersionStage=label, **self._move(to, away_from))

    def refused_move(self, label: str, to: int | None = None, away_from: int | None = None) -> Refusal:
        request = {"SecretId": self.name, "VersionStage": label, **self._move(to, away_from)}
        return refusal(self.client.update_secret_version_stage, **request)

    def _move(self, to: int | None, away_from: int | None) -> dict[str, str]:
        request = {}
        if to is not None:
            request["MoveToVersionId"] = self.ids[to]
        if away_from is not None:
            request["RemoveFromVersionId"] = self.ids[away_from]
        return request

    @property
    def labels(self) -> list[str]:
        """``v0: AWSPREVIOUS``, … as DescribeSecret shows them; GetSecretValue and ListSecretVersionIds must agree."""
        shown = self.client.describe_secret(SecretId=self.name).get("VersionIdsToStages", {})
        listed = self.client.list_secret_version_ids(SecretId=self.name)["Versions"]
        assert {version["VersionId"]: version["VersionStages"] for version in listed} == shown
        for version_id, stages in shown.items():
            for stage in stages:
                read = self.client.get_secret_value(SecretId=self.name, VersionStage=stage)
                assert (read["VersionId"], read["VersionStages"]) == (version_id, stages)
        return [
            f"v{number}: {' '.join(sorted(shown[version_id]))}"
            for number, version_id in enumerate(self.ids)
            if version_id in shown
        ]


@pytest.fixture
def secret(server: ServerProcess) -> Secret:
    return Secret(server.client("secretsmanager"), SecretString="zero")


def test_a_new_value_is_current_and_the_old_one_previous(secret: Secret) -> None:
    assert secret.put("one") == ["AWSCURRENT"]
    assert secret.labels == ["v0: AWSPREVIOUS", "v1: AWSCURRENT"]

    secret.put("two")
    assert secret.labels == ["v1: AWSPREVIOUS", "v2: AWSCURRENT"]


def test_the_first_value_is_current_whatever_was_asked(server: ServerProcess) -> None:
    secret = Secret(server.client("secretsmanager"))

    assert secret.put("zero", "MINE") == ["AWSCURRENT", "MINE"]
    assert secret.labels == ["v0: AWSCURRENT MINE"]


def test_a_value_with_another_label_leaves_the_current_one_alone(secret: Secret) -> None:
    assert secret.put("one", "AWSPENDING") == ["AWSPENDING"]

    assert secret.labels == ["v0: AWSCURRENT", "v1: AWSPENDING"]
    assert secret.client.get_secret_value(SecretId=secret.name)["SecretString"] == "zero"


def test_labels_of_ones_own_stay_where_they_are(secret: Secret) -> None:
    secret.put("one", "AWSCURRENT", "BLUE")
    secret.put("two", "AWSCURRENT", "AWSSOMETHING")
    secret.put("three")

    assert secret.labels == ["v1: BLUE", "v2: AWSPREVIOUS AWSSOMETHING", "v3: AWSCURRENT"]
    secret.put("four", "BLUE")
    assert secret.labels == ["v2: AWSPREVIOUS AWSSOMETHING", "v3: AWSCURRENT", "v4: BLUE"]


def test_the_same_value_again_is_a_version_of_its_own(secret: Secret) -> None:
    secret.put("zero")

    assert secret.labels == ["v0: AWSPREVIOUS", "v1: AWSCURRENT"]


def test_moving_current_to_the_pending_version_leaves_both_labels_there(secret: Secret) -> None:
    secret.put("one", "AWSPENDING")

    secret.move("AWSCURRENT", to=1, away_from=0)
    assert secret.labels == ["v0: AWSPREVIOUS", "v1: AWSCURRENT AWSPENDING"]

    # As rotation functions do that clean up behind themselves.
    secret.move("AWSPENDING", away_from=1)
    assert secret.labels == ["v0: AWSPREVIOUS", "v1: AWSCURRENT"]


def test_a_new_current_value_takes_pending_off_the_one_that_was(secret: Secret) -> None:
    secret.put("one", "AWSPENDING")
    secret.move("AWSCURRENT", to=1, away_from=0)

    secret.put("two")

    assert secret.labels == ["v1: AWSPREVIOUS", "v2: AWSCURRENT"]


def test_a_new_pending_value_takes_pending_off_the_current_one(secret: Secret) -> None:
    secret.put("one", "AWSPENDING")
    secret.move("AWSCURRENT", to=1, away_from=0)

    secret.put("two", "AWSPENDING")

    assert secret.labels == ["v0: AWSPREVIOUS", "v1: AWSCURRENT", "v2: AWSPENDING"]


def test_current_can_go_back_to_previous(secret: Secret) -> None:
    secret.put("one")

    secret.move("AWSCURRENT", to=0, away_from=1)

    assert secret.labels == ["v0: AWSCURRENT", "v1: AWSPREVIOUS"]
    assert secret.client.get_secret_value(SecretId=secret.name)["SecretString"] == "zero"


def test_a_version_without_labels_is_shown_only_to_those_who_ask(secret: Secret) -> None:
    secret.put("one", "MINE")
    secret.move("MINE", away_from=1)
    client = secret.client

    assert secret.labels == ["v0: AWSCURRENT"]
    listed = client.list_secret_version_ids(SecretId=secret.name, IncludeDeprecated=True)["Versions"]
    (deprecated,) = [version for version in listed if version["VersionId"] == secret.ids[1]]
    assert "VersionStages" not in deprecated
    assert deprecated["KmsKeyIds"] == ["DefaultEncryptionKey"]
    read = client.get_secret_value(SecretId=secret.name, VersionId=secret.ids[1])
    assert read["SecretString"] == "one"
    assert "VersionStages" not in read


def test_version_lists_have_pages(secret: Secret) -> None:
    for number in range(4):
        secret.put(str(number), f"LABEL{number}")
    client = secret.client

    pages: list[Sequence[Any]] = []
    request: dict[str, Any] = {"SecretId": secret.name, "MaxResults": 2}
    while True:
        answer = client.list_secret_version_ids(**request)
        pages.append([version["VersionId"] for version in answer["Versions"]])
        if "NextToken" not in answer:
            break
        request["NextToken"] = answer["NextToken"]

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [version_id for page in pages for version_id in page] == secret.ids
    other = Secret(client, SecretString="a")
    for token in ("AAAA", request["NextToken"]):
        refused = refusal(client.list_secret_version_ids, SecretId=other.name, NextToken=token)
        assert refused.code == "InvalidNextTokenException"


def test_moves_that_cannot_be(secret: Secret) -> None:
    secret.put("one")
    before = secret.labels
    invalid = "InvalidParameterException"

    assert secret.refused_move("AWSCURRENT", to=0) == Refusal(
        invalid,
        "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version"
        f" {secret.ids[1]}, so you must explicitly reference that version in RemoveFromVersionId.",
        400,
    )
    assert secret.refused_move("AWSCURRENT", to=0, away_from=0).code == invalid
    assert secret.refused_move("AWSCURRENT", away_from=1) == Refusal(
        invalid,
        "You can only move staging label AWSCURRENT to a different secret version. It can’t be completely removed.",
        400,
    )
    assert secret.refused_move("NOBODYS", away_from=1).code == invalid
    assert secret.refused_move("MINE").code == invalid
    secret.ids.append(str(uuid.uuid4()))
    assert secret.refused_move("MINE", to=2).code == "ResourceNotFoundException"
    secret.ids.pop()
    assert secret.labels == before


def test_reads_that_do_not_fit_together(secret: Secret) -> None:
    secret.put("one")
    read, name = secret.client.get_secret_value, secret.name
    unknown = str(uuid.uuid4())
    missing = "Secrets Manager can't find the specified secret value for"

    assert read(SecretId=name, VersionId=secret.ids[0], VersionStage="AWSPREVIOUS")["SecretString"] == "zero"
    assert refusal(read, SecretId=name, VersionId=secret.ids[0], VersionStage="AWSCURRENT") == Refusal(
        "InvalidRequestException",
        "You provided a VersionStage that is not associated to the provided VersionId.",
        400,
    )
    assert refusal(read, SecretId=name, VersionStage="AWSPENDING") == Refusal(
        "ResourceNotFoundException", f"{missing} staging label: AWSPENDING", 400
    )
    assert refusal(read, SecretId=name, VersionId=unknown) == Refusal(
        "ResourceNotFoundException", f"{missing} VersionId: {unknown}", 400
    )
    assert refusal(read, SecretId=name, VersionId=unknown, VersionStage="AWSCURRENT").code in (
        "ResourceNotFoundException",
        "InvalidRequestException",
    )


def test_twenty_labels_are_enough(secret: Secret) -> None:
    # AWSCURRENT and AWSPREVIOUS count.
    secret.put("one")
    secret.put("two", *(f"LABEL{number}" for number in range(18)))

    refused = refusal(
        secret.client.put_secret_value, SecretId=secret.name, SecretString="three", VersionStages=["ONE-MORE"]
    )

    assert refused.code == "LimitExceededException"
    assert len(secret.client.describe_secret(SecretId=secret.name)["VersionIdsToStages"]) == 3


def test_an_update_makes_a_current_version(secret: Secret) -> None:
    secret.put("one", "AWSPENDING")

    secret.ids.append(secret.client.update_secret(SecretId=secret.name, SecretBinary=b"two")["VersionId"])

    assert secret.labels == ["v0: AWSPREVIOUS", "v2: AWSCURRENT"]


def test_a_token_may_be_sent_again_with_the_same_value_only(secret: Secret) -> None:
    token = str(uuid.uuid4())
    put = {"SecretId": secret.name, "SecretString": "one", "ClientRequestToken": token}
    taken = Refusal(
        "ResourceExistsException",
        f"You can't use ClientRequestToken {token} because that value is already in use for a version of secret"
        f" {secret.arn}.",
        400,
    )
    client = secret.client

    first = client.put_secret_value(**put)
    changed_at = client.describe_secret(SecretId=secret.name)["LastChangedDate"]
    second = client.put_secret_value(**put)

    assert (first["VersionId"], first["VersionStages"]) == (second["VersionId"], second["VersionStages"])
    assert client.describe_secret(SecretId=secret.name)["LastChangedDate"] == changed_at
    assert refusal(client.put_secret_value, **{**put, "SecretString": "two"}) == taken
    assert refusal(client.update_secret, **{**put, "SecretString": "two"}) == taken
    del put["SecretString"]
    assert refusal(client.put_secret_value, **put, SecretBinary=b"one") == taken
    secret.ids.append(token)
    assert secret.labels == ["v0: AWSPREVIOUS", "v1: AWSCURRENT"]


def test_a_repeated_put_moves_no_label_and_names_those_of_its_version_now(secret: Secret) -> None:
    token = str(uuid.uuid4())
    put = {"SecretId": secret.name, "SecretString": "one", "ClientRequestToken": token}
    secret.client.put_secret_value(**put)
    secret.ids.append(token)
    secret.put("two")

    again = secret.client.put_secret_value(**put, VersionStages=["AWSCURRENT", "MINE"])
    updated = secret.client.update_secret(**put)

    assert again["VersionStages"] == ["AWSPREVIOUS"]
    assert updated["VersionId"] == token
    secret.put("three")
    assert secret.labels == ["v2: AWSPREVIOUS", "v3: AWSCURRENT"]
    assert "VersionStages" not in secret.client.put_secret_value(**put)


def test_a_secret_can_be_created_twice_with_one_token_and_one_value_only(server: ServerProcess) -> None:
    client, name, token = server.client("secretsmanager"), f"labels/{uuid.uuid4().hex}", str(uuid.uuid4())
    create = {"Name": name, "SecretString": "a", "ClientRequestToken": token}
    exists = f"The operation failed because the secret {name} already exists."

    first = client.create_secret(**create)
    second = client.create_secret(**create)

    assert _members(second) == _members(first) == {"ARN": first["ARN"], "Name": name, "VersionId": token}
    taken = refusal(client.create_secret, **{**create, "SecretString": "b"})
    assert taken.code == "ResourceExistsException"
    assert taken.message.startswith(f"You can't use ClientRequestToken {token} because that value is already in use")
    del create["SecretString"]
    assert refusal(client.create_secret, **create, SecretBinary=b"a") == taken
    assert refusal(client.create_secret, Name=name, SecretString="a") == Refusal("ResourceExistsException", exists, 400)


def test_a_secret_without_a_value_can_be_created_twice_with_one_token_too(server: ServerProcess) -> None:
    client, name, token = server.client("secretsmanager"), f"labels/{uuid.uuid4().hex}", str(uuid.uuid4())

    first = client.create_secret(Name=name, ClientRequestToken=token)
    second = client.create_secret(Name=name, ClientRequestToken=token)

    assert _members(second) == _members(first) == {"ARN": first["ARN"], "Name": name}
    for request in ({}, {"ClientRequestToken": token, "SecretString": "a"}):
        refused = refusal(client.create_secret, Name=name, **request)
        assert refused.code == "ResourceExistsException"
        assert refused.message == f"The operation failed because the secret {name} already exists."
    assert "VersionIdsToStages" not in client.describe_secret(SecretId=name)
    assert client.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"] == []
    assert refusal(client.get_secret_value, SecretId=name, VersionId=token).code == "ResourceNotFoundException"
    move = {"SecretId": name, "VersionStage": "MINE", "MoveToVersionId": token}
    assert refusal(client.update_secret_version_stage, **move).code == "ResourceNotFoundException"
    # The token is free for the first value.
    put = client.put_secret_value(SecretId=name, SecretString="a", ClientRequestToken=token)
    assert put["VersionStages"] == ["AWSCURRENT"]


def test_a_deprecated_version_gets_a_label_back(secret: Secret) -> None:
    secret.put("one")
    secret.put("two")
    assert secret.labels == ["v1: AWSPREVIOUS", "v2: AWSCURRENT"]

    secret.move("MINE", to=0)
    assert secret.labels == ["v0: MINE", "v1: AWSPREVIOUS", "v2: AWSCURRENT"]
    secret.move("AWSCURRENT", to=0, away_from=2)
    assert secret.labels == ["v0: AWSCURRENT MINE", "v2: AWSPREVIOUS"]


def test_a_secret_full_of_labels_can_still_be_changed(server: ServerProcess) -> None:
    secret = Secret(server.client("secretsmanager"))
    secret.put("zero", *(f"LABEL{number:02}" for number in range(19)))

    secret.put("one")

    assert secret.labels[1] == "v1: AWSCURRENT"
    assert "AWSPREVIOUS" in secret.labels[0]
    refused = secret.refused_move("ONE-MORE", to=1)
    assert refused == Refusal("LimitExceededException", "A secret can't have more than 20 staging labels.", 400)


class Rotated(Secret):
    """A secret whose rotation waits for a function that never runs; the version it makes is the newest."""

    def __init__(self, client: Any, function_arn: str) -> None:
        super().__init__(client, SecretString="zero")
        self.function_arn = function_arn
        self.rotate()

    def rotate(self) -> None:
        request = {"SecretId": self.name, "RotationLambdaARN": self.function_arn}
        self.ids.append(self.client.rotate_secret(**request)["VersionId"])

    @property
    def stages(self) -> dict[int, list[str]]:
        """What DescribeSecret shows, by number."""
        shown = self.client.describe_secret(SecretId=self.name)["VersionIdsToStages"]
        return {self.ids.index(version_id): labels for version_id, labels in shown.items()}


@pytest.fixture(scope="module")
def function_arn(server: ServerProcess) -> str:
    return function_that_never_runs(server)


@pytest.fixture
def rotated(server: ServerProcess, function_arn: str) -> Rotated:
    return Rotated(server.client("secretsmanager"), function_arn)


def test_a_version_that_waits_for_its_value_is_described_and_nothing_else(rotated: Rotated) -> None:
    client, pending = rotated.client, rotated.ids[1]

    assert rotated.stages == {0: ["AWSCURRENT"], 1: ["AWSPENDING"]}
    for deprecated in (False, True):
        listed = client.list_secret_version_ids(SecretId=rotated.name, IncludeDeprecated=deprecated)["Versions"]
        assert [version["VersionId"] for version in listed] == rotated.ids[:1]
    by_id = f"Secrets Manager can't find the specified secret value for VersionId: {pending}"
    by_label = "Secrets Manager can't find the specified secret value for staging label: AWSPENDING"
    for request, message in (
        ({"VersionId": pending}, by_id),
        ({"VersionId": pending, "VersionStage": "AWSPENDING"}, by_id),
        ({"VersionStage": "AWSPENDING"}, by_label),
    ):
        refused = refusal(client.get_secret_value, SecretId=rotated.name, **request)
        assert refused == Refusal("ResourceNotFoundException", message, 400)
    assert rotated.refused_move("AWSCURRENT", to=1, away_from=0) == Refusal("ResourceNotFoundException", by_id, 400)

    put = client.put_secret_value(
        SecretId=rotated.name, SecretString="one", ClientRequestToken=pending, VersionStages=["AWSPENDING"]
    )
    assert put["VersionStages"] == ["AWSPENDING"]
    assert rotated.labels == ["v0: AWSCURRENT", "v1: AWSPENDING"]


def test_a_cancelled_rotation_is_in_the_way_until_awspending_is_taken_off(rotated: Rotated) -> None:
    client = rotated.client
    assert client.cancel_rotate_secret(SecretId=rotated.name)["VersionId"] == rotated.ids[1]
    assert rotated.stages == {0: ["AWSCURRENT"], 1: ["AWSPENDING"]}
    unfinished = "A previous rotation isn't complete. That rotation will be reattempted."
    assert refusal(client.rotate_secret, SecretId=rotated.name).message == unfinished

    rotated.move("AWSPENDING", away_from=1)

    assert rotated.stages == {0: ["AWSCURRENT"]}
    assert rotated.refused_move("MINE", to=1).code == "ResourceNotFoundException"
    rotated.rotate()
    assert rotated.stages == {0: ["AWSCURRENT"], 2: ["AWSPENDING"]}


@pytest.mark.parametrize("write", ["put_secret_value", "update_secret"])
def test_a_value_written_by_hand_takes_the_place_of_one_that_a_rotation_waits_for(rotated: Rotated, write: str) -> None:
    made = getattr(rotated.client, write)(SecretId=rotated.name, SecretString="by hand")
    rotated.ids.append(made["VersionId"])

    assert rotated.stages == {0: ["AWSPREVIOUS"], 2: ["AWSCURRENT"]}
    rotated.rotate()
    assert rotated.stages == {0: ["AWSPREVIOUS"], 2: ["AWSCURRENT"], 3: ["AWSPENDING"]}


def test_a_rotation_begun_twice_with_one_token_is_one(rotated: Rotated) -> None:
    token = rotated.ids[1]

    again = rotated.client.rotate_secret(SecretId=rotated.name, ClientRequestToken=token)

    assert again["VersionId"] == token
    assert rotated.stages == {0: ["AWSCURRENT"], 1: ["AWSPENDING"]}
    rotated.move("AWSPENDING", away_from=1)
    refused = refusal(rotated.client.rotate_secret, SecretId=rotated.name, ClientRequestToken=rotated.ids[0])
    assert refused.code == "InvalidRequestException"
    assert refused.message.startswith(f"You can't use ClientRequestToken {rotated.ids[0]} because")


def _members(response: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in response.items() if name != "ResponseMetadata"}
