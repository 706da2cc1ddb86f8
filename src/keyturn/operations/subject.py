"""What a call acts on, for policies, for refusals and for its handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from keyturn.errors.base import AwsError
from keyturn.rules.policy.patterns import ConditionKeys

R_co = TypeVar("R_co", covariant=True)
NO_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class KeysOnDemand:
    """Condition keys that are worked out when a condition asks for one: most policies have none.

    Args:
        work_out: Returns all of them, with names in lower case.
    """

    __slots__ = ("_keys", "_work_out")

    def __init__(self, work_out: Callable[[], Mapping[str, tuple[str, ...]]]) -> None:
        self._work_out = work_out
        self._keys: Mapping[str, tuple[str, ...]] | None = None

    def get(self, name: str, /) -> tuple[str, ...] | None:
        """Return the values of a condition key, given in lower case; None if the key is absent."""
        if self._keys is None:
            self._keys = self._work_out()
        return self._keys.get(name)


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
