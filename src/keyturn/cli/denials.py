"""Why a call was refused, for people: an event of the trail, decoded and laid out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keyturn.cli.clients import Clients
from keyturn.errors.base import KeyturnError
from keyturn.rules.policy.evaluate import ON_RESOURCE, PolicyType
from keyturn.rules.policy.placements import Placement, placement_of

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Denial:
    """A refused call.

    Attributes:
        event: Its CloudTrail record.
        message: What DecodeAuthorizationMessage says of it.
    """

    event: Json
    message: Json

    @property
    def principal_arn(self) -> str:
        """Who was refused."""
        principal = self.message["context"]["principal"]
        # Of another account's caller no more than the id is told.
        return str(principal.get("arn", principal["id"]))

    @property
    def policies(self) -> Sequence[Json]:
        """The policies that took part, with what their statements say."""
        policies: Sequence[Json] = self.message["keyturn"]["policies"]
        return policies

    @property
    def condition_keys(self) -> dict[str, list[str]]:
        """The condition keys of the call."""
        items = self.message["context"]["conditions"]["items"]
        return {item["key"]: [value["value"] for value in item["values"]["items"]] for item in items}

    def placements(self) -> list[tuple[Json, Placement]]:
        """Return the missing statements, each with its place."""
        resource = self.message["context"]["resource"]
        boundary = next(
            (policy["policyName"] for policy in self.policies if policy["policyType"] == PolicyType.BOUNDARY), ""
        )
        return [
            (
                remedy["statement"],
                placement_of(
                    PolicyType(remedy["policyType"]),
                    remedy["statement"],
                    self.principal_arn,
                    resource,
                    boundary,
                    self.event["eventID"],
                ),
            )
            for remedy in self.message["keyturn"]["remedies"]
        ]

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "event_id": self.event["eventID"],
            "event_time": self.event["eventTime"],
            "event_name": self.event["eventName"],
            "error_message": self.event.get("errorMessage"),
            "principal": self.principal_arn,
            "action": self.message["context"]["action"],
            "resource": self.message["context"]["resource"],
            "decision": self.message["keyturn"]["decision"],
            "condition_keys": self.condition_keys,
            "policies": self.policies,
            "remedies": [
                {"place": placement.place, "statement": statement, "command": placement.command, "hint": placement.hint}
                for statement, placement in self.placements()
            ],
        }


def explain_event(clients: Clients, event_id: str) -> Denial:
    """Return the refused call that an event is about.

    Raises:
        KeyturnError: There is no such event, or it is not about a refused call, or it says no more than its message.
    """
    found = clients["cloudtrail"].lookup_events(
        LookupAttributes=[{"AttributeKey": "EventId", "AttributeValue": event_id}]
    )["Events"]
    if not found:
        raise KeyturnError(
            f"There is no event {event_id} in this account and region.",
            "aws cloudtrail lookup-events shows what there is; each event has its EventId.",
            "The trail is one of an account's region: check --profile and --region.",
        )
    event = json.loads(found[0]["CloudTrailEvent"])
    authorization = (event.get("additionalEventData") or {}).get("authorization")
    if authorization is None:
        told = event.get("errorMessage") or event.get("errorCode") or "it succeeded"
        raise KeyturnError(
            f"No policy refused this {event['eventName']}: {told}.", "Only calls that were refused can be explained."
        )
    if "encodedMessage" not in authorization:
        raise KeyturnError(
            f"{event.get('errorMessage', 'The call was refused')}",
            "Why is told to the account whose resource it was: explain the event of the same sharedEventID there.",
        )
    encoded = authorization["encodedMessage"]
    decoded = clients["sts"].decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"]
    return Denial(event, json.loads(decoded))


def print_denial(console: Console, denial: Denial) -> None:
    """Print who was refused what, what each policy said, and what would allow it."""
    event, context = denial.event, denial.message["context"]
    console.print(f"[bold]{escape(event['eventName'])}[/] was refused at {event['eventTime']}\n")
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("principal", denial.principal_arn),
        ("action", context["action"]),
        ("resource", context["resource"]),
        ("from", event["sourceIPAddress"]),
        ("told", event.get("errorMessage", "")),
    ):
        facts.add_row(f"[dim]{name}[/]", escape(str(value)))
    console.print(facts)
    _print_policies(console, denial)
    _print_decision(console, denial)
    for statement, placement in denial.placements():
        console.print(f"\nIt takes this statement in {escape(placement.place)}:\n")
        console.print(escape(json.dumps(statement, indent=2)))
        if placement.command:
            console.print(f"\n[bold]Add it with:[/]\n\n{escape(placement.command)}")
        elif placement.hint:
            console.print(f"\n[bold]Add it with:[/] {escape(placement.hint)}")


def _print_policies(console: Console, denial: Denial) -> None:
    policies, keys = denial.policies, denial.condition_keys
    if not policies:
        console.print("\nNo policy took part: the caller has none, and neither has the resource.")
        return
    table = Table("Policy", "Kind", "What it says", title="\nThe policies that took part", title_justify="left")
    for policy in policies:
        said = [_said(verdict, keys) for verdict in policy["statements"]]
        count = policy["statementCount"]
        nothing = f"none of its {count} statements is about this action" if count > 1 else "it is about other actions"
        table.add_row(escape(policy["policyName"]), policy["policyType"], escape("\n".join(said) or nothing))
    console.print(table)


def _said(verdict: Json, keys: Mapping[str, list[str]]) -> str:
    statement = verdict["statement"]
    name = f"statement {verdict['statementIndex'] + 1}"
    if statement.get("Sid"):
        name += f" ({statement['Sid']})"
    verb = "denies" if statement["Effect"] == "Deny" else "allows"
    if verdict["applies"]:
        return f"{name} {verb} it"
    reasons = [] if verdict["namesResource"] else [f"for {_resources(statement)} only"]
    for condition in verdict["unmet"]:
        found = ", ".join(keys.get(condition["key"], [])) or "absent"
        wanted = ", ".join(condition["values"])
        reasons.append(f"{condition['key']} is {found} ({condition['operator']} {wanted})")
    return f"{name} {verb} the action, but {' and '.join(reasons)}"


def _resources(statement: Json) -> str:
    written = statement.get("Resource", statement.get("NotResource"))
    shown = ", ".join(written) if isinstance(written, list) else str(written)
    return f"all but {shown}" if "NotResource" in statement else shown


def _print_decision(console: Console, denial: Denial) -> None:
    decision = denial.message["keyturn"]["decision"]
    if denial.message["explicitDeny"] and decision["statementIndex"] is None:
        console.print(f"\n[bold red]Denied explicitly[/] by the {decision['policyType']}, which is another account's.")
        return
    if denial.message["explicitDeny"]:
        console.print(
            f"\n[bold red]Denied explicitly[/] by statement {decision['statementIndex'] + 1} of the"
            f" {decision['policyType']} {escape(str(decision['policyName']))}. No Allow outvotes a Deny: change that"
            " statement, or call in a way that it does not match."
        )
        for statement in _deciding(denial.message):
            console.print(f"\n{escape(json.dumps(statement, indent=2))}")
        return
    console.print(f"\n[bold red]Not allowed[/]: no {decision['policyType']} allows it.")
    if denial.message["keyturn"].get("side") == "caller" and decision["policyType"] in ON_RESOURCE:
        console.print("It is the policy of another account's resource: its account sees what it lacks.")
    elif not denial.message["keyturn"]["remedies"]:
        console.print("What it lacks would not be enough: behind it a Deny stands against the call.")


def _deciding(message: Json) -> list[Json]:
    decision = message["keyturn"]["decision"]
    return [
        verdict["statement"]
        for policy in message["keyturn"]["policies"]
        if (policy["policyName"], policy["policyType"]) == (decision["policyName"], decision["policyType"])
        for verdict in policy["statements"]
        if verdict["applies"] and verdict["statementIndex"] == decision["statementIndex"]
    ]
