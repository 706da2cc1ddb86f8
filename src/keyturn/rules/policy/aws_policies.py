"""AWS's own managed policies: one JSON file each in ``aws_managed/``, the same in every account, changed by nobody.

A file has the members of IAM's GetPolicy and GetPolicyVersion, and where they were read. One more policy is one more
file. Only the default version is there, as AWS publishes no other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files

from keyturn.arn import Arn

AWS_ACCOUNT = "aws"
"""What stands for an account in their ARNs."""

_RESOURCE = "policy"


@dataclass(frozen=True, slots=True)
class AwsPolicy:
    """One of AWS's managed policies in one partition; ``document`` is the text of its default version."""

    arn: str
    name: str
    unique_id: str
    path: str
    description: str
    created_at: datetime
    updated_at: datetime
    version: int
    document: str


def find_aws_policy(arn: str, partition: str) -> AwsPolicy | None:
    """Return the policy of AWS that an ARN names in a partition, or None."""
    return _by_arn(partition).get(arn)


def all_aws_policies(partition: str) -> list[AwsPolicy]:
    """Return every policy of AWS that is there, by name."""
    return sorted(_by_arn(partition).values(), key=lambda policy: policy.name)


@cache
def _by_arn(partition: str) -> Mapping[str, AwsPolicy]:
    policies = {}
    for file in files("keyturn.rules.policy").joinpath("aws_managed").iterdir():
        stored = json.loads(file.read_text(encoding="utf-8"))
        resource = f"{_RESOURCE}{stored['Path']}{stored['PolicyName']}"
        arn = str(Arn(partition, "iam", "", AWS_ACCOUNT, resource))
        if arn in policies:
            raise ValueError(f"{arn} is there twice")
        policies[arn] = AwsPolicy(
            arn=arn,
            name=stored["PolicyName"],
            unique_id=stored["PolicyId"],
            path=stored["Path"],
            description=stored["Description"],
            created_at=datetime.fromisoformat(stored["CreateDate"]),
            updated_at=datetime.fromisoformat(stored["UpdateDate"]),
            version=int(stored["DefaultVersionId"].removeprefix("v")),
            # Resources are written for the partition that most use.
            document=json.dumps(stored["Document"], indent=4).replace('"arn:aws:', f'"arn:{partition}:'),
        )
    return policies
