"""The audit trail: events newest first, one of them with why it was refused, and whether the trail is unbroken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from keyturn.console.event_search import FIELDS, find_events
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.routing import page
from keyturn.console.visit import Refused, Visit
from keyturn.doctor.refused_call import denial_of
from keyturn.rules.event_reading import about, can_be_explained, is_denied, outcome, short, who
from keyturn.rules.policy.denial import (
    Denial,
    kept_by_conditions,
    name_of,
    ruling,
    said,
    silent,
    source_of,
    without_policies,
)

# What an address says that asks for reads and changes.
_ANY = "any"


@page("audit", title="Audit", order=60)
def show(visit: Visit) -> Reply:
    """Show one page of events: of changes, as AWS's console does, unless something is asked for."""
    if not visit.query:
        return Redirect(address("audit", read="false"))
    wanted = {name: visit.asked(name) for name in FIELDS}
    if wanted["read"] == _ANY:
        wanted["read"] = ""
    begin = visit.asked("next")
    found = visit.tried(lambda: find_events(visit.clients, wanted, begin))
    refused = found if isinstance(found, Refused) else None
    shown = None if isinstance(found, Refused) else found
    rows = [_row(event) for event in shown.events] if shown else []
    # Who goes on through the pages has seen it.
    trail = None if begin else visit.look("keyturn", "get_audit_trail_status")
    return Html("audit.html", {"wanted": wanted, "found": shown, "refused": refused, "rows": rows, "trail": trail})


@page("audit/event", needs="id", chosen_in="audit")
def show_event(visit: Visit) -> Reply:
    """Show one event, and if its call was refused, why, and what would allow it."""
    event_id = visit.asked("id")
    attribute = {"AttributeKey": "EventId", "AttributeValue": event_id}
    entries = visit.clients["cloudtrail"].lookup_events(LookupAttributes=[attribute])["Events"]
    if not entries:
        refused = Refused("", f"There is no event {event_id} in this account and region.", is_denial=False, status=404)
        return Html("refused.html", {"refused": refused}, 404)
    event = json.loads(entries[0]["CloudTrailEvent"])
    explained = visit.tried(lambda: _explained(visit, denial_of(visit.clients, event))) if is_denied(event) else None
    return Html("audit_event.html", {"event": event, "row": _row(event), "explained": explained})


@page("audit/trail")
def show_trail(visit: Visit) -> Reply:
    """Show how the trail stands."""
    return Html("audit_trail.html", {"trail": visit.look("keyturn", "get_audit_trail_status")})


def _row(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a line of the list shows of an event."""
    return {
        "id": event["eventID"],
        "at": event["eventTime"],
        "name": event["eventName"] or "(no name)",
        "service": str(event.get("eventSource", "")).partition(".")[0],
        "who": who(event),
        "who_short": short(who(event)),
        "about": about(event),
        "about_short": short(about(event)),
        "outcome": outcome(event),
        "is_denied": is_denied(event),
        "is_failed": outcome(event) != "ok",
        "can_be_explained": can_be_explained(event),
    }


def _explained(visit: Visit, denial: Denial) -> Mapping[str, Any]:
    """Return why a call was refused, in sentences, and what would allow it, with what may be done at once."""
    context, placements = denial.message["context"], denial.placements()
    return {
        "principal": denial.principal_arn,
        "action": context["action"],
        "resource": context["resource"],
        "source": source_of(denial.event),
        "ruling": ruling(denial),
        "policies": [
            {
                "name": name_of(policy),
                "full_name": policy["policyName"],
                "kind": policy["policyType"],
                "said": [said(verdict, denial.condition_keys) for verdict in policy["statements"]],
            }
            for policy in denial.policies
            if policy["statements"]
        ],
        "silent": silent(denial) if denial.policies else without_policies(denial),
        "condition_keys": denial.condition_keys,
        "conditions": list(kept_by_conditions(denial)) if placements else [],
        "remedies": [
            {"statement": statement, "placement": placement, "may_put": _may_put(visit, placement.policy)}
            for statement, placement in placements
        ],
    }


def _may_put(visit: Visit, policy: Any) -> bool:
    if policy is None:
        return False
    named = {"UserName" if policy.kind == "user" else "RoleName": policy.holder}
    return visit.clients.allow(
        "iam", f"put_{policy.kind}_policy", **named, PolicyName=policy.name, PolicyDocument=policy.document
    )
