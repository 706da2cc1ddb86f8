"""Why a call was refused, sealed for those who may know: what ``sts:DecodeAuthorizationMessage`` decodes.

The decoded message has the shape that AWS's has: whether the refusal was explicit, the statements that decided, who
asked for what, and the condition keys of the request. What AWS does not say stands under ``keyturn``: the policies that
took part, what kept their statements from applying, and the statements that would allow the call.

Source: AWS STS API Reference, DecodeAuthorizationMessage; the shape from decoded messages in public reports.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keyturn.crypto.tokens import ForeignToken, TokenSealer
from keyturn.rules.policy.conditions import Condition
from keyturn.rules.policy.evaluate import Outcome, Policy
from keyturn.rules.policy.explanation import Explanation, PolicyVerdict, Side, StatementVerdict
from keyturn.rules.policy.patterns import ConditionKeys

# Of an encoded message, by the model of DecodeAuthorizationMessage.
_LIMIT = 10_240
_MOST_STATEMENTS = 30
_ACCOUNT, _MESSAGE = "account", "message"

Json = dict[str, Any]


def encoded_message(tokens: TokenSealer, explanation: Explanation, account_id: str, key_names: Iterable[str]) -> str:
    """Return an explanation as an opaque text of at most 10,240 characters.

    Args:
        tokens: Seals it.
        explanation: Of a refusal.
        account_id: Whose it is to decode.
        key_names: The condition keys to tell, beside those that a policy asks for; across accounts, all.
    """
    message = _message(explanation, key_names)
    while len(sealed := _sealed(tokens, message, account_id)) > _LIMIT:
        _halve(message)
    return sealed


def _halve(message: Json) -> None:
    """Leave out half of what is least needed: statements that led nowhere first, the decision itself never."""
    message["keyturn"]["isCut"] = True
    policies: list[Json] = message["keyturn"]["policies"]
    context = message["context"]
    fullest = max(policies, key=lambda policy: len(policy["statements"]), default=None)
    for cut in (
        fullest["statements"] if fullest else [],
        message["matchedStatements"]["items"],
        policies,
        context["conditions"]["items"],
        message["keyturn"]["remedies"],
    ):
        if cut:
            del cut[len(cut) // 2 :]
            return
    # What is left are names that the caller made up.
    context["resource"] = context["resource"][: len(context["resource"]) // 2]


def decoded_message(tokens: TokenSealer, encoded: str, account_id: str) -> str:
    """Return the JSON of an encoded message.

    Raises:
        ForeignToken: It was not encoded here, or it was altered, or it is another account's.
    """
    opened = tokens.open(encoded)
    if opened[_ACCOUNT] != account_id:
        raise ForeignToken("The message belongs to another account.")
    return opened[_MESSAGE]


def _sealed(tokens: TokenSealer, message: Json, account_id: str) -> str:
    return tokens.seal({_ACCOUNT: account_id, _MESSAGE: json.dumps(message, separators=(",", ":"), ensure_ascii=False)})


def _message(explanation: Explanation, key_names: Iterable[str]) -> Json:
    context, decision = explanation.context, explanation.decision
    principal = context.principal
    asked_for: set[str] = set()
    if explanation.side is Side.BOTH:
        asked_for.update(
            condition.key
            for verdict in explanation.policies
            for statement in verdict.policy.document.statements
            for condition in statement.conditions
        )
    # Whose they are is for another account to know, not their names.
    shown = {"id": principal.unique_id} | ({} if explanation.side is Side.OWNER else {"arn": principal.arn})
    return {
        "allowed": decision.allowed,
        "explicitDeny": decision.outcome is Outcome.EXPLICIT_DENY,
        "matchedStatements": _items(_matched(explanation)),
        "failures": _items([]),
        "context": {
            "principal": shown,
            "action": context.action,
            "resource": context.resource,
            "conditions": _items(_condition_keys(context.keys, sorted({*key_names, *asked_for}))),
        },
        "keyturn": {
            # Across accounts each sees its own: "caller" or "owner".
            "side": explanation.side.name.lower(),
            "decision": {
                "outcome": decision.outcome.value,
                "policyType": decision.policy_type.value,
                "policyName": decision.policy_name,
                "statementIndex": decision.statement_index,
            },
            "policies": [_policy(verdict) for verdict in explanation.policies],
            "remedies": [
                {"policyType": remedy.policy_type.value, "statement": remedy.statement}
                for remedy in explanation.remedies
            ],
        },
    }


def _items(values: Sequence[Json]) -> Json:
    return {"items": list(values)}


def _values(values: Iterable[str]) -> Json:
    return _items([{"value": value} for value in values])


def _condition_keys(keys: ConditionKeys, names: Iterable[str]) -> list[Json]:
    found = ((name, keys.get(name)) for name in names)
    return [{"key": name, "values": _values(values)} for name, values in found if values]


def _matched(explanation: Explanation) -> list[Json]:
    """Return the statements of Deny that apply; without one, none matched, or the call would be allowed."""
    if explanation.decision.outcome is not Outcome.EXPLICIT_DENY:
        return []
    return [
        _matched_statement(_written(verdict.policy)[statement.index])
        for verdict in explanation.policies
        for statement in verdict.statements
        if statement.applies and statement.effect.value == "Deny"
    ][:_MOST_STATEMENTS]


def _matched_statement(statement: Mapping[str, Any]) -> Json:
    return {
        "statementId": statement.get("Sid", ""),
        "effect": str(statement.get("Effect", "")).upper(),
        "principals": _values(_principals(statement.get("Principal", statement.get("NotPrincipal", [])))),
        "principalGroups": _items([]),
        "actions": _values(_listed(statement.get("Action", statement.get("NotAction", [])))),
        "resources": _values(_listed(statement.get("Resource", statement.get("NotResource", [])))),
        "conditions": _items(
            [
                {"key": key, "values": _values(map(str, _listed(values)))}
                for keys in statement.get("Condition", {}).values()
                for key, values in keys.items()
            ]
        ),
    }


def _principals(element: Any) -> list[str]:
    if isinstance(element, dict):
        return [value for values in element.values() for value in _listed(values)]
    return _listed(element)


def _listed(element: Any) -> list[Any]:
    return element if isinstance(element, list) else [element]


def _policy(verdict: PolicyVerdict) -> Json:
    # Those about other actions say nothing here, and nobody reads more than some dozens.
    about = [statement for statement in verdict.statements if statement.applies or statement.is_near][:_MOST_STATEMENTS]
    written = _written(verdict.policy) if about else []
    return {
        "policyType": verdict.policy_type.value,
        "policyName": verdict.policy.name,
        "statementCount": len(verdict.statements),
        "statements": [_verdict(written, statement) for statement in about],
    }


def _verdict(written: Sequence[Json], statement: StatementVerdict) -> Json:
    return {
        "statementIndex": statement.index,
        "applies": statement.applies,
        "namesResource": statement.names_resource,
        "unmet": [_condition(condition) for condition in statement.unmet],
        "statement": written[statement.index],
    }


def _condition(condition: Condition) -> Json:
    return {"operator": condition.operator, "key": condition.key, "values": list(condition.values)}


def _written(policy: Policy) -> list[Json]:
    """Return the statements as they are written in a policy."""
    return _listed(json.loads(policy.text)["Statement"])
