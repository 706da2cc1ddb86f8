"""An attempt that Secrets Manager or the database did not answer: the network's affair, over where it was mended."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.contract.doctor.vpc import FUNCTION_GROUP, OWN_HOST, PRIVATE_A, PRIVATE_TABLE, table
from tests.contract.doctor.world import NOW, REGION, SECRET, World, ago, diagnosed

from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Finding, Report, Role, Section, Verdict

URL = f"https://secretsmanager.{REGION}.amazonaws.com/"
OPERATOR = "arn:aws:iam::123456789012:user/operator"
FRAME = '\nTraceback (most recent call last):\n  File "/var/task/secret.py", line 86, in labels\n    answer = ask()'
ERRORS = (
    f'ConnectTimeoutError: Connect timeout on endpoint URL: "{URL}"',
    f'EndpointConnectionError: Could not connect to the endpoint URL: "{URL}"',
    f'ReadTimeoutError: Read timeout on endpoint URL: "{URL}"',
    f'ConnectionClosedError: Connection was closed before we received a valid response from endpoint URL: "{URL}".',
)


def failing(said: str = ERRORS[0]) -> World:
    world = World()
    world.in_vpc()
    world.fail()
    world.run(f"[ERROR] {said}{FRAME}")
    return world


def mend(world: World, table_id: str = PRIVATE_TABLE, *, minutes: float = 30, **more: object) -> None:
    world.event(
        "CreateRoute",
        secret=None,
        by=OPERATOR,
        at=ago(minutes=minutes),
        parameters={"routeTableId": table_id, "destinationCidrBlock": "0.0.0.0/0"},
        **more,
    )


def silent() -> World:
    """A world whose database has not answered, at an address that the log names, and to which the way is open now."""
    world = World()
    world.in_vpc()
    world.network.with_interface()
    world.fail("setSecret")
    world.run(f"[ERROR] ConnectionTimedOut: host {OWN_HOST}, port 5432: no answer within the time limit{FRAME}")
    return world


def let_out(world: World, *, minutes: float = 30) -> None:
    given: dict[str, object] = {"groupId": FUNCTION_GROUP}
    world.event("AuthorizeSecurityGroupEgress", secret=None, by=OPERATOR, at=ago(minutes=minutes), parameters=given)


def ids(report: Report) -> set[str]:
    return {finding.id for finding in report.findings}


def the_note(report: Report, cause_id: str = "secretsmanager-unanswered") -> Finding:
    [found] = [each for each in report.findings if each.id == cause_id]
    return found


@pytest.mark.parametrize("said", ERRORS)
def test_an_error_of_a_connection_is_not_the_fault_of_the_code(said: str) -> None:
    report = diagnosed(failing(said))
    assert [each.id for each in report.causes] == ["secretsmanager-unanswered"]
    assert "function-unhandled-error" not in ids(report)
    assert report.causes[0].remedy.by_hand == (
        f"keyturn network trace rotate-orders secretsmanager.{REGION}.amazonaws.com:443",
    )


@pytest.mark.parametrize("said", ERRORS)
def test_what_is_in_the_way_is_told_alone(said: str) -> None:
    world = failing(said)
    world.network.route_tables[0] = table(PRIVATE_TABLE, {}, main=True)
    report = diagnosed(world)
    assert [each.id for each in report.causes] == ["network-no-route-to-secretsmanager"]
    assert not ids(report) & {"function-unhandled-error", "secretsmanager-unanswered"}


def test_a_network_that_was_mended_since_is_said_to_be() -> None:
    world = failing()
    mend(world)
    report = diagnosed(world)
    note = the_note(report)
    assert (report.verdict, note.role, note.is_history) == (Verdict.INCONCLUSIVE, Role.NOTE, True)
    assert report.summary.startswith("What failed has been changed since")
    assert "CreateRoute" in note.title
    assert [each.excerpt for each in note.evidence[1:]] == [f"CreateRoute by {OPERATOR}"]


def test_what_was_changed_before_of_another_network_or_in_vain_mends_nothing() -> None:
    world = failing()
    mend(world, minutes=90)
    mend(world, "rtb-of-somebody-else")
    mend(world, errorCode="Client.UnauthorizedOperation", errorMessage="no")
    assert the_note(diagnosed(world)).role is Role.CAUSE


def test_a_later_failure_of_another_kind_is_not_over_by_that() -> None:
    world = failing()
    mend(world)
    world.fail("setSecret", at=ago(minutes=10))
    world.run("[ERROR] NotImplementedError" + FRAME, at=ago(minutes=10) - timedelta(seconds=2))
    assert [each.id for each in diagnosed(world).causes] == ["function-not-implemented"]


def test_the_trail_is_asked_for_changes_after_such_a_failure_only() -> None:
    world = World()
    world.in_vpc()
    asked = [str(each.question.parameters) for each in collect(Facts(world.ask), SECRET, NOW).facts.answers()]
    assert not any("CreateRoute" in each for each in asked)


def test_a_server_of_somebody_elses_that_does_not_answer_is_quoted() -> None:
    world = failing('EndpointConnectionError: Could not connect to the endpoint URL: "https://api.example/"')
    assert [each.id for each in diagnosed(world).causes] == ["function-unhandled-error"]


def test_what_was_changed_while_the_call_waited_counts_for_the_next_one() -> None:
    world = World()
    world.in_vpc()
    world.fail()
    begun, ended = ago(minutes=61), ago(minutes=60)
    world.run(at=begun)
    world.log[-1]["timestamp"] = world.log[-2]["timestamp"] = int(ended.timestamp() * 1000) + 2
    said = {**world.log[-1], "timestamp": int(ended.timestamp() * 1000) + 1, "message": f"[ERROR] {ERRORS[0]}{FRAME}"}
    world.log.insert(-2, said)
    mend(world, minutes=60.5)
    assert the_note(diagnosed(world)).role is Role.NOTE


def test_a_database_whose_network_was_mended_since_is_said_to_be() -> None:
    world = silent()
    assert [each.id for each in diagnosed(world).causes] == ["db-unreachable"]
    let_out(world)
    report = diagnosed(world)
    note = the_note(report, "db-unreachable")
    assert (report.verdict, note.role, note.is_history) == (Verdict.INCONCLUSIVE, Role.NOTE, True)
    assert report.summary.startswith("What failed has been changed since")
    assert "AuthorizeSecurityGroupEgress" in note.title
    assert [each.excerpt for each in note.evidence[1:]] == [f"AuthorizeSecurityGroupEgress by {OPERATOR}"]


def test_what_did_not_open_the_way_to_the_database_is_no_mend() -> None:
    before, elsewhere, shut = silent(), silent(), silent()
    let_out(before, minutes=90)
    mend(elsewhere, "rtb-of-somebody-else")
    let_out(shut)
    shut.network.groups[FUNCTION_GROUP]["IpPermissionsEgress"] = []
    assert [each.id for each in diagnosed(before).causes] == ["db-unreachable"]
    assert [each.id for each in diagnosed(elsewhere).causes] == ["db-unreachable"]
    assert "function-sg-blocks-egress" in {each.id for each in diagnosed(shut).causes}


def test_a_database_whose_trail_may_not_be_read_is_told_as_before() -> None:
    world = silent()
    let_out(world)
    world.deny("cloudtrail:LookupEvents")
    assert [each.id for each in diagnosed(world).causes] == ["db-unreachable"]


def test_where_no_map_leads_nothing_is_called_open_or_mended() -> None:
    world = silent()
    let_out(world)
    there = {"Address": OWN_HOST, "IsMapped": False, "Destination": "is nobody's"}
    world.with_probe({"Network": "vpc", "Probes": [{"SubnetId": PRIVATE_A, "Addresses": [there]}]})
    report = diagnosed(world)
    assert [each.id for each in report.causes] == ["network-map-missing"]
    assert report.facts[Section.NETWORK].endswith("the database is not reached")
