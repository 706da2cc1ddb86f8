"""PostgreSQL's stored password forms, quoting, and the reasons of failures, without a server."""

from __future__ import annotations

import base64
import socket
import ssl
from unittest import mock

import pytest

from keyturn.rotators.engines import base, network, postgresql
from keyturn.rotators.engines.postgresql import Engine, scram_verifier
from keyturn.rotators.engines.postgresql_family.connection import md5_verifier, quoted_identifier


def test_the_scram_verifier_is_the_one_of_the_rfcs_example() -> None:
    # RFC 7677, section 3: its user's password is "pencil"; the two keys follow from its salt and 4096 iterations.
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    assert scram_verifier("pencil", 4096, salt) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def test_two_verifiers_of_one_password_differ_by_their_salt() -> None:
    assert scram_verifier("pencil", 4096) != scram_verifier("pencil", 4096)


def test_fewer_iterations_than_clients_accept_are_raised() -> None:
    assert scram_verifier("pencil", 1).startswith("SCRAM-SHA-256$4096:")


def test_a_character_that_scram_forbids_is_refused_without_showing_the_password() -> None:
    with pytest.raises(base.PasswordRejected) as caught:
        scram_verifier("marked\x07", 4096)
    assert "marked" not in str(caught.value)


def test_the_md5_form_holds_password_and_user() -> None:
    # As `printf penciluser | md5sum` prints it.
    assert md5_verifier("user", "pencil") == "md5" + "20c46e3762c864548e296b33c3406aa9"


def test_quotes_in_a_name_are_doubled() -> None:
    assert quoted_identifier('a"; DROP ROLE b; --') == '"a""; DROP ROLE b; --"'


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), base.HostNotFound),
        (TimeoutError("timed out"), base.ConnectionTimedOut),
        (ConnectionRefusedError(111, "Connection refused"), base.ConnectionRefused),
        (OSError(113, "No route to host"), base.HostUnreachable),
        (OSError(101, "Network is unreachable"), base.HostUnreachable),
    ],
)
def test_a_connection_that_fails_keeps_the_systems_reason(failure: OSError, kind: type[base.DatabaseError]) -> None:
    value = {"engine": "postgres", "host": "db", "username": "app", "password": "marked"}
    engine = Engine()
    with (
        mock.patch.object(socket, "create_connection", side_effect=failure),
        pytest.raises(kind, match=r"^host db, port 5432: .*\. Hint: ") as caught,
    ):
        engine.connect(engine.login(value))
    assert "marked" not in str(caught.value)


def test_a_host_that_is_no_name_is_not_found() -> None:
    engine = Engine()
    value = {"engine": "postgres", "host": "x" * 70 + ".example", "username": "app", "password": "p"}
    with pytest.raises(base.HostNotFound):
        engine.connect(engine.login(value))


def test_preferred_tls_does_not_pretend_to_verify() -> None:
    context = network.unverified_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize(
    ("code", "message", "tls_was_asked_for", "kind"),
    [
        ("28P01", "password authentication failed", True, base.AuthenticationFailed),
        ("28000", 'role "app" is not permitted to log in', True, base.NotAdmitted),
        ("28000", "no pg_hba.conf entry for host …, no encryption", False, base.TlsRequired),
        ("28000", "no pg_hba.conf entry for host …, SSL off", False, base.TlsRequired),
        ("28000", "pg_hba.conf rejects connection for host …, no encryption", True, base.NotAdmitted),
        ("28000", "no pg_hba.conf entry for host …, SSL encryption", True, base.NotAdmitted),
        ("55P03", "canceling statement due to lock timeout", True, base.LockTimedOut),
        ("57014", "canceling statement due to statement timeout", True, base.StatementTimedOut),
        ("57P03", "the database system is starting up", True, base.NotReady),
        ("XX000", "internal", True, base.DatabaseError),
    ],
)
def test_a_servers_error_is_classified_by_its_code(
    code: str, message: str, tls_was_asked_for: bool, kind: type[base.DatabaseError]
) -> None:
    error = postgresql._server_error({"C": code, "M": message}, host="db", tls_was_asked_for=tls_was_asked_for)
    assert type(error) is kind
    assert error.code == code
    assert message in error.reason
