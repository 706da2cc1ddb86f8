"""Why a call was refused, as the audit trail and DecodeAuthorizationMessage tell of it, in sentences.

What stands in them was written by others: whoever shows them makes sure that it does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Ruling:
    """What decided, in sentences.

    Attributes:
        verdict: ``Denied explicitly`` or ``Not allowed``.
        told: What follows that in its sentence.
        more: Sentences beside it.
        statements: The statements of Deny that decided.
        change: How the policy of a VPC endpoint is changed that denies; empty otherwise.
    """

    verdict: str
    told: str
    more: str = ""
    statements: Sequence[Json] = ()
    change: str = ""


def ruling(denial: Denial) -> Ruling:
    """Return what decided."""
    told, decision = denial.message["keyturn"], denial.message["keyturn"]["decision"]
    kind = decision["policyType"]
    if denial.message["explicitDeny"] and decision["statementIndex"] is None:
        return Ruling("Denied explicitly", f" by the {kind}, which is another account's.")
    if denial.message["explicitDeny"]:
        return Ruling(
            "Denied explicitly",
            f" by statement {decision['statementIndex'] + 1} of the {called(decision)}. No Allow outvotes a Deny:"
            " change that statement, or call in a way that it does not match.",
            statements=_deciding(denial),
            change=endpoint_hint(decision["policyName"]) if kind == PolicyType.ENDPOINT else "",
        )
    more = ""
    if told.get("side") == "caller" and kind in ON_RESOURCE:
        more = "It is the policy of another account's resource: its account sees what it lacks."
    elif not told["remedies"]:
        more = "What it lacks would not be enough: behind it a Deny stands against the call."
    return Ruling("Not allowed", f": no {kind} allows it.", more)


def source_of(event: Json) -> str:
    """Return from where a call came, and through which endpoint of a VPC."""
    address, endpoint = str(event["sourceIPAddress"]), event.get("vpcEndpointId")
    return f"{address} through {endpoint}" if endpoint else address


def name_of(policy: Json) -> str:
    """Return what people call a policy: of an ARN the name."""
    name = str(policy["policyName"])
    return name.rpartition("/")[2] if name.startswith("arn:") else name


def called(policy: Json) -> str:
    """Return a policy with its kind, which is said once."""
    name, kind = str(policy["policyName"]), str(policy["policyType"])
    return kind if name == kind else f"{kind} {name_of(policy)}"


def said(verdict: Json, keys: Mapping[str, list[str]]) -> str:
    """Return what a statement says of the call, and what keeps it from applying."""
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


def silent(denial: Denial) -> str:
    """Return which policies took part and say nothing of such a call; empty if each says something."""
    policies = [policy for policy in denial.policies if not policy["statements"]]
    if not policies:
        return ""
    count = len(policies)
    others = "" if count == len(denial.policies) else "other "
    by_principal = {PolicyType.RESOURCE, PolicyType.TRUST, PolicyType.ENDPOINT}
    has_callers = any(policy["policyType"] in by_principal for policy in policies)
    other = "other actions or callers" if has_callers else "other actions"
    are = "policy is" if count == 1 else "policies are"
    return f"{count} {others}{are} about {other}: {', '.join(map(name_of, policies))}"


def without_policies(denial: Denial) -> str:
    """Return what it means that no policy took part."""
    is_service = not denial.principal_arn.startswith("arn:")
    return f"No policy took part{'.' if is_service else ': the caller has none, and neither has the resource.'}"


def kept_by_conditions(denial: Denial) -> Iterable[str]:
    """Yield a sentence for each statement that would allow the call, were it not for its conditions."""
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
            meant = "that condition is" if len(verdict["unmet"]) == 1 else "all of that is"
            yield (
                f"S{_statement_called(verdict)[1:]} of the {called(policy)} would allow it if {wanted}. If {meant}"
                " meant, meet it; the statement below does without it."
            )


def _statement_called(verdict: Json) -> str:
    sid = verdict["statement"].get("Sid")
    return f"statement {verdict['statementIndex'] + 1}{f' ({sid})' if sid else ''}"


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


def _deciding(denial: Denial) -> list[Json]:
    decision = denial.message["keyturn"]["decision"]
    return [
        verdict["statement"]
        for policy in denial.policies
        if (policy["policyName"], policy["policyType"]) == (decision["policyName"], decision["policyType"])
        for verdict in policy["statements"]
        if verdict["applies"] and verdict["statementIndex"] == decision["statementIndex"]
    ]
