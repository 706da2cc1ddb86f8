"""Keyturn's own rotation functions, known by their handlers: what they ask of a secret's value.

What another function reads is its own affair, so that of those nothing is certain before they have failed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from .case import Case
from .facts import Kind
from .value import ValueParts, port_number

_DATABASE_KEYS = ("engine", "host", "username", "password")
_HTTP_KEYS = ("engine", "url", "api_key")
ENGINE_NAMES: Mapping[str, tuple[str, ...]] = {
    "db2": ("db2",),
    "http_api": ("http-api",),
    "mariadb": ("mariadb",),
    "mongodb": ("mongo",),
    "mysql": ("mysql", "aurora-mysql"),
    "oracle": ("oracle",),
    "postgresql": ("postgres", "aurora-postgresql"),
    "redis": ("redis", "valkey"),
    "redshift": ("redshift",),
    "sqlserver": ("sqlserver",),
}
"""By the module of an engine: what ``engine`` in the value may say."""
_STRATEGIES = ("alternating_users", "single_user_by_superuser", "single_user", "new_key")
MADE_BY = "made by Keyturn"
"""In the description of what Keyturn has made for a rotation; earlier ones say "made by keyturn function create"."""
_NEAR = 0.85
_HANDLER = re.compile(rf"(?P<engine>{'|'.join(ENGINE_NAMES)})_(?:{'|'.join(_STRATEGIES)})\.lambda_handler")


@dataclass(frozen=True, slots=True)
class OwnFunction:
    """What one of Keyturn's functions asks of a value.

    Attributes:
        engine_names: What ``engine`` may say.
        keys: What must be there.
    """

    engine_names: tuple[str, ...]
    keys: tuple[str, ...]

    def unusable(self, value: ValueParts) -> str:
        """Return what is wrong with what a value holds under its keys; empty if nothing is, as far as it was kept."""
        if "host" not in self.keys:
            return ""
        for key in ("host", "username"):
            if key in value.keys and not (isinstance(value.parts.get(key), str) and value.parts[key]):
                return f"{key} in the secret JSON must be text and not empty"
        return unusable_port(value)


def own_function(case: Case) -> OwnFunction | None:
    """Return the function that rotates a secret if it is one of Keyturn's; None if it is another, or is not seen."""
    if case.configuration.kind is not Kind.OK:
        return None
    match = _HANDLER.fullmatch(str(case.configuration.found.get("Handler") or ""))
    if match is None:
        return None
    return OwnFunction(ENGINE_NAMES[match["engine"]], _HTTP_KEYS if match["engine"] == "http_api" else _DATABASE_KEYS)


def meant_handler(case: Case) -> str:
    """Return the handler that a function of Keyturn's making was to have, by the one that it has; empty if none is.

    A handler that was misspelt is near to one, of which there are an engine's and a strategy's.
    """
    if case.configuration.kind is not Kind.OK or not _is_by_keyturn(case.configuration.found):
        return ""
    named = str(case.configuration.found.get("Handler") or "")
    known = [f"{engine}_{strategy}.lambda_handler" for engine in ENGINE_NAMES for strategy in _STRATEGIES]
    near = get_close_matches(named, [handler for handler in known if handler != named], n=1, cutoff=_NEAR)
    return near[0] if near else ""


def _is_by_keyturn(configuration: Mapping[str, object]) -> bool:
    return MADE_BY.casefold() in str(configuration.get("Description")).casefold()


def unusable_port(value: ValueParts) -> str:
    """Return what is wrong with the port in a value; empty if nothing is. Of several hosts each may have its own."""
    if not value.text("port"):
        return ""
    ports = [part.strip() for part in value.text("port").split(",")]
    is_right = all(port_number(part) for part in ports)
    return "" if is_right else f"port is {value.text('port')[:20]}, and must be a number from 1 to 65535"
