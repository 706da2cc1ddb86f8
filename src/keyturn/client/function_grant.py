"""What a rotation function's role lacks to read the superuser secret, which nobody is silently allowed to."""

from __future__ import annotations

from typing import Any

from keyturn.client.function_plan import Plan
from keyturn.doctor.asking import ClientsByName
from keyturn.rules.rotation_permissions import Statement, superuser_statements


def missing_statements(clients: ClientsByName, plan: Plan, *, is_dry: bool) -> list[Statement]:
    """Return what the role lacks to read the superuser secret, wherever it may have been granted that."""
    iam, superuser = clients["iam"], plan.superuser
    wanted = [] if superuser is None else superuser_statements(superuser.arn, superuser.kms_key_arn)
    try:
        return [statement for statement in wanted if not _is_allowed(iam, plan.role_arn, statement)]
    except iam.exceptions.NoSuchEntityException:
        if not is_dry:
            raise
        return wanted


def _is_allowed(iam: Any, role_arn: str, statement: Statement) -> bool:
    conditions: Any = statement.get("Condition", {})
    context = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in conditions.get("StringEquals", {}).items()
    ]
    results = iam.simulate_principal_policy(
        PolicySourceArn=role_arn,
        ActionNames=[statement["Action"]],
        ResourceArns=[statement["Resource"]],
        ContextEntries=context,
    )["EvaluationResults"]
    return all(result["EvalDecision"] == "allowed" for result in results)
