"""Which page of the console an ARN is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from keyturn.arn import Arn, InvalidArn
from keyturn.console.replies import address

# Of managed policies that are ready.
_AWS: Final = "aws"
_SECRET, _FUNCTION, _GROUP = "secret:", "function:", "log-group:"


def place_of(arn: str, account_id: str = "") -> str:
    """Return the address of the page that shows what an ARN names, with ``/console/``; empty if there is none.

    Args:
        arn: It.
        account_id: Whose pages they are, if that matters: most name what they show without its account, and would show
            somebody who is in another one what is called the same in theirs.
    """
    try:
        parsed = Arn.parse(arn)
    except InvalidArn:
        return ""
    if account_id and parsed.service != "secretsmanager" and parsed.account_id not in (account_id, _AWS, ""):
        return ""
    find = _PLACES.get(parsed.service)
    found = find(parsed.resource, arn) if find else ""
    return f"/console/{found}" if found else ""


def section_of(place: str) -> str:
    """Return the page of the navigation that a page which :func:`place_of` has found belongs to."""
    path = place.removeprefix("/console/").partition("?")[0]
    return _SECTIONS.get(path.partition("/")[0], "")


def _secret(resource: str, arn: str) -> str:
    return address("secret", id=arn) if resource.startswith(_SECRET) else ""


def _function(resource: str, _arn: str) -> str:
    return address("function", name=resource.split(":")[1]) if resource.startswith(_FUNCTION) else ""


def _log_group(resource: str, _arn: str) -> str:
    # A call about all groups names one without a name.
    group = resource.split(":")[1] if resource.startswith(_GROUP) else ""
    return address("logs/group", group=group) if group else ""


def _key(resource: str, _arn: str) -> str:
    kind, _, key_id = resource.partition("/")
    if kind == "alias":
        return address("key", id=resource)
    return address("key", id=key_id) if kind == "key" else ""


def _principal(resource: str, arn: str) -> str:
    parts = resource.split("/")
    match parts[0]:
        case "user" | "role" | "group":
            return address(f"access/{parts[0]}", name=parts[-1])
        case "policy":
            return address("access/policy", arn=arn)
        case "assumed-role":
            return address("access/role", name=parts[1]) if len(parts) > 1 else ""
    return ""


def _network(resource: str, _arn: str) -> str:
    kind, _, name = resource.partition("/")
    return address("network", id=name) if kind == "vpc" else ""


_SECTIONS: Final[Mapping[str, str]] = {
    "secret": "secrets",
    "function": "functions",
    "logs": "logs",
    "key": "keys",
    "access": "access",
    "network": "networks",
}
_PLACES: Final[Mapping[str, Callable[[str, str], str]]] = {
    "secretsmanager": _secret,
    "lambda": _function,
    "logs": _log_group,
    "kms": _key,
    "iam": _principal,
    "sts": _principal,
    "ec2": _network,
}
