"""What a call acts on, for policies, for refusals and for its handler."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from keyturn.errors.base import AwsError
from keyturn.rules.policy.patterns import ConditionKeys

R_co = TypeVar("R_co", covariant=True)
NO_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class Subject(NamedTuple, Generic[R_co]):
    """What a call acts on. A tuple, because one is made for every call and tuples are quick.

    Attributes:
        arn: The resource, for policies.
        asked: The resource as the caller named it, for AWS's refusals.
        record: What the handler gets; None if it does not exist.
        missing: What a caller who may ask is told if it does not exist.
        policy: The resource-based policy's text, if it has one.
        keys: Condition keys of the resource and the request; a dict with lower-case names will do.
        grants: What grants on a KMS key allow the caller in this call, as a policy's text; None if that is nothing.
    """

    arn: str
    asked: str
    record: R_co | None
    missing: AwsError | None = None
    policy: str | None = None
    keys: ConditionKeys = NO_KEYS
    grants: str | None = None


NO_SUBJECT: Subject[None] = Subject(arn="*", asked="", record=None)
