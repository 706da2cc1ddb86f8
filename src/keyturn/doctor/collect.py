"""Collects everything about one secret: each call once, those that do not wait for each other at the same time.

What has been collected is sealed before a check sees it: a check asks for nothing, so that it says the same of saved
facts as of a living account.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime

from keyturn.rules.rotation_permissions import SECRETS_MANAGER

from .case import CALLS_ABOUT_SECRETS, FUNCTION_DELETED, ROTATION_EVENTS, Case
from .catalogue import Skip
from .changed_by import collect_changes_of
from .facts import Facts, Kind, Unseen
from .network_changes import collect_changes
from .network_probe import probe
from .runner import examine
from .subject import Options

Note = Callable[[str], None]
"""Is told what is being looked at."""

_AT_ONCE = 4


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
            parts = [pool.submit(_part, part, asking, tell) for part in (_secret, _function, _trail, _keys, _network)]
            for part in parts:
                part.result()
        if asking.function_arn:
            _part(_log, asking, tell)
            _part(_superuser, asking, tell)
            _part(_changes, asking, tell)
    return Case(facts.sealed(), secret_id, now, options)


def _part(part: Callable[[Case, Note], None], case: Case, tell: Note) -> None:
    """Collect one part; a reply that is not as it should be blinds the checks that read it, and nothing else."""
    # Calls that cannot be made at all (no credentials, no region) are told to whoever calls.
    with suppress(LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError):
        part(case, tell)


def _secret(case: Case, tell: Note) -> None:
    tell("its versions")
    _ = case.versions, case.resource_policy, case.value_answer, case.stack_events


def _function(case: Case, tell: Note) -> None:
    if not case.function_arn:
        return
    _ = case.last_preflight, case.rotations
    if case.options.preflight:
        tell("the database, from inside the function's sandbox")
        _ = case.preflight
    tell("the function")
    _ = case.function_policy, case.unqualified_function_policy, case.concurrency
    if SECRETS_MANAGER not in str(case.function_policy.found.get("Policy", "")):
        _ = case.policies_of_aliases
    _ = case.function_key
    if case.configuration.kind is Kind.OK and case.role_name:
        tell("its role")
        _ = case.role, case.role_policies
        if case.role.kind is not Kind.GONE:
            _ = case.simulation_of_rotation, case.simulation_of_passwords


def _network(case: Case, tell: Note) -> None:
    if not case.function_arn or case.configuration.kind is not Kind.OK:
        return
    database = case.network.database
    if database is not None:
        tell("the database")
        _ = database.instance, database.cluster, database.proxy, database.writer, database.interfaces
    if case.network.is_attached or database is not None:
        tell("the network")
        case.network.collect()


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
    with suppress(Skip, Unseen):
        collect_changes(case)
    with suppress(Skip, Unseen):
        _ = probe(case)
    if case.silent_failure is not None:
        tell("the function's metrics")
        _ = case.metric("Throttles"), case.metric("Invocations")


def _changes(case: Case, tell: Note) -> None:
    """Ask who has changed what is found to be the cause."""
    tell("who has changed what")
    collect_changes_of(case, examine(Case(case.facts.sealed(), case.secret_id, case.now, case.options)).causes)


def _superuser(case: Case, tell: Note) -> None:
    if case.superuser_arn:
        tell("the superuser secret")
        _ = case.superuser, case.superuser_policy
        if case.configuration.kind is Kind.OK and case.role.kind is not Kind.GONE:
            _ = case.simulation_of_superuser
        if case.superuser_key_id:
            key_id = case.superuser_key_id
            _ = case.superuser_key, case.policy_of_key(key_id), case.grants_of_key(key_id)
