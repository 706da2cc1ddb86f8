"""Collects everything about one secret: each call once, those that do not wait for each other at the same time.

What has been collected is sealed before a check sees it: a check asks for nothing, so that it says the same of saved
facts as of a living account.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from .case import CALLS_ABOUT_SECRETS, FUNCTION_DELETED, ROTATION_EVENTS, Case, Options
from .facts import Facts, Kind

Note = Callable[[str], None]
"""Is told what is being looked at."""

_AT_ONCE = 4
SERVICE = "secretsmanager.amazonaws.com"


def collect(
    facts: Facts, secret_id: str, now: datetime, options: Options | None = None, note: Note | None = None
) -> Case:
    """Return the case of a secret, sealed.

    Args:
        facts: Where to ask; shared by the cases of many secrets.
        secret_id: Name or ARN.
        now: Aware UTC.
        options: How it is looked at.
        note: Is told what is being looked at.
    """
    tell = note or (lambda _: None)
    asking = Case(facts, secret_id, now, options)
    tell("the secret")
    if asking.described.kind is Kind.OK:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="doctor") as pool:
            parts = [pool.submit(part, asking, tell) for part in (_secret, _function, _trail, _keys)]
            for part in parts:
                part.result()
        if asking.function_arn:
            _log(asking, tell)
            _superuser(asking, tell)
    return Case(facts.sealed(), secret_id, now, options)


def _secret(case: Case, tell: Note) -> None:
    tell("its versions")
    _ = case.versions, case.resource_policy, case.value_answer


def _function(case: Case, tell: Note) -> None:
    if not case.function_arn:
        return
    tell("the function")
    _ = case.function_policy, case.unqualified_function_policy, case.concurrency
    if SERVICE not in str(case.function_policy.found.get("Policy", "")):
        _ = case.policies_of_aliases
    if case.configuration.kind is Kind.OK and case.role_name:
        tell("its role")
        _ = case.role, case.role_policies


def _trail(case: Case, tell: Note) -> None:
    tell("the audit trail")
    names = [*ROTATION_EVENTS, *CALLS_ABOUT_SECRETS]
    if case.function_arn and case.configuration.kind is Kind.GONE:
        names.append(FUNCTION_DELETED)
    for name in names:
        case.trail(name)
    if case.function_arn:
        _ = case.calls_of_function


def _keys(case: Case, tell: Note) -> None:
    if case.key_id:
        tell("the key")
        _ = case.key, case.key_policy, case.key_grants


def _log(case: Case, tell: Note) -> None:
    tell("the function's log")
    _ = case.log_groups, case.log_events


def _superuser(case: Case, tell: Note) -> None:
    if case.superuser_arn:
        tell("the superuser secret")
        _ = case.superuser, case.superuser_policy
        if case.superuser_key_id:
            _ = case.superuser_key, case.policy_of_key(case.superuser_key_id)
