"""ListPlannedRotations and CountPlannedRotations: when secrets rotate next, and what that was worked out from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from keyturn.call import Call
from keyturn.clock import from_milliseconds, to_milliseconds
from keyturn.errors.secretsmanager import InvalidNextTokenException, InvalidParameterException
from keyturn.operations.kit import Kit
from keyturn.operations.paging import open_page, seal_page
from keyturn.operations.registry import no_subject, operation
from keyturn.operations.secretsmanager.rotation_intent import PLANS
from keyturn.rules.rotation_cause import refused_call
from keyturn.rules.schedule import PlannedState, RotationRules, last_change, parse_rotation_rules, window_that_closes
from keyturn.storage.planned_rotations import (
    PlannedFilter,
    PlannedPosition,
    PlannedRecord,
    load_planned,
    planned_by_hour,
)
from keyturn.wire.types.keyturn import (
    CountPlannedRotationsRequest,
    CountPlannedRotationsResponse,
    ListPlannedRotationsRequest,
    ListPlannedRotationsResponse,
)

_PAGE_SIZE = 100
_LONGEST = timedelta(days=100)


@operation("keyturn", "ListPlannedRotations", subject=no_subject)
def list_planned_rotations(
    kit: Kit, call: Call, request: ListPlannedRotationsRequest, _subject: None
) -> ListPlannedRotationsResponse:
    """List secrets of the caller's account and region with when they rotate next, those under way first."""
    wanted = PlannedFilter(
        begin=request.get("From"),
        end=request.get("To"),
        name_prefix=request.get("NamePrefix", ""),
        function_arn=request.get("RotationLambdaARN"),
        secret_arns=frozenset(request.get("SecretARNs", [])),
        states=frozenset(map(PlannedState, request.get("States", []))),
        is_troubled=request.get("Troubled", False),
    )
    # A token serves the question that it answers the beginning of.
    in_order = f"{sorted(wanted.states)} {sorted(wanted.secret_arns)}"
    listing = f"ListPlannedRotations {replace(wanted, states=frozenset(), secret_arns=frozenset())} {in_order}"
    after = None
    if "NextToken" in request:
        position = open_page(kit, call, listing, request["NextToken"], InvalidNextTokenException())
        at = from_milliseconds(int(position["at_ms"])) if position["at_ms"] else None
        after = PlannedPosition(int(position["part"]), at, int(position["row"]))
    limit = request.get("MaxResults", _PAGE_SIZE)
    with kit.state.read() as connection:
        found = load_planned(connection, call.place, wanted, call.at, after=after, limit=limit + 1)
    response: ListPlannedRotationsResponse = {"PlannedRotations": [_entry(record) for record in found[:limit]]}
    if len(found) > limit:
        last = found[limit - 1].position
        at_ms = "" if last.at is None else str(to_milliseconds(last.at))
        position = {"part": str(last.part), "at_ms": at_ms, "row": str(last.row)}
        response["NextToken"] = seal_page(kit, call, listing, **position)
    return response


@operation("keyturn", "CountPlannedRotations", subject=no_subject)
def count_planned_rotations(
    kit: Kit, call: Call, request: CountPlannedRotationsRequest, _subject: None
) -> CountPlannedRotationsResponse:
    """Count the secrets of the caller's account and region by the hour in which they rotate next."""
    if not timedelta(0) < request["To"] - request["From"] <= _LONGEST:
        raise InvalidParameterException(f"To must be later than From, by {_LONGEST.days} days at most.")
    wanted = PlannedFilter(
        begin=request["From"],
        end=request["To"],
        name_prefix=request.get("NamePrefix", ""),
        function_arn=request.get("RotationLambdaARN"),
    )
    with kit.state.read() as connection:
        hours = planned_by_hour(connection, call.place, wanted)
    return {"Hours": [{"At": at, "Count": count} for at, count in hours.items()]}


def _entry(record: PlannedRecord) -> Any:
    has_failed = record.state is PlannedState.FAILED
    cause, error = (record.failed_cause, record.failed_error) if has_failed else (record.cause, record.error)
    rules = parse_rotation_rules(record.rotation_rules or {})
    members: Mapping[str, object] = {
        "ARN": record.arn,
        "Name": record.name,
        "RotationLambdaARN": record.rotation_function_arn,
        "State": record.state.value,
        "NextRotationAt": record.next_rotation_at,
        "PlannedAt": record.rotation_planned_at,
        "PlannedInMinute": record.planned_in_minute if record.next_rotation_at is not None else None,
        **_window(record, rules),
        "LastRotatedDate": record.last_rotated_at,
        "CountedFrom": last_change(record.last_rotated_at, record.value_made_at),
        "RotationRules": record.rotation_rules,
        "Engine": record.engine,
        "VersionId": record.failed_version_id if has_failed else record.version_id,
        "DueAt": record.due_at if record.state is PlannedState.PENDING else None,
        "Attempt": record.attempt,
        "Attempts": None if record.kind is None else PLANS[record.kind].attempts,
        "Cause": cause,
        "RefusedAction": refused_call(cause, error) or None,
        "FailedAt": record.failed_at if has_failed else None,
        **_preflight(record),
    }
    return {name: value for name, value in members.items() if value is not None}


def _preflight(record: PlannedRecord) -> Mapping[str, object]:
    # What was found before rotation was switched off is not about the next one.
    if record.verdict is None or record.state is PlannedState.OFF:
        return {}
    return {
        "Verdict": record.verdict,
        "Heartbeat": record.heartbeat,
        "PreflightCauses": record.preflight_causes or [],
        "CheckedAt": record.checked_at,
    }


def _window(record: PlannedRecord, rules: RotationRules) -> Mapping[str, object]:
    closes_at = record.next_rotation_closes_at
    if closes_at is None or rules.schedule is None:
        return {}
    return {"WindowOpensAt": window_that_closes(rules, closes_at).opens_at, "WindowClosesAt": closes_at}
