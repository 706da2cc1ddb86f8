from __future__ import annotations

import json
from pathlib import Path

import pytest

import keyturn.rules.policy
from keyturn.rules.policy.aws_policies import AwsPolicy, all_aws_policies, find_aws_policy
from keyturn.rules.policy.document import parse_managed_policy, size_without_white_space

FILES = sorted((Path(keyturn.rules.policy.__file__).parent / "aws_managed").glob("*.json"))
POLICIES = all_aws_policies("aws")


def test_every_file_is_a_policy() -> None:
    assert [file.stem for file in FILES] == [policy.name for policy in POLICIES]
    assert len(FILES) >= 15


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_says_where_it_was_read(file: Path) -> None:
    stored = json.loads(file.read_text())

    assert set(stored) == {
        "PolicyName",
        "PolicyId",
        "Path",
        "Description",
        "DefaultVersionId",
        "CreateDate",
        "UpdateDate",
        "Source",
        "Document",
    }
    assert stored["PolicyName"] == file.stem
    assert stored["Source"].startswith("AWS Managed Policy Reference Guide, ")


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_a_policy_is_well_formed_and_found_by_its_arn(policy: AwsPolicy) -> None:
    assert parse_managed_policy(policy.document).statements
    assert size_without_white_space(policy.document) <= 6_144
    assert policy.arn == f"arn:aws:iam::aws:policy{policy.path}{policy.name}"
    assert find_aws_policy(policy.arn, "aws") is policy
    assert policy.created_at <= policy.updated_at
    assert policy.created_at.utcoffset() is not None


def test_what_rotation_needs_is_there() -> None:
    paths = {policy.name: policy.path for policy in POLICIES}

    assert (
        paths.items()
        >= {
            "AdministratorAccess": "/",
            "SecretsManagerReadWrite": "/",
            "AWSLambdaBasicExecutionRole": "/service-role/",
            "AWSLambdaVPCAccessExecutionRole": "/service-role/",
            "IAMFullAccess": "/",
            "AWSLambda_FullAccess": "/",
        }.items()
    )


def test_another_partition_has_the_same_policies_under_its_own_arns() -> None:
    assert [policy.name for policy in all_aws_policies("aws-us-gov")] == [policy.name for policy in POLICIES]
    assert find_aws_policy("arn:aws:iam::aws:policy/AdministratorAccess", "aws-us-gov") is None
    assert find_aws_policy("arn:aws-us-gov:iam::aws:policy/AdministratorAccess", "aws-us-gov") is not None


@pytest.mark.parametrize(
    "arn", ["", "AdministratorAccess", "arn:aws:iam::aws:policy/Nothing", "arn:aws:iam::123:policy/AdministratorAccess"]
)
def test_there_are_no_others(arn: str) -> None:
    assert find_aws_policy(arn, "aws") is None
