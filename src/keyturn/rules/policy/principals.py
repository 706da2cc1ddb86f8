"""The Principal element: whom a statement of a resource-based or trust policy names.

Source: IAM User Guide, "AWS JSON policy elements: Principal", "… NotPrincipal" and "How AWS enforcement code logic
evaluates requests"; account ids with hyphens as recorded by cdk-preflight (UpdateAssumeRolePolicy, 2026-09).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from keyturn.call import Principal, PrincipalKind

_ACCOUNT_ID = re.compile(r"[0-9]{12}|[0-9]{4}-[0-9]{4}-[0-9]{4}")
_AWS_PRINCIPAL = re.compile(
    r"arn:aws[a-z-]*:(?:iam::\d{12}:(?:root|(?:user|role)/[\w+=,.@/-]+)"
    r"|sts::\d{12}:(?:assumed-role/[\w+=,.@-]+/[\w+=,.@-]+|federated-user/[\w+=,.@-]+))",
    re.ASCII,
)
_UNIQUE_ID = re.compile(r"A[A-Z]{3}[A-Z0-9]{12,}")
_SERVICE = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")


KINDS = ("AWS", "Service", "Federated", "CanonicalUser")
"""The kinds of principals, as the members of Principal are named."""


class Grade(IntEnum):
    """How precisely a statement names a caller; what an Allow is worth depends on it."""

    NONE = 0
    ACCOUNT = 1  # The account: an identity policy must allow too.
    ROLE = 2  # The role behind a session: boundary and session policy must allow too.
    EXACT = 3  # The user, the role session, the service, or everybody: nothing else has to allow.


class InvalidPrincipal(ValueError):
    """The text names no principal of its kind; without a text there is no such kind.

    Attributes:
        kind: As it was written.
        text: Likewise.
        place: The text's among those of its kind, counted from 0.
    """

    def __init__(self, kind: str, text: str | None, place: int = 0) -> None:
        super().__init__(kind, text, place)
        self.kind = kind
        self.text = text
        self.place = place


@dataclass(frozen=True, slots=True)
class Principals:
    """What stands under Principal or NotPrincipal.

    Attributes:
        everybody: ``"*"`` or ``{"AWS": "*"}``.
        aws: ARNs as written.
        account_ids: Accounts named by id or by the ARN of their root.
        services: Names of service principals.
        others: Unique ids, federated and canonical users. Nobody who calls Keyturn is known by one of these.
        negated: Written as NotPrincipal.
    """

    everybody: bool = False
    aws: frozenset[str] = frozenset()
    account_ids: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    negated: bool = False

    def grade(self, principal: Principal) -> Grade:
        """Say how precisely the caller is named, ``Grade.NONE`` if not at all.

        NotPrincipal names everybody but those who are named themselves (or by their role) and whose account is named,
        too: AWS looks at the account first.
        """
        named = self._named(principal)
        if not self.negated:
            return named
        is_service = principal.kind is PrincipalKind.SERVICE
        has_account = self.everybody or is_service or principal.account_id in self.account_ids
        return Grade.NONE if named > Grade.ACCOUNT and has_account else Grade.EXACT

    def _named(self, principal: Principal) -> Grade:
        if principal.kind is PrincipalKind.SERVICE:
            return Grade.EXACT if self.everybody or principal.name in self.services else Grade.NONE
        if self.everybody or principal.arn in self.aws:
            return Grade.EXACT
        if principal.role_arn and principal.role_arn in self.aws:
            return Grade.ROLE
        return Grade.ACCOUNT if principal.account_id in self.account_ids else Grade.NONE


def invalid_principals(entries: Mapping[str, tuple[str, ...]]) -> Iterator[InvalidPrincipal]:
    """Yield what IAM does not know in the map form of Principal, in the order in which IAM would tell it."""
    for place, text in enumerate(entries.get("AWS", ())):
        if text != "*" and not any(form.fullmatch(text) for form in (_ACCOUNT_ID, _AWS_PRINCIPAL, _UNIQUE_ID)):
            yield InvalidPrincipal("AWS", text, place)
    for place, text in enumerate(entries.get("Service", ())):
        if not _SERVICE.fullmatch(text):
            yield InvalidPrincipal("Service", text, place)
    for kind in entries:
        if kind not in KINDS:
            yield InvalidPrincipal(kind, None)


def parse_principals(entries: Mapping[str, tuple[str, ...]], *, negated: bool) -> Principals:
    """Read the map form of Principal; ``"*"`` alone is ``{"AWS": ("*",)}``.

    Raises:
        InvalidPrincipal: A kind or a value that IAM does not know.
    """
    for invalid in invalid_principals(entries):
        raise invalid
    aws: set[str] = set()
    account_ids: set[str] = set()
    others = {*entries.get("Federated", ()), *entries.get("CanonicalUser", ())}
    for text in entries.get("AWS", ()):
        if _ACCOUNT_ID.fullmatch(text):
            account_ids.add(text.replace("-", ""))
        elif _UNIQUE_ID.fullmatch(text):
            others.add(text)
        elif text != "*":
            account_id, resource = text.split(":", 5)[4:]
            if resource == "root":
                account_ids.add(account_id)
            else:
                aws.add(text)
    return Principals(
        everybody="*" in entries.get("AWS", ()),
        aws=frozenset(aws),
        account_ids=frozenset(account_ids),
        services=frozenset(entries.get("Service", ())),
        others=frozenset(others),
        negated=negated,
    )
