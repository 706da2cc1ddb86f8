"""The database's address as the log of a failed attempt names it, and what follows where the value is not read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.contract.doctor.vpc import DATABASE_GROUP, OWN_HOST, rule
from tests.contract.doctor.world import NOW, SECRET, World, ago, diagnosed

from keyturn.doctor.collect import collect
from keyturn.doctor.database import Address
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Confidence, Finding, Report, Section, Verdict
from keyturn.doctor.remedies import stored_by
from keyturn.doctor.runner import examine

TIMED_OUT = f"[ERROR] ConnectionTimedOut: host {OWN_HOST}, port 5432: no answer within the time limit"
BEFORE_LIBPQ_14 = (
    "[ERROR] OperationalError: could not connect to server: Connection timed out\n\tIs the server"
    ' running on host "db.example" (10.0.4.7) and accepting\n\tTCP/IP connections on port 5434?'
)
TRACE = "\nTraceback (most recent call last):"


def failing(line: str = TIMED_OUT) -> World:
    """A function in a VPC that has failed at a database of whose address only the log tells."""
    world = World()
    world.in_vpc()
    world.network.with_interface()
    world.fail("setSecret")
    world.run(line + TRACE)
    return world


def on_keyturn(world: World) -> Report:
    return examine(collect(Facts(world.ask), SECRET, NOW, world.options), "https://keyturn.example")


def the_cause(report: Report) -> Finding:
    [found] = report.causes
    return found


@pytest.mark.parametrize(
    ("line", "address"),
    [
        (TIMED_OUT, Address(OWN_HOST, 5432)),
        ("[ERROR] HostUnreachable: host db.example, port 6379: No route to host", Address("db.example", 6379)),
        (
            '[ERROR] Error: connection to server at "db.example" (10.0.4.7), port 5433 failed: timeout expired',
            Address("db.example", 5433),
        ),
        (
            BEFORE_LIBPQ_14,
            Address("db.example", 5434),
        ),
        (
            "[ERROR] OperationalError: (2003, \"Can't connect to MySQL server on 'db.example' (timed out)\")",
            Address("db.example", 3306),
        ),
        ("[ERROR] ServerSelectionTimeoutError: 10.0.4.7:27017: timed out", Address("10.0.4.7", 27017)),
        # Who refuses was reached.
        (f"[ERROR] ConnectionRefused: host {OWN_HOST}, port 5432: Connection refused", None),
        ("[ERROR] ConnectionRefused: host 127.0.0.1, port 5432: Connection refused", Address("127.0.0.1", 5432)),
        ('[ERROR] OperationalError: connection to server at "10.0.4.7", port 5432 failed: FATAL: no entry', None),
        (f"[ERROR] ConnectionTimedOut: host {OWN_HOST}, port 99999: no answer", None),
        ("[ERROR] ValueError: no address at all", None),
    ],
)
def test_the_words_of_keyturn_and_of_drivers_name_host_and_port(line: str, address: Address | None) -> None:
    told = collect(Facts(failing(line).ask), SECRET, NOW).told_address
    assert (told.address if told else None) == address


def test_a_way_is_judged_by_the_address_that_the_log_names_and_the_line_is_shown() -> None:
    world = failing()
    world.network.groups[DATABASE_GROUP]["IpPermissions"] = [rule(5432, cidr="192.168.0.0/16")]
    report = diagnosed(world)

    found = the_cause(report)
    assert (found.id, report.findings[0].id) == ("db-sg-blocks-function", "db-sg-blocks-function")
    assert any(OWN_HOST in str(each.excerpt) for each in found.evidence if each.source == "logs:FilterLogEvents")
    assert "secretsmanager:GetSecretValue" not in world.asked
    # Whoever writes the function may let it say any address: nothing is opened for that.
    assert (found.confidence, found.is_fixable) == (Confidence.LIKELY, False)
    assert report.facts[Section.NETWORK].endswith("the database is not reached")


def test_what_the_value_says_and_what_the_operator_says_comes_before_the_log() -> None:
    world = failing()
    world.with_own_database("10.0.4.9")
    assert collect(Facts(world.ask), SECRET, NOW, world.options).told_address is None


def test_an_address_that_was_logged_before_the_present_value_was_stored_is_another_ones() -> None:
    world = failing()
    versions = [{"VersionId": version, "CreatedDate": ago(minutes=1)} for version in world.secret["VersionIdsToStages"]]
    world.replies["secretsmanager:ListSecretVersionIds"] = {"Versions": versions}
    world.secret["LastChangedDate"] = ago(minutes=1)
    assert collect(Facts(world.ask), SECRET, NOW).told_address is None


def test_who_may_read_neither_is_told_how_the_way_is_looked_at() -> None:
    world = failing("[ERROR] OperationalError: connection failed: timeout expired")
    report = diagnosed(world)

    assert the_cause(report).id == "db-unreachable"
    assert "--db-host HOST:PORT" in the_cause(report).remedy.text
    asked, stored = the_cause(report).remedy.by_hand
    assert asked == "keyturn doctor svc/orders/db --read-value"
    assert stored_by(stored) == SECRET
    assert "was not looked at" in report.facts[Section.NETWORK]


def test_on_keyturn_the_trace_to_the_address_is_named() -> None:
    found = the_cause(on_keyturn(failing()))
    assert found.id == "db-unreachable"
    traced, stored = found.remedy.by_hand
    assert traced == f"keyturn network trace rotate-orders {OWN_HOST}:5432"
    # The address may be wrong.
    assert stored_by(stored) == SECRET


def test_the_mend_of_an_earlier_failure_is_none_of_this_one() -> None:
    world = failing()
    before = ago(hours=3)
    world.fail("createSecret", at=before)
    world.denied("secretsmanager:GetSecretValue", SECRET, "because no identity-based policy allows it", at=before)
    report = diagnosed(world)

    assert report.verdict is Verdict.BROKEN
    assert the_cause(report).id == "db-unreachable"
    assert any(finding.is_history for finding in report.findings)
    assert "changed since" not in report.summary


def test_an_older_failure_of_another_kind_is_not_what_was_mended() -> None:
    world = failing()
    world.run("[ERROR] NotImplementedError" + TRACE, at=ago(hours=3))
    world.fail("createSecret", at=ago(hours=3) + timedelta(seconds=2))
    report = diagnosed(world)

    assert the_cause(report).id == "db-unreachable"
    assert any(finding.is_history for finding in report.findings)
