"""How each error of Secrets Manager's model is reached: one line for an operation and an error.

A scenario makes what it needs and then the call that is refused. What holds for every operation that takes a SecretId
(a secret that is not there, one that is scheduled for deletion, a page token that is not ours) is in :func:`general`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from .violations import MODEL, SHAPES, request_of
from .world import World

Scenario = Callable[[World], Any]

# How many secrets a region of the server may have on which these are tried.
QUOTA_OF_SECRETS = 100

TOKEN = "0b5dcc8e-3c1c-4c5a-9d8e-2f6a4b1c7d90"
_TWO_VALUES = {"SecretString": "a", "SecretBinary": b"b"}
_TWICE = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
_REPLICATED = {"AddReplicaRegions": [{"Region": "eu-central-1"}]}
_PUBLIC = {"Effect": "Allow", "Principal": "*", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
_PUBLIC_POLICY = json.dumps({"Version": "2012-10-17", "Statement": [_PUBLIC]})
_TRAILING_COMMA = '{"Version": "2012-10-17", "Statement": [],}'

# What these do with a secret that is scheduled for deletion succeeds.
_WORKS_ON_DEAD = frozenset({"DescribeSecret", "ListSecretVersionIds", "RestoreSecret"})


def general(operation: str, error: str) -> Scenario | None:
    """A scenario that fits every operation with the members it needs; None if this one lacks them."""
    members = SHAPES[MODEL["operations"][operation]["input"]["shape"]]["members"]
    request = request_of(operation)
    if "ResourcePolicy" in request:
        request["ResourcePolicy"] = _PUBLIC_POLICY
    if error == "ResourceNotFoundException" and "SecretId" in members:
        return lambda world: world.call(operation, **{**request, "SecretId": "no/such"})
    if error == "InvalidRequestException" and "SecretId" in members and operation not in _WORKS_ON_DEAD:
        return lambda world: world.call(operation, **{**request, "SecretId": world.dead_secret()})
    if error == "InvalidNextTokenException":
        return lambda world: world.call(operation, **_with_secret(world, request), NextToken="not-a-token-of-ours")
    return None


def _with_secret(world: World, request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "SecretId": world.secret()} if "SecretId" in request else request


def _full_of_labels(world: World) -> str:
    """A secret whose versions have all the labels they can have, AWSCURRENT among them and AWSPREVIOUS not."""
    secret = world.secret()
    labels = [f"LABEL{number}" for number in range(19)]
    world.client.put_secret_value(SecretId=secret, SecretString="value", VersionStages=labels)
    return secret


def _sealed(world: World, **members: Any) -> str:
    """A secret whose customer managed key was disabled after it was made."""
    key = world.key()
    secret = world.secret(KmsKeyId=key, **members)
    world.server.client("kms").disable_key(KeyId=key)
    return secret


def _one_secret_too_many(world: World) -> None:
    crowded = world.server.client("secretsmanager", region="eu-west-1")
    for number in range(QUOTA_OF_SECRETS + 1):
        crowded.create_secret(Name=f"secret-{number}")


def _put_rule(world: World, **rules: Any) -> Any:
    return world.client.rotate_secret(
        SecretId=world.secret(), RotationLambdaARN=world.working_function, RotationRules=rules
    )


def _one_account_too_many(world: World) -> Any:
    primary = world.primary_of_account_replica()
    theirs = world.account_replica(primary)
    return world.client.associate_cross_account_replica(SecretId=primary, CrossAccountReplicaARN=theirs)


SCENARIOS: Mapping[tuple[str, str], Scenario] = {
    ("AssociateCrossAccountReplica", "InvalidParameterException"): lambda w: w.client.associate_cross_account_replica(
        SecretId=(arn := w.arn(w.secret())), CrossAccountReplicaARN=arn
    ),
    ("AssociateCrossAccountReplica", "LimitExceededException"): _one_account_too_many,
    ("BatchGetSecretValue", "InvalidNextTokenException"): lambda w: w.call(
        "BatchGetSecretValue", Filters=[{"Key": "name", "Values": ["a"]}], NextToken="not-a-token-of-ours"
    ),
    ("BatchGetSecretValue", "InvalidParameterException"): lambda w: w.call("BatchGetSecretValue"),
    ("CancelRotateSecret", "InvalidRequestException"): lambda w: w.client.cancel_rotate_secret(SecretId=w.secret()),
    ("CreateSecret", "DecryptionFailure"): lambda w: w.client.create_secret(
        Name=_sealed(w, ClientRequestToken=TOKEN), SecretString="value", ClientRequestToken=TOKEN
    ),
    ("CreateSecret", "EncryptionFailure"): lambda w: w.secret(KmsKeyId=w.key(enabled=False)),
    ("CreateSecret", "InvalidParameterException"): lambda w: w.secret(Tags=_TWICE),
    ("CreateSecret", "InvalidRequestException"): lambda w: w.client.create_secret(Name=w.dead_secret()),
    ("CreateSecret", "LimitExceededException"): _one_secret_too_many,
    ("CreateSecret", "ResourceExistsException"): lambda w: w.client.create_secret(Name=w.secret()),
    ("DeleteResourcePolicy", "InvalidParameterException"): lambda w: w.call(
        "DeleteResourcePolicy", SecretId=w.secret(), PolicyName="other"
    ),
    ("DeleteSecret", "InvalidParameterException"): lambda w: w.client.delete_secret(
        SecretId=w.secret(), RecoveryWindowInDays=6
    ),
    ("DisassociateCrossAccountReplica", "InvalidParameterException"): lambda w: (
        w.client.disassociate_cross_account_replica(SecretId=(arn := w.arn(w.secret())), CrossAccountReplicaARN=arn)
    ),
    ("GetRandomPassword", "InvalidParameterException"): lambda w: w.client.get_random_password(PasswordLength=3),
    ("GetSecretValue", "DecryptionFailure"): lambda w: w.client.get_secret_value(SecretId=_sealed(w)),
    ("ListSecrets", "InvalidParameterException"): lambda w: w.client.list_secrets(Filters=[{"Values": ["a"]}]),
    ("PutResourcePolicy", "InvalidParameterException"): lambda w: w.call(
        "PutResourcePolicy", SecretId=w.secret(), ResourcePolicy=_PUBLIC_POLICY, PolicyName="other"
    ),
    ("PutResourcePolicy", "MalformedPolicyDocumentException"): lambda w: w.call(
        "PutResourcePolicy", SecretId=w.secret(), ResourcePolicy=_TRAILING_COMMA
    ),
    ("PutResourcePolicy", "PublicPolicyException"): lambda w: w.call(
        "PutResourcePolicy", SecretId=w.secret(), ResourcePolicy=_PUBLIC_POLICY, BlockPublicPolicy=True
    ),
    ("PutSecretValue", "DecryptionFailure"): lambda w: w.client.put_secret_value(
        SecretId=_sealed(w, ClientRequestToken=TOKEN), SecretString="value", ClientRequestToken=TOKEN
    ),
    ("PutSecretValue", "EncryptionFailure"): lambda w: w.client.put_secret_value(SecretId=_sealed(w), SecretString="a"),
    ("PutSecretValue", "InvalidParameterException"): lambda w: w.client.put_secret_value(
        SecretId=w.secret(), **_TWO_VALUES
    ),
    ("PutSecretValue", "InvalidRequestException"): lambda w: w.client.put_secret_value(SecretId=w.secret()),
    ("PutSecretValue", "LimitExceededException"): lambda w: w.client.put_secret_value(
        SecretId=_full_of_labels(w), SecretString="a", VersionStages=["ONE-MORE"]
    ),
    ("PutSecretValue", "ResourceExistsException"): lambda w: w.client.put_secret_value(
        SecretId=w.secret(ClientRequestToken=TOKEN), SecretString="other", ClientRequestToken=TOKEN
    ),
    ("PutSecretValue", "ResourceNotFoundException"): lambda w: w.client.put_secret_value(
        SecretId="no/such", SecretString="a"
    ),
    ("RemoveRegionsFromReplication", "InvalidParameterException"): lambda w: (
        w.elsewhere.remove_regions_from_replication(
            SecretId=w.secret(**_REPLICATED), RemoveReplicaRegions=["eu-west-1"]
        )
    ),
    ("ReplicateSecretToRegions", "InvalidParameterException"): lambda w: w.client.replicate_secret_to_regions(
        SecretId=w.secret(), AddReplicaRegions=[{"Region": w.server.region}]
    ),
    ("RestoreSecret", "InvalidParameterException"): lambda w: w.elsewhere.restore_secret(
        SecretId=w.secret(**_REPLICATED)
    ),
    ("CancelRotateSecret", "InvalidParameterException"): lambda w: w.elsewhere.cancel_rotate_secret(
        SecretId=w.secret(**_REPLICATED)
    ),
    ("UntagResource", "InvalidParameterException"): lambda w: w.elsewhere.untag_resource(
        SecretId=w.secret(**_REPLICATED), TagKeys=["a"]
    ),
    ("StopReplicationToReplica", "InvalidRequestException"): lambda w: w.client.stop_replication_to_replica(
        SecretId=w.secret()
    ),
    ("RotateSecret", "InvalidParameterException"): lambda w: _put_rule(w, ScheduleExpression="rate(1 hour)"),
    ("RotateSecret", "InvalidRequestException"): lambda w: w.client.rotate_secret(SecretId=w.secret()),
    ("TagResource", "InvalidParameterException"): lambda w: w.client.tag_resource(SecretId=w.secret(), Tags=_TWICE),
    ("UpdateSecret", "DecryptionFailure"): lambda w: w.client.update_secret(
        SecretId=_sealed(w, ClientRequestToken=TOKEN), SecretString="value", ClientRequestToken=TOKEN
    ),
    ("UpdateSecret", "EncryptionFailure"): lambda w: w.client.update_secret(SecretId=_sealed(w), SecretString="a"),
    ("UpdateSecret", "InvalidParameterException"): lambda w: w.client.update_secret(SecretId=w.secret(), **_TWO_VALUES),
    ("UpdateSecret", "ResourceExistsException"): lambda w: w.client.update_secret(
        SecretId=w.secret(ClientRequestToken=TOKEN), SecretString="other", ClientRequestToken=TOKEN
    ),
    ("UpdateSecretVersionStage", "InvalidParameterException"): lambda w: w.client.update_secret_version_stage(
        SecretId=w.secret(ClientRequestToken=TOKEN), VersionStage="AWSCURRENT", RemoveFromVersionId=TOKEN
    ),
    ("UpdateSecretVersionStage", "LimitExceededException"): lambda w: w.client.update_secret_version_stage(
        SecretId=(secret := _full_of_labels(w)), VersionStage="ONE-MORE", MoveToVersionId=w.version(secret)
    ),
    ("ValidateResourcePolicy", "MalformedPolicyDocumentException"): lambda w: w.call(
        "ValidateResourcePolicy", SecretId=w.secret(), ResourcePolicy=_TRAILING_COMMA
    ),
}
