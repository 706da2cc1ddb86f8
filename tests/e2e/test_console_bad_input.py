"""Every page and every action of the console, asked with what makes no sense: never a fault of the server's."""

from __future__ import annotations

import pytest

from keyturn.console.routing import discover

from .conftest import ServerProcess
from .console_session import ConsoleSession

_ROUTES = discover()
# What pages and actions read of an address or a form.
_NAMES = (
    "actions", "all", "arn", "as", "base", "before", "body", "cause", "check", "confirmed", "context", "day", "days",
    "deleted", "description", "document", "engine", "event", "file", "filter", "fingerprint", "from", "function",
    "generate", "group", "handler", "holder", "host", "id", "ids", "kind", "kms_key_id", "label", "length", "look",
    "memory", "month", "name", "next", "of", "over", "policy", "policy_name", "port", "prefix", "principal",
    "qualifier", "region", "request", "reserved", "resource", "resources", "role", "runtime", "schedule", "search",
    "secret", "show", "since", "sort", "statement", "status", "step", "stream", "tab", "tag_key", "tag_value", "text",
    "timeout", "to", "token", "trust", "user", "value", "variable", "version", "version_id", "was_key", "when",
)  # fmt: skip
# A name that is there, or may be, so that what comes after looking it up is reached.
_KNOWN = {"id": "db", "name": "f", "group": "/aws/lambda/f", "confirmed": "f"}
_GARBAGE = (
    "", "\0", "\ud800", "é\u202e<b>\"'&", "//[", "../..", "-1", "9" * 5000, "9999-12-31T23:59:59-23:59", "0001-01",
    "arn:aws:lambda:::function:", "cron(0 0 31 2 ? *)", "{" * 3000, "1e999", "::1", "²",
)  # fmt: skip


@pytest.fixture(scope="module")
def session(server: ServerProcess) -> ConsoleSession:
    server.client("secretsmanager").create_secret(Name="db", SecretString='{"a": "b"}')
    return ConsoleSession(server)


@pytest.mark.parametrize("known", [{}, _KNOWN])
@pytest.mark.parametrize("garbage", _GARBAGE)
def test_what_makes_no_sense_is_told_or_passed_over(
    session: ConsoleSession, garbage: str, known: dict[str, str]
) -> None:
    nonsense = garbage.encode("utf-8", "surrogatepass")
    asked: dict[str, str | bytes] = {**dict.fromkeys(_NAMES, nonsense), **known}
    # The head of a request has its bound.
    short: dict[str, str | bytes] = {name: value[:300] for name, value in asked.items()}

    faults = [path for path in _ROUTES.pages if session.get(path, **short).status >= 500]
    faults += [path for path in _ROUTES.actions if session.post(path, (), **asked).status >= 500]

    assert faults == []
