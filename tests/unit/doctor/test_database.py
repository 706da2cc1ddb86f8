"""What the database says, in the words of AWS's functions, of Keyturn's and of the drivers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.contract.doctor.world import NOW, SECRET, SUPERUSER, World, diagnosed, refusal

from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Confidence, Finding, Role
from keyturn.doctor.runner import examine
from keyturn.rotators.engines import base

SUMMARY = f"Unable to log into database with previous, current, or pending secret of secret arn {SECRET}"
AT = "2026-11-27T11:00:00.000Z\t00000000-0000-0000-0000-0000000003e8"


def failing(*lines: str, step: str = "setSecret", duration_ms: float = 310) -> World:
    world = World()
    world.fail(step)
    world.run(*lines, duration_ms=duration_ms)
    return world


def by_aws(text: str = f"setSecret: {SUMMARY}", *, before: str = "", duration_ms: float = 310) -> World:
    """AWS's functions log a text, and raise it."""
    lines = [f"[ERROR]\t{AT}\t{each}" for each in (before, text) if each]
    return failing(*lines, f"[ERROR] ValueError: {text}\nTraceback (most recent call last):", duration_ms=duration_ms)


def only_cause(world: World) -> Finding:
    [finding] = diagnosed(world).causes
    return finding


def test_each_kind_of_error_that_keyturns_functions_tell_apart_has_an_entry() -> None:
    kinds = {
        kind
        for kind in vars(base).values()
        if isinstance(kind, type) and issubclass(kind, base.DatabaseError) and kind is not base.DatabaseError
    }
    untold = []
    for kind in sorted(kinds, key=lambda kind: kind.__name__):
        error = kind("host db.example: what the server said", "00000")
        causes = diagnosed(failing(f"[ERROR] {kind.__name__}: {error}\nTraceback (most recent call last):")).causes
        if [finding.id for finding in causes] == ["function-unhandled-error"]:
            untold.append(kind.__name__)
        assert len(causes) == 1, (kind.__name__, causes)

    # That a name does not resolve is told beside the network.
    assert set(untold) <= {"HostNotFound"}


@pytest.mark.parametrize(
    ("line", "cause_id"),
    [
        ('OperationalError: FATAL:  password authentication failed for user "orders"', "db-login-failed"),
        ("OperationalError: (1045, \"Access denied for user 'orders'@'10.0.0.9' (using password: YES)\")",
         "db-login-failed"),
        ("AuthenticationError: WRONGPASS invalid username-password pair or user is disabled.", "db-login-failed"),
        ("OperationFailure: Authentication failed., full error: {'ok': 0.0, 'code': 18}", "db-login-failed"),
        ("DatabaseError: ORA-01017: invalid username/password; logon denied", "db-login-failed"),
        ("OperationalError: server does not support SSL, but SSL was required", "db-tls-handshake"),
        ('OperationalError: server certificate for "a.example" does not match host name "b.example"',
         "db-tls-hostname-mismatch"),
        ("OperationalError: (3159, 'Connections using insecure transport are prohibited')", "db-tls-required"),
        ('OperationalError: FATAL:  no pg_hba.conf entry for host "1.2.3.4", user "o", database "o", no encryption',
         "db-tls-required"),
        ("OperationalError: (1290, 'The MySQL server is running with the --read-only option so it cannot')",
         "db-read-only-endpoint"),
        ("ReadOnlyError: READONLY You can't write against a read only replica.", "db-read-only-endpoint"),
        ("ProgrammingError: (1819, 'Your password does not satisfy the current policy requirements')",
         "db-password-rejected"),
        ('OperationalError: connection to server at "10.0.0.5", port 5432 failed: Connection refused',
         "db-connection-refused"),
        ('OperationalError: connection to server at "52.16.0.5", port 5432 failed: timeout expired', "db-unreachable"),
        ("OperationalError: (2003, \"Can't connect to MySQL server on 'db.example' (timed out)\")", "db-unreachable"),
        ("OperationalError: (1049, \"Unknown database 'orders'\")", "db-database-missing"),
        ("InsufficientPrivilege: permission denied to alter role", "db-user-cannot-set-password"),
        ("LockNotAvailable: canceling statement due to lock timeout", "db-lock-timeout"),
    ],
)  # fmt: skip
def test_drivers_words_are_known(line: str, cause_id: str) -> None:
    assert only_cause(failing(f"[ERROR] {line}\nTraceback (most recent call last):")).id == cause_id


def test_a_refusal_in_the_databases_own_words_is_certain() -> None:
    said = "AuthenticationFailed: The database refuses all stored passwords of user orders. Hint: Store it."
    finding = only_cause(failing(f"[ERROR] {said}\nTraceback (most recent call last):", duration_ms=9000))

    assert finding.confidence is Confidence.CERTAIN
    assert finding.title == "the database refuses all stored passwords of svc/orders/db, of user orders"


@pytest.mark.parametrize(
    ("duration_ms", "confidence", "words"),
    [
        (310, Confidence.LIKELY, "the database refuses the stored credentials of svc/orders/db within 310 ms"),
        (15_031, Confidence.POSSIBLE, "login failed after 15.0 s; could not tell network from credentials"),
    ],
)
def test_the_summary_of_awss_functions_is_told_apart_by_how_long_it_took(
    duration_ms: float, confidence: Confidence, words: str
) -> None:
    finding = only_cause(by_aws(duration_ms=duration_ms))

    assert (finding.id, finding.confidence, finding.title) == ("db-login-failed", confidence, words)


@pytest.mark.parametrize("in_vpc", [True, False])
def test_credentials_are_not_blamed_while_the_network_may_not_be_looked_at(*, in_vpc: bool) -> None:
    world = by_aws()
    if in_vpc:
        world.configuration["VpcConfig"] = {"VpcId": "vpc-1", "SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    world.replies["ec2:DescribeSecurityGroups"] = refusal("DescribeSecurityGroups", "UnauthorizedOperation")
    facts = Facts(world.ask)
    facts.ask("ec2", "DescribeSecurityGroups", GroupIds=["sg-1"])
    report = examine(collect(facts, SECRET, NOW, world.options))

    [finding] = [finding for finding in report.findings if finding.id == "db-login-failed"]
    assert (finding.confidence is Confidence.POSSIBLE) is in_vpc


def test_the_superusers_login_is_not_the_secrets() -> None:
    said = f"setSecret: Unable to log into database using credentials in master secret {SUPERUSER}"
    report = diagnosed(by_aws(said))

    assert "db-login-failed" not in {finding.id for finding in report.findings}


def test_a_login_without_tls_after_a_handshake_that_failed_is_not_blamed_on_tls() -> None:
    handshake = "Unable to establish SSL/TLS handshake, SSL/TLS is not enabled on the host: db.example"
    world = by_aws(before=handshake)
    unread = only_cause(world)
    world.with_value()

    # AWS's functions go on without TLS unless the value says ssl true, which only the value tells.
    assert (unread.id, unread.confidence) == ("db-tls-handshake", Confidence.LIKELY)
    assert only_cause(world).id == "db-login-failed"
    assert isinstance(world.value, dict)
    world.value["ssl"] = True
    assert (only_cause(world).id, only_cause(world).confidence) == ("db-tls-handshake", Confidence.CERTAIN)


@pytest.mark.parametrize(
    ("host", "cause_id"),
    [
        ("orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com", "db-read-only-endpoint"),
        ("orders.proxy-abc123.eu-west-1.rds.amazonaws.com", "db-proxy-endpoint"),
    ],
)
def test_a_host_that_will_not_do_is_a_risk_before_anything_has_failed(host: str, cause_id: str) -> None:
    world = World()
    world.with_value()
    assert isinstance(world.value, dict)
    world.value["host"] = host

    [finding] = [finding for finding in diagnosed(world).findings if finding.id == cause_id]
    assert (finding.role, finding.evidence[0].excerpt) == (Role.RISK, {"host": host})


def test_a_refused_connection_to_aws_itself_is_not_the_databases() -> None:
    said = 'EndpointConnectionError: Could not connect to the endpoint URL: "https://sm.x/": Connection refused'
    report = diagnosed(failing(f"[ERROR] {said}\nTraceback (most recent call last):", step="createSecret"))

    assert "db-connection-refused" not in {finding.id for finding in report.findings}


def of_keyturn(error: str) -> World:
    """Keyturn's functions log a summary with the reason, and raise it."""
    kind, _, reason = error.partition(": ")
    text = f"setSecret: {SUMMARY}: {reason}"
    raised = f"[ERROR] {kind}: {reason}. Hint: Look.\nTraceback (most recent call last):\n"
    return failing(f"[ERROR]\t{AT}\t{text}", raised + '  File "/var/task/handler.py", line 1\n' * 20)


def test_what_the_database_says_is_told_whole_and_evidence_ends_with_a_line() -> None:
    reason = "host db-old.internal, port 5432: nobody of that name is known here, by the resolver of the function"
    finding = only_cause(of_keyturn(f"ConnectionTimedOut: {reason}"))

    assert finding.title.endswith(f"ConnectionTimedOut: {reason}")
    assert "…" not in finding.title
    excerpt = str(finding.evidence[0].excerpt)
    assert len(excerpt) > 400
    assert excerpt.endswith("line 1")


def test_the_summary_of_keyturns_functions_is_not_repeated() -> None:
    summary = f"[ERROR]\t{AT}\tsetSecret: {SUMMARY}: host db: role orders is not permitted to log in"

    assert only_cause(failing(summary)).title.endswith(
        "whatever the password: host db: role orders is not permitted to log in"
    )


@pytest.mark.parametrize(
    ("line", "text", "command"),
    [
        ('host db: role "orders" is not permitted to log in (28000)', "Let the role", 'ALTER ROLE "orders" LOGIN;'),
        (
            "host db: (3118, \"Access denied for user 'orders'@'10.0.0.9'. Account is locked.\")",
            "Unlock the account",
            "ALTER USER 'orders'@'HOST' ACCOUNT UNLOCK;",
        ),
        (
            'no pg_hba.conf entry for host "1.2.3.4", user "orders", database "orders", SSL encryption',
            "Add a line",
            "SELECT pg_reload_conf();",
        ),
    ],
)
def test_what_lets_a_user_in_is_told_by_the_databases_own_words(line: str, text: str, command: str) -> None:
    finding = only_cause(of_keyturn(f"NotAdmitted: {line}"))

    assert finding.id == "db-not-admitted"
    assert finding.remedy.text.startswith(text)
    assert finding.remedy.by_hand == (command,)


@pytest.mark.parametrize("name", ['a"; DROP ROLE b; --', "x' y", "a$(reboot)"])
def test_a_name_in_the_log_makes_no_command(name: str) -> None:
    finding = only_cause(of_keyturn(f'NotAdmitted: host db: role "{name}" is not permitted to log in'))

    assert finding.remedy.by_hand == ()
    assert finding.remedy.text.startswith("Let this user log in from")


@pytest.mark.parametrize(
    ("rotations", "told"),
    [
        ([{"Status": "pending", "Attempt": 2, "Attempts": 5, "DueAt": NOW + timedelta(seconds=40)}],
         "the next attempt begins in 40 seconds."),
        ([{"Status": "running"}], "an attempt runs just now."),
        ([{"Status": "parked", "DueAt": NOW + timedelta(days=3)}],
         "it is not attempted again before the next rotation, in 3 days: rotate when it is mended."),
        ([{"Status": "failed"}],
         "it is not attempted again before the next rotation, in 18 days: rotate when it is mended."),
    ],
)  # fmt: skip
def test_whether_it_is_attempted_again_is_told_as_it_is(rotations: list[dict[str, object]], told: str) -> None:
    world = failing("[ERROR] LockTimedOut: canceling statement\nTraceback (most recent call last):")
    assert only_cause(world).remedy.text.endswith("the rotation is attempted again as long as it has attempts left.")

    world.with_last_look(verdict="unknown")
    world.replies["keyturn:ListRotations"] = {"Rotations": rotations}
    assert only_cause(world).remedy.text.endswith(f"; {told}")
