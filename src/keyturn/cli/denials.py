"""Why a call was refused, for people: an event of the trail, decoded and laid out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape

from keyturn.cli.clients import Clients
from keyturn.cli.shown import shown, shown_json
from keyturn.errors.base import KeyturnError
from keyturn.rules.policy.evaluate import ON_RESOURCE, PolicyType
from keyturn.rules.policy.placements import Placement, endpoint_hint, placement_of

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
        return str(principal.get("arn") or principal["id"])

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
        names = {PolicyType.ENDPOINT.value: str(self.event.get("vpcEndpointId", ""))}
        names |= {policy["policyType"]: policy["policyName"] for policy in self.policies}
        return [
            (
                remedy["statement"],
                placement_of(
                    PolicyType(remedy["policyType"]),
                    remedy["statement"],
                    self.principal_arn,
                    resource,
                    names.get(remedy["policyType"], ""),
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
            "Why is told to the account whose resource it was: its administrators find the event in their own trail.",
        )
    encoded = authorization["encodedMessage"]
    decoded = clients["sts"].decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"]
    return Denial(event, json.loads(decoded))


def print_denial(console: Console, denial: Denial, options: str = "") -> None:
    """Print who was refused what, what each policy said, and what would allow it.

    Args:
        console: Where to.
        denial: What is told.
        options: Of the server, as ``as_given`` returns them, for the command.
    """
    event, context = denial.event, denial.message["context"]
    console.print(f"[bold]{_plain(event['eventName'])}[/] was refused at {_plain(event['eventTime'])}\n")
    for name, value in (
        ("principal", denial.principal_arn),
        ("action", context["action"]),
        ("resource", context["resource"]),
        ("from", _source(event)),
        ("told", event.get("errorMessage", "")),
    ):
        console.print(f"[dim]{name:9}[/]  {_plain(value)}")
    _print_policies(console, denial)
    _print_decision(console, denial)
    placements = denial.placements()
    if placements:
        _print_what_conditions_keep(console, denial)
    for statement, placement in placements:
        console.print(f"\nIt takes this statement in {_plain(placement.place)}:\n")
        console.print(_json(statement))
        _print_how_to_add(console, placement, options)


def _source(event: Json) -> str:
    """Return from where a call came, and through which endpoint of a VPC."""
    address, endpoint = str(event["sourceIPAddress"]), event.get("vpcEndpointId")
    return f"{address} through {endpoint}" if endpoint else address


def _print_how_to_add(console: Console, placement: Placement, options: str) -> None:
    command = f"{placement.command}{options}" if placement.command else ""
    if shown(command) != command:
        # What is pasted into a shell is what is read, or nothing.
        console.print("\nNo command is printed: a name in it has characters that cannot be shown.")
    elif command:
        console.print(f"\n[bold]Add it with:[/]\n\n{escape(command)}")
    elif placement.hint:
        console.print(f"\n[bold]Add it with:[/] {_plain(placement.hint)}")


def _print_policies(console: Console, denial: Denial) -> None:
    if not denial.policies:
        is_service = not denial.principal_arn.startswith("arn:")
        whose = "." if is_service else ": the caller has none, and neither has the resource."
        console.print(f"\nNo policy took part{whose}")
        return
    console.print("\n[bold]The policies that took part[/]\n")
    silent = [policy for policy in denial.policies if not policy["statements"]]
    for policy in denial.policies:
        if policy["statements"]:
            _print_policy(console, policy, denial.condition_keys)
    if silent:
        count = len(silent)
        others = "" if count == len(denial.policies) else " other" if count == 1 else " others"
        names = ", ".join(_name(policy) for policy in silent)
        console.print(f"{count}{others} {'is' if count == 1 else 'are'} about {_other(silent)}: {_plain(names)}")


def _print_policy(console: Console, policy: Json, keys: Mapping[str, list[str]]) -> None:
    name, kind = _name(policy), policy["policyType"]
    console.print(_plain(name) if name == kind else f"{_plain(name)} [dim]({_plain(kind)})[/]")
    if name != policy["policyName"]:
        console.print(f"  [dim]{_plain(policy['policyName'])}[/]")
    for verdict in policy["statements"]:
        console.print(f"  {_plain(_said(verdict, keys))}")


def _other(policies: Sequence[Json]) -> str:
    by_principal = {PolicyType.RESOURCE, PolicyType.TRUST, PolicyType.ENDPOINT}
    has_callers = any(policy["policyType"] in by_principal for policy in policies)
    return "other actions or callers" if has_callers else "other actions"


def _name(policy: Json) -> str:
    """Return what people call a policy: of an ARN the name."""
    name = str(policy["policyName"])
    return name.rpartition("/")[2] if name.startswith("arn:") else name


def _called(policy: Json) -> str:
    """Return a policy with its kind, which is said once."""
    name, kind = str(policy["policyName"]), str(policy["policyType"])
    return kind if name == kind else f"{kind} {_name(policy)}"


def _statement_called(verdict: Json) -> str:
    sid = verdict["statement"].get("Sid")
    return f"statement {verdict['statementIndex'] + 1}{f' ({sid})' if sid else ''}"


def _said(verdict: Json, keys: Mapping[str, list[str]]) -> str:
    statement = verdict["statement"]
    name = _statement_called(verdict)
    verb = "denies" if statement["Effect"] == "Deny" else "allows"
    if verdict["applies"]:
        return f"{name} {verb} it"
    reasons = [] if verdict["namesResource"] else [f"for {_resources(statement)} only"]
    for condition in verdict["unmet"]:
        wanted = ", ".join(condition["values"])
        key = _spelled(condition["key"], statement)
        reasons.append(f"{key} is {_found(condition, keys)} ({condition['operator']} {wanted})")
    return f"{name} {verb} the action, but {' and '.join(reasons)}"


def _found(condition: Json, keys: Mapping[str, list[str]]) -> str:
    return ", ".join(keys.get(condition["key"], [])) or "absent"


def _spelled(key: str, statement: Json) -> str:
    """Return a condition key as its statement spells it: upper and lower case are one."""
    written = (name for tests in statement.get("Condition", {}).values() for name in tests)
    return next((name for name in written if name.lower() == key.lower()), key)


def _resources(statement: Json) -> str:
    written = statement.get("Resource", statement.get("NotResource"))
    listed = ", ".join(written) if isinstance(written, list) else str(written)
    return f"all but {listed}" if "NotResource" in statement else listed


def _print_what_conditions_keep(console: Console, denial: Denial) -> None:
    """Print the statements that would allow the call, were it not for their conditions."""
    missing = {remedy["policyType"] for remedy in denial.message["keyturn"]["remedies"]}
    for policy in denial.policies:
        for verdict in policy["statements"] if policy["policyType"] in missing else ():
            statement = verdict["statement"]
            if statement["Effect"] != "Allow" or not verdict["namesResource"] or not verdict["unmet"]:
                continue
            wanted = " and ".join(
                f"{_spelled(condition['key'], statement)} were {condition['operator']} {', '.join(condition['values'])}"
                f" (it is {_found(condition, denial.condition_keys)})"
                for condition in verdict["unmet"]
            )
            sentence = f"S{_statement_called(verdict)[1:]} of the {_called(policy)} would allow it if {wanted}."
            meant = "that condition is" if len(verdict["unmet"]) == 1 else "all of that is"
            console.print(f"\n{_plain(sentence)} If {meant} meant, meet it; the statement below does without it.")


def _print_decision(console: Console, denial: Denial) -> None:
    decision = denial.message["keyturn"]["decision"]
    if denial.message["explicitDeny"] and decision["statementIndex"] is None:
        console.print(f"\n[bold red]Denied explicitly[/] by the {decision['policyType']}, which is another account's.")
        return
    if denial.message["explicitDeny"]:
        console.print(
            f"\n[bold red]Denied explicitly[/] by statement {decision['statementIndex'] + 1} of the"
            f" {_plain(_called(decision))}. No Allow outvotes a Deny: change that"
            " statement, or call in a way that it does not match."
        )
        for statement in _deciding(denial.message):
            console.print(f"\n{_json(statement)}")
        if decision["policyType"] == PolicyType.ENDPOINT:
            console.print(f"\n[bold]Change it with:[/] {_plain(endpoint_hint(decision['policyName']))}")
        return
    console.print(f"\n[bold red]Not allowed[/]: no {_plain(decision['policyType'])} allows it.")
    if denial.message["keyturn"].get("side") == "caller" and decision["policyType"] in ON_RESOURCE:
        console.print("It is the policy of another account's resource: its account sees what it lacks.")
    elif not denial.message["keyturn"]["remedies"]:
        console.print("What it lacks would not be enough: behind it a Deny stands against the call.")


def _json(statement: Json) -> str:
    return escape(shown_json(json.dumps(statement, indent=2)))


def _plain(text: object) -> str:
    return escape(shown(text))


def _deciding(message: Json) -> list[Json]:
    decision = message["keyturn"]["decision"]
    return [
        verdict["statement"]
        for policy in message["keyturn"]["policies"]
        if (policy["policyName"], policy["policyType"]) == (decision["policyName"], decision["policyType"])
        for verdict in policy["statements"]
        if verdict["applies"] and verdict["statementIndex"] == decision["statementIndex"]
    ]
