"""Errors of Redis and Valkey: what each one means, and that nothing secret is in it."""

from __future__ import annotations

import pytest
import redis.exceptions
from redis._parsers import BaseParser

from keyturn.rotators.engines import base
from keyturn.rotators.engines.redis_acl import errors


def said(line: str) -> base.DatabaseError:
    """What we make of what the driver makes of a server's line."""
    return errors.translation(BaseParser.parse_error(line), "db.example")  # type: ignore[no-untyped-call]  # the driver's


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        (
            "WRONGPASS invalid username-password pair or user is disabled.",
            base.AuthenticationFailed,
            "invalid username",
        ),
        ("NOAUTH Authentication required.", base.AuthenticationFailed, "Authentication required"),
        ("NOPERM User app has no permissions to run the 'acl|setuser' command", base.MissingGrant, "acl|setuser"),
        ("LOADING Redis is loading the dataset in memory", base.NotReady, "loading the dataset"),
        ("BUSY Redis is busy running a script.", base.NotReady, "running a script"),
        ("MISCONF Redis is configured to save RDB snapshots, but", base.NotReady, "RDB snapshots"),
        ("READONLY You can't write against a read only replica.", base.ReadOnlyReplica, "read only replica"),
        ("MASTERDOWN Link with MASTER is down", base.NotReady, "is down"),
        ("CLUSTERDOWN The cluster is down", base.NotReady, "cluster is down"),
        ("DENIED Redis is running in protected mode because", base.NotAdmitted, "protected mode"),
        ("ERR max number of clients reached", base.NotReady, "max number of clients"),
        ("ERR unknown command 'ACL', with args beginning with: ", base.AnotherProduct, "managed service"),
        ("ERR unknown subcommand 'SETUSER'. Try ACL HELP.", base.AnotherProduct, "managed service"),
        ("ERR This Redis instance is not configured to use an ACL file. You", base.NotDurable, "an ACL file"),
        ("ERR The server is running without a config file", base.NotDurable, "config file"),
        ("ERR Rewriting config file: Permission denied", base.NotDurable, "Permission denied"),
        ("ERR There was an error trying to save the ACLs. Please", base.NotDurable, "save the ACLs"),
        ("EXECABORT Transaction discarded because of: NOPERM no permissions", base.MissingGrant, "no permissions"),
        ("ERR something new", base.DatabaseError, "something new"),
    ],
)
def test_what_a_server_says_has_a_name(line: str, kind: type[base.DatabaseError], reason: str) -> None:
    error = said(line)
    assert type(error) is kind
    assert reason in error.reason
    assert error.reason.startswith("host db.example: ")


def test_a_refused_rule_is_not_quoted() -> None:
    refused = (
        "ERR Error in ACL SETUSER modifier '!marked':"
        " The password you are trying to remove from the user does not exist"
    )
    assert type(said(refused)) is base.NotReady
    assert type(said("ERR Error in ACL SETUSER modifier '#marked': Syntax error")) is base.DatabaseError
    for line in (refused, "ERR Error in ACL SETUSER modifier '#marked': Syntax error"):
        assert "marked" not in str(said(line))


def test_of_an_error_nobody_knows_only_the_type_is_told() -> None:
    for unknown in (RuntimeError("marked"), redis.exceptions.ConnectionError("marked"), UnicodeError("marked")):
        error = errors.translation(unknown, "db.example")
        assert type(error) is base.ConnectionLost
        assert "marked" not in str(error)
        assert type(unknown).__name__ in error.reason
