"""The secret's value: can the function use it?

What the value says is seen with ``--read-value`` only; otherwise the function's own words have to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from shlex import quote

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Unasked, check
from keyturn.doctor.lines import LineCause, Said, finding_of, newest_said
from keyturn.doctor.model import Cause, Confidence, Evidence, Finding, Remedy, Role, Section, Topic
from keyturn.doctor.own_functions import own_function, unusable_port
from keyturn.doctor.remedies import STORE_VALUE, store_value
from keyturn.doctor.value import MOST_KEYS, ValueParts

_LOG = ("logs:FilterLogEvents",)
_BOTH = (*_LOG, "secretsmanager:GetSecretValue")
_A_MOMENT = timedelta(minutes=5)
_KEYS_OF_DATABASES = ("username", "password", "engine", "host")

NOT_JSON = Cause(
    id="secret-not-json",
    section=Section.VALUE,
    topic=Topic.BEYOND,
    title="The secret's value is not the JSON object that the function expects",
    symptoms=(
        "JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
        "Invalid secret value JSON for secret",
        "Invalid secret value json for secret",
    ),
    evidence=_BOTH,
    decision="The newest failed invocation says so. With --read-value the value itself is looked at, too: if it is a"
    " JSON object, the line is about something else; if it is none, that is the cause where the function is one of"
    " Keyturn's (by its handler), and a risk where it is another that has never rotated this value.",
    remedy="Store the JSON object that the function asks for, with the credentials that are valid in the database.",
)
_INVALID_JSON = re.compile(
    r"Invalid secret value json|Failed to parse secret string from|JSONDecodeError: [^\n\r]*", re.IGNORECASE
)


@check(NOT_JSON)
def secret_not_json(case: Case) -> Iterator[Finding]:
    """Look for a value that cannot be parsed."""
    said, value = _said_or_value(case, _INVALID_JSON)
    if value is not None and not value.is_object and not value.is_binary and not _stands(said):
        yield from _unread(case, NOT_JSON, f"the value of {case.name} is no JSON object", "which {} expect{}")
        return
    if said is None or (value is not None and (value.is_object or value.is_binary)):
        return
    is_sure = value is not None or "JSONDecodeError" not in said.match[0]
    finding = finding_of(
        case,
        said,
        NOT_JSON,
        f"the value of {case.name} is no JSON object",
        Remedy("Store it as the JSON object that the function asks for.", by_hand=store_value(case.arn)),
        Confidence.CERTAIN if is_sure else Confidence.LIKELY,
    )
    yield _with_value(case, finding, value)


IS_BINARY = Cause(
    id="secret-is-binary",
    section=Section.VALUE,
    topic=Topic.BEYOND,
    title="The secret's value is binary, and the function reads text",
    symptoms=("KeyError: 'SecretString'", "SecretString is missing"),
    evidence=_BOTH,
    decision="The newest failed invocation misses SecretString. With --read-value: the value has SecretBinary only,"
    " which is the cause where the function is one of Keyturn's, and a risk where it is another that has never rotated"
    " this value.",
    remedy="Store the value as SecretString.",
)
_NO_STRING = re.compile(r"KeyError: ['\"]SecretString\b")


@check(IS_BINARY)
def secret_is_binary(case: Case) -> Iterator[Finding]:
    """Look for a value without text."""
    said, value = _said_or_value(case, _NO_STRING)
    if value is not None and value.is_binary and not _stands(said):
        yield from _unread(
            case, IS_BINARY, f"the value of {case.name} is in SecretBinary", "and {} read{} SecretString"
        )
        return
    if said is None or (value is not None and not value.is_binary):
        return
    finding = finding_of(
        case,
        said,
        IS_BINARY,
        f"the value of {case.name} is in SecretBinary, and {case.function_name} reads SecretString",
        Remedy("Store it with --secret-string.", by_hand=store_value(case.arn)),
    )
    yield _with_value(case, finding, value)


def _said_or_value(case: Case, pattern: re.Pattern[str]) -> tuple[Said | None, ValueParts | None]:
    """Return the line that tells, and the value if it was to be read.

    Raises:
        Unasked: There is neither the value nor a failed invocation to go by.
        Unseen: Either may not be looked at.
    """
    said, value = newest_said(case, pattern), case.value
    if said is None and value is None and not case.failed_runs:
        looked = case.options.told("--read-value looks at this", "the value is not read here")
        raise Unasked(f"{looked}; no invocation has failed that could tell")
    return said, value


def _stands(said: Said | None) -> bool:
    return said is not None and not said.history


def _unread(case: Case, cause: Cause, title: str, who: str) -> Iterator[Finding]:
    """Tell of a value that no function for databases can read, as surely as is known what the function reads."""
    is_own = own_function(case) is not None
    if is_own or (case.has_failed and not case.failed_runs):
        role = Role.CAUSE
    elif _was_rotated(case):
        # It is the function itself that has stored it.
        return
    else:
        role = Role.RISK
    reader = who.format(case.function_name, "s") if is_own else who.format("most functions", "")
    yield Finding(
        cause,
        f"{title}, {reader}",
        (Evidence("secretsmanager:GetSecretValue", case.name, "not shown"),),
        Remedy("Store it as the function reads it.", by_hand=store_value(case.arn)),
        role=role,
        confidence=Confidence.CERTAIN if is_own else Confidence.LIKELY,
        step=case.failed_step,
    )


def _was_rotated(case: Case) -> bool:
    """Whether the current value is one that a rotation has stored."""
    rotated_at, stored_at = case.last_rotated_at, case.value_stored_at
    return rotated_at is not None and stored_at is not None and stored_at <= rotated_at + _A_MOMENT


def _of_value(
    case: Case, cause: Cause, title: str, value: ValueParts, *, is_certain: bool, text: str = "Store it as it must be."
) -> Finding:
    """Return what the value itself shows: a cause if the function is known to need it otherwise, else a risk."""
    return Finding(
        cause,
        title,
        (_keys(case, value),),
        Remedy(text, by_hand=store_value(case.arn)),
        role=Role.CAUSE if is_certain else Role.RISK,
        confidence=Confidence.CERTAIN if is_certain else Confidence.LIKELY,
        step=case.failed_step if is_certain else None,
    )


KEY_MISSING = Cause(
    id="secret-key-missing",
    section=Section.VALUE,
    topic=Topic.BEYOND,
    title="The secret's JSON lacks a key that the function needs",
    symptoms=(
        "KeyError: 'host key is missing from secret JSON'",
        "KeyError: 'username key is missing from secret JSON'",
        "KeyError: 'password key is missing from secret JSON'",
        "KeyError: 'engine key is missing from secret JSON'",
        "KeyError: 'dbIdentifier key is missing from secret JSON.'",
        "KeyError: 'host'",
        "createSecret: secret %s has no user_arn defined.",
    ),
    evidence=_BOTH,
    decision="The newest failed invocation names the key. With --read-value the value's keys are looked at, too: if the"
    " key is there, the line is about something else. That a database's value lacks username, password, engine or host"
    " is the cause where the function is one of Keyturn's, and a risk where it is another.",
    remedy="Add the key with put-secret-value. For a database of RDS, attaching the secret to it (CDK, CloudFormation"
    " SecretTargetAttachment) adds engine, host and port.",
)
_MISSING_KEY = re.compile(
    r"\b(?P<key>(?!masterarn\b)\w+) key is missing from secret JSON"
    r"(?:[^\n\r]{0,300}? of master secret (?P<master>arn:\S+?)['\"]?(?:\s|$))?"
    r"|KeyError: ['\"](?P<bare>username|password|host|engine|port|dbname|db(?:Cluster|Instance)Identifier)['\"]\s*$"
    r"|createSecret: secret \S+ has no (?P<arn>user_arn) defined",
    re.MULTILINE,
)


@check(KEY_MISSING)
def secret_key_missing(case: Case) -> Iterator[Finding]:
    """Look for a key that the function has missed, or will miss."""
    said, value = _said_or_value(case, _MISSING_KEY)
    if said is not None and (_stands(said) or value is None):
        key = said.match["key"] or said.match["bare"] or said.match["arn"]
        master = said.match["master"]
        if value is not None and not master and key in value.keys:
            return
        yield _with_value(case, _missing_key(case, said, key, master), value)
    elif value is not None and value.is_object:
        own = own_function(case)
        needed = own.keys if own is not None else _KEYS_OF_DATABASES if "engine" in value.keys else ()
        lacking = [key for key in needed if key not in value.keys]
        # RDS keeps the address of its own secrets elsewhere.
        is_cut = len(value.keys) >= MOST_KEYS
        if not lacking or is_cut or case.secret.get("OwningService") or (own is None and lacking == ["host"]):
            return
        title = f"the value of {case.name} has no key {' and no key '.join(lacking)}"
        yield _of_value(case, KEY_MISSING, title, value, is_certain=own is not None, text="Add what is missing.")


def _missing_key(case: Case, said: Said, key: str, master: str | None) -> Finding:
    whose = f"the superuser secret {master}" if master else case.name
    return finding_of(
        case,
        said,
        KEY_MISSING,
        f"the value of {whose} has no key {key}",
        Remedy(
            f"Add {key} to it: store the whole JSON object again, with the other keys as they are.",
            by_hand=store_value(master or case.arn),
        ),
        Confidence.LIKELY if said.match["bare"] else Confidence.CERTAIN,
    )


ENGINE_MISMATCH = Cause(
    id="secret-engine-mismatch",
    section=Section.VALUE,
    topic=Topic.BEYOND,
    title="The function is for another database engine than the secret's value names",
    symptoms=(
        "KeyError: \"Database engine must be set to 'postgres' in order to use this rotation lambda\"",
        "Database engine must be set to 'mysql' in order to use this rotation lambda",
        "Database engine must be set to 'mariadb' in order to use this rotation lambda",
        "Database engine must be set to 'sqlserver' in order to use this rotation lambda",
        "Database engine must be set to 'oracle' in order to use this rotation lambda",
        "Database engine must be set to 'mongo' in order to use this rotation lambda",
        "Database engine must be set to 'redshift' in order to use this rotation lambda",
        "Database engine must be set to 'db2' in order to use this rotation lambda",
        ("Database engine must be set to 'timestream-influxdb' in order to use this Lambda rotation function."),
    ),
    evidence=_BOTH,
    decision="The newest failed invocation says which engine the function is for, or its handler does if it is one of"
    " Keyturn's. With --read-value the value's engine is told beside it.",
    remedy="Set engine to what the database is, or give the secret the function that is made for it. Old functions of"
    " AWS refuse aurora-mysql and aurora-postgresql, too.",
)
_OTHER_ENGINE = re.compile(r"Database engine must be set to '(?P<engine>[\w-]+)'")


@check(ENGINE_MISMATCH)
def secret_engine_mismatch(case: Case) -> Iterator[Finding]:
    """Look for a function that is made for another engine."""
    said, value = _said_or_value(case, _OTHER_ENGINE)
    own = own_function(case)
    if own is not None and value is not None and "engine" in value.keys and not _stands(said):
        if value.text("engine") not in own.engine_names:
            title = (
                f"the function {case.function_name} is for engine {own.engine_names[0]}, and the value of {case.name}"
                f" says engine {value.text('engine') or 'not as text'}"
            )
            text = "Set engine in the value to what the database is, or give the secret the function made for it."
            yield _of_value(case, ENGINE_MISMATCH, title, value, is_certain=True, text=text)
        return
    if said is None or (value is not None and value.text("engine") == said.match["engine"]):
        return
    found = f"engine {value.text('engine') or 'missing'}" if value is not None else "another engine, or none"
    finding = finding_of(
        case,
        said,
        ENGINE_MISMATCH,
        f"the function {case.function_name} is for engine {said.match['engine']}, and the value of {case.name} says"
        f" {found}",
        Remedy(
            "Set engine in the value to what the database is, or give the secret the function that is made for it.",
            by_hand=(*store_value(case.arn), f"keyturn function create --for {quote(case.name)}"),
        ),
    )
    yield _with_value(case, finding, value)


NAME_LIKE_SUFFIX = Cause(
    id="secret-name-looks-like-suffix",
    section=Section.VALUE,
    topic=Topic.BEYOND,
    title="The secret's name ends like the suffix of an ARN, and was asked for by a partial one",
    symptoms=("ResourceNotFoundException: Secrets Manager can't find the specified secret.",),
    evidence=("logs:FilterLogEvents", "secretsmanager:DescribeSecret"),
    decision="The secret is there, its name ends in a hyphen and six characters, and the newest failed invocation"
    " could not find a secret.",
    remedy="Use the complete ARN everywhere, or give the secret another name.",
)
_NOT_FOUND = re.compile(r"Secrets Manager can't find the specified secret\.")
_LIKE_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")


@check(NAME_LIKE_SUFFIX)
def secret_name_looks_like_suffix(case: Case) -> Iterator[Finding]:
    """Look for a name that ends like an ARN."""
    is_alike = _LIKE_SUFFIX.search(case.name) is not None
    said = newest_said(case, _NOT_FOUND)
    if said is None or not is_alike:
        return
    yield finding_of(
        case,
        said,
        NAME_LIKE_SUFFIX,
        f"the name {case.name} ends like an ARN's suffix, and {case.function_name} does not find it",
        Remedy(f"Ask for it by the complete ARN: {case.arn}"),
        Confidence.LIKELY,
    )


_CANNOT_BE_USED = LineCause(
    Cause(
        id="secret-value-unusable",
        section=Section.VALUE,
        topic=Topic.BEYOND,
        title="A key of the secret's JSON holds what the function cannot use",
        symptoms=(
            "host in the secret JSON must be text, not empty and without NUL.",
            "port in the secret JSON must be a number from 1 to 65535.",
            "host and port in the secret JSON must name as many ports as hosts, or one port for all.",
        ),
        evidence=_BOTH,
        decision="The newest failed invocation of this secret names the key and what it must be. With --read-value"
        " host, username and port of the value are looked at, too: the cause where the function is one of Keyturn's;"
        " a port that is no number is a risk where it is another.",
        remedy="Store the value with that key set right.",
    ),
    re.compile(
        r"ValueError: (?P<why>[\w ]{1,80} in the secret JSON must [^\n\r]{0,300}?)(?: See master secret|[\n\r]|$)"
    ),
    "the value of {secret} cannot be used: {why}",
    "Store the whole JSON object again with that key set right.",
    by_hand=(STORE_VALUE,),
)


@check(_CANNOT_BE_USED.cause)
def secret_value_unusable(case: Case) -> Iterator[Finding]:
    """Look for a key that holds what the function has refused, or will refuse."""
    said, value = _said_or_value(case, _CANNOT_BE_USED.pattern)
    if _stands(said) or value is None:
        yield from _CANNOT_BE_USED(case)
        return
    own = own_function(case)
    why = own.unusable(value) if own is not None else unusable_port(value) if "engine" in value.keys else ""
    if why:
        title = f"the value of {case.name} cannot be used: {why}"
        yield _of_value(case, _CANNOT_BE_USED.cause, title, value, is_certain=own is not None)
    else:
        yield from _CANNOT_BE_USED(case)


def _with_value(case: Case, finding: Finding, value: ValueParts | None) -> Finding:
    """Return a finding with what is known of the value as further evidence."""
    if value is None:
        return finding
    return replace(finding, evidence=(*finding.evidence, _keys(case, value)))


def _keys(case: Case, value: ValueParts) -> Evidence:
    seen: object = {"keys": sorted(value.keys), "engine": value.text("engine")} if value.is_object else "no JSON object"
    return Evidence("secretsmanager:GetSecretValue", case.name, "SecretBinary" if value.is_binary else seen)
