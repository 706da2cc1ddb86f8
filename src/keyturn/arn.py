"""Amazon Resource Names: parsing and formatting.

``arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE``; the resource may itself contain colons and slashes. What a service
puts behind the fifth colon is known to the methods of :class:`Place` and to nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType, Self

SecretArn = NewType("SecretArn", str)
FunctionArn = NewType("FunctionArn", str)
RoleArn = NewType("RoleArn", str)
AccountId = NewType("AccountId", str)

_FIELDS = 6


class InvalidArn(ValueError):
    """The text is not an ARN."""


@dataclass(frozen=True, slots=True)
class Arn:
    """The six fields of an ARN."""

    partition: str
    service: str
    region: str
    account_id: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split ``text`` into its fields.

        Raises:
            InvalidArn: ``text`` has fewer than six fields or does not begin with ``arn:``.
        """
        fields = text.split(":", _FIELDS - 1)
        if len(fields) != _FIELDS or fields[0] != "arn":
            raise InvalidArn(text)
        return cls(*fields[1:])

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account_id}:{self.resource}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where resources live: everything of an ARN that a server's settings decide."""

    partition: str
    region: str
    account_id: str

    @classmethod
    def of(cls, arn: str) -> Self:
        """Return where a resource with this ARN lives.

        Raises:
            InvalidArn: The text is not an ARN.
        """
        parsed = Arn.parse(arn)
        return cls(parsed.partition, parsed.region, parsed.account_id)

    def secret_arn(self, name: str, suffix: str) -> SecretArn:
        """ARN of a secret; ``suffix`` is the six random characters AWS appends."""
        return SecretArn(f"{self.partial_secret_arn(name)}-{suffix}")

    def partial_secret_arn(self, name: str) -> str:
        """ARN of a secret without its suffix: what its name stands for in this account and region."""
        return f"arn:{self.partition}:secretsmanager:{self.region}:{self.account_id}:secret:{name}"

    def function_arn(self, name: str) -> FunctionArn:
        """ARN of a Lambda function, unqualified."""
        return FunctionArn(f"arn:{self.partition}:lambda:{self.region}:{self.account_id}:function:{name}")

    def layer_arn(self, name: str) -> str:
        """ARN of a Lambda layer; its versions' end in a colon and their number."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account_id}:layer:{name}"

    def role_arn(self, path: str, name: str) -> RoleArn:
        """ARN of a role; ``path`` begins and ends with a slash."""
        return RoleArn(f"arn:{self.partition}:iam::{self.account_id}:role{path}{name}")

    def user_arn(self, path: str, name: str) -> str:
        """ARN of a user; ``path`` begins and ends with a slash."""
        return f"arn:{self.partition}:iam::{self.account_id}:user{path}{name}"

    def group_arn(self, path: str, name: str) -> str:
        """ARN of a group; ``path`` begins and ends with a slash."""
        return f"arn:{self.partition}:iam::{self.account_id}:group{path}{name}"

    def policy_arn(self, path: str, name: str) -> str:
        """ARN of a customer managed policy; ``path`` begins and ends with a slash."""
        return f"arn:{self.partition}:iam::{self.account_id}:policy{path}{name}"

    def assumed_role_arn(self, role_name: str, session_name: str) -> str:
        """ARN of a role session. The role's path is dropped, as AWS does."""
        return f"arn:{self.partition}:sts::{self.account_id}:assumed-role/{role_name}/{session_name}"

    def kms_key_arn(self, key_id: str) -> str:
        """ARN of a KMS key."""
        return f"arn:{self.partition}:kms:{self.region}:{self.account_id}:key/{key_id}"

    def kms_alias_arn(self, alias: str) -> str:
        """ARN of an alias of a KMS key; ``alias`` begins with ``alias/``."""
        return f"arn:{self.partition}:kms:{self.region}:{self.account_id}:{alias}"

    def log_group_arn(self, name: str) -> str:
        """ARN of a log group, without the ``:*`` some answers append."""
        return f"arn:{self.partition}:logs:{self.region}:{self.account_id}:log-group:{name}"

    def ec2_arn(self, resource_type: str, resource_id: str) -> str:
        """ARN of something of EC2's; ``*`` is the id of what does not exist yet."""
        return f"arn:{self.partition}:ec2:{self.region}:{self.account_id}:{resource_type}/{resource_id}"

    def root_arn(self) -> str:
        """ARN that stands for the whole account in policies."""
        return f"arn:{self.partition}:iam::{self.account_id}:root"
