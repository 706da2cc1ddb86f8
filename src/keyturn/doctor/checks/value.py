"""The secret's value: can the function use it?

What the value says is seen with ``--read-value`` only; otherwise the function's own words have to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from shlex import quote

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import check
from keyturn.doctor.lines import LineCause, Said, enter, finding_of, newest_said
from keyturn.doctor.model import Cause, Confidence, Evidence, Finding, Remedy, Role, Section, Topic
from keyturn.doctor.value import ValueParts

_LOG = ("logs:FilterLogEvents",)
_BOTH = (*_LOG, "secretsmanager:GetSecretValue")
_STORE = "aws secretsmanager put-secret-value --secret-id {arn} --secret-string file://value.json"
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
    " JSON object, the line is about something else.",
    remedy="Store the JSON object that the function asks for, with the credentials that are valid in the database.",
)
_INVALID_JSON = re.compile(
    r"Invalid secret value json|Failed to parse secret string from|JSONDecodeError: [^\n\r]*", re.IGNORECASE
)


@check(NOT_JSON)
def secret_not_json(case: Case) -> Iterator[Finding]:
    """Look for a value that cannot be parsed."""
    said, value = newest_said(case, _INVALID_JSON), case.value
    if said is None and value is not None and not value.is_object and not value.is_binary and _fails_silently(case):
        yield _unread(case, NOT_JSON, "the value of {} is no JSON object, which most functions expect")
    if said is None or (value is not None and (value.is_object or value.is_binary)):
        return
    is_sure = value is not None or "JSONDecodeError" not in said.match[0]
    finding = finding_of(
        case,
        said,
        NOT_JSON,
        f"the value of {case.name} is no JSON object",
        Remedy(
            "Store it as the JSON object that the function asks for.", by_hand=(_STORE.format(arn=quote(case.arn)),)
        ),
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
    decision="The newest failed invocation misses SecretString. With --read-value: the value has SecretBinary only.",
    remedy="Store the value as SecretString.",
)
_NO_STRING = re.compile(r"KeyError: ['\"]SecretString\b")


@check(IS_BINARY)
def secret_is_binary(case: Case) -> Iterator[Finding]:
    """Look for a value without text."""
    said, value = newest_said(case, _NO_STRING), case.value
    if said is None and value is not None and value.is_binary and _fails_silently(case):
        yield _unread(case, IS_BINARY, "the value of {} is in SecretBinary, and most functions read SecretString")
    if said is None or (value is not None and not value.is_binary):
        return
    finding = finding_of(
        case,
        said,
        IS_BINARY,
        f"the value of {case.name} is in SecretBinary, and {case.function_name} reads SecretString",
        Remedy("Store it with --secret-string.", by_hand=(_STORE.format(arn=quote(case.arn)),)),
    )
    yield _with_value(case, finding, value)


def _fails_silently(case: Case) -> bool:
    """Whether rotation fails and no line tells why: then the value, which was read, is what there is to go by."""
    return case.has_failed and not case.failed_runs


def _unread(case: Case, cause: Cause, title: str) -> Finding:
    return Finding(
        cause,
        title.format(case.name),
        (Evidence("secretsmanager:GetSecretValue", case.name, "not shown"),),
        Remedy("Store it as the function reads it.", by_hand=(_STORE.format(arn=quote(case.arn)),)),
        confidence=Confidence.LIKELY,
        step=case.failed_step,
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
    " is a risk before anything has failed.",
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
    said, value = newest_said(case, _MISSING_KEY), case.value
    if said is not None:
        key = said.match["key"] or said.match["bare"] or said.match["arn"]
        master = said.match["master"]
        if value is not None and not master and key in value.keys:
            return
        yield _with_value(case, _missing_key(case, said, key, master), value)
    elif value is not None and value.is_object and "engine" in value.keys:
        lacking = [key for key in _KEYS_OF_DATABASES if key not in value.keys]
        # RDS keeps the address of its own secrets elsewhere.
        if not lacking or case.secret.get("OwningService") or lacking == ["host"]:
            return
        yield Finding(
            KEY_MISSING,
            f"the value of {case.name} has no key {' and no key '.join(lacking)}",
            (_keys(case, value),),
            Remedy("Add what is missing.", by_hand=(_STORE.format(arn=quote(case.arn)),)),
            role=Role.RISK,
            confidence=Confidence.LIKELY,
        )


def _missing_key(case: Case, said: Said, key: str, master: str | None) -> Finding:
    whose = f"the superuser secret {master}" if master else case.name
    return finding_of(
        case,
        said,
        KEY_MISSING,
        f"the value of {whose} has no key {key}",
        Remedy(
            f"Add {key} to it: store the whole JSON object again, with the other keys as they are.",
            by_hand=(_STORE.format(arn=quote(master or case.arn)),),
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
    decision="The newest failed invocation says which engine the function is for. With --read-value the value's engine"
    " is told beside it.",
    remedy="Set engine to what the database is, or give the secret the function that is made for it. Old functions of"
    " AWS refuse aurora-mysql and aurora-postgresql, too.",
)
_OTHER_ENGINE = re.compile(r"Database engine must be set to '(?P<engine>[\w-]+)'")


@check(ENGINE_MISMATCH)
def secret_engine_mismatch(case: Case) -> Iterator[Finding]:
    """Look for a function that is made for another engine."""
    said, value = newest_said(case, _OTHER_ENGINE), case.value
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
            by_hand=(_STORE.format(arn=quote(case.arn)), f"keyturn function create --for {quote(case.name)}"),
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


enter(
    LineCause(
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
            evidence=_LOG,
            decision="The newest failed invocation of this secret names the key and what it must be.",
            remedy="Store the value with that key set right.",
        ),
        re.compile(
            r"ValueError: (?P<why>[\w ]{1,80} in the secret JSON must [^\n\r]{0,300}?)(?: See master secret|[\n\r]|$)"
        ),
        "the value of {secret} cannot be used: {why}",
        "Store the whole JSON object again with that key set right.",
        by_hand=(_STORE,),
    ),
)


def _with_value(case: Case, finding: Finding, value: ValueParts | None) -> Finding:
    """Return a finding with what is known of the value as further evidence."""
    if value is None:
        return finding
    return replace(finding, evidence=(*finding.evidence, _keys(case, value)))


def _keys(case: Case, value: ValueParts) -> Evidence:
    seen: object = {"keys": sorted(value.keys), "engine": value.text("engine")} if value.is_object else "no JSON object"
    return Evidence("secretsmanager:GetSecretValue", case.name, "SecretBinary" if value.is_binary else seen)
