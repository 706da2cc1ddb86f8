"""Can the function read the superuser secret, which AWS's guide calls the "master" secret?

Which one that is stands in the secret's value (``masterarn``), in a refused call, or in the role's policies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from shlex import quote

from keyturn.doctor.access import Access, Verdict, access
from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, check
from keyturn.doctor.denials import NO_KEY, Denial, denials, evidence_of
from keyturn.doctor.documents import texts
from keyturn.doctor.facts import Kind, Unseen
from keyturn.doctor.key_use import DECRYPT, KEY_CALLS, KeyUse, use_of_key
from keyturn.doctor.known_keys import keys_of_call
from keyturn.doctor.log import LogLine
from keyturn.doctor.model import Cause, Change, Confidence, Evidence, Finding, Fix, Remedy, Role, Section, Topic
from keyturn.doctor.remedies import command, put_role_policy, store_value
from keyturn.doctor.rotation_calls import IDENTITY, nearly, require_role
from keyturn.doctor.rotation_policies import key_policy, superuser_policy
from keyturn.doctor.secret_arns import miss
from keyturn.doctor.seen_policies import ROLE_CALLS, Layers, resource_policy, role_layers, session
from keyturn.doctor.subject import READ

_TEXTS = ("logs:FilterLogEvents", "cloudtrail:LookupEvents")
_SET = "setSecret"

READ_DENIED = Cause(
    id="master-secret-read-denied",
    section=Section.SUPERUSER,
    topic=Topic.FIRST_ROTATION,
    title="The function's role may not read the superuser secret",
    symptoms=(
        (
            "User: %s is not authorized to perform: secretsmanager:GetSecretValue on resource: %s because no"
            " identity-based policy allows the secretsmanager:GetSecretValue action"
        ),
        "AllowAccessToMasterSecret",
        "master secret",
    ),
    evidence=(*ROLE_CALLS, *_TEXTS, "secretsmanager:GetResourcePolicy"),
    decision="GetSecretValue was refused on a secret other than the one that is rotated, or masterarn in the value"
    " names one; the role's policies, its boundary and that secret's own policy are evaluated for it.",
    remedy="Add the guide's statement AllowAccessToMasterSecret to the role: GetSecretValue on the superuser secret.",
    fix=Fix.WIDENS,
)


@check(READ_DENIED)
def master_secret_read_denied(case: Case) -> Iterator[Finding]:
    """Look whether the role may read it."""
    require_role(case)
    if not case.superuser_arn:
        _require_knowledge(case)
        raise Skip("no superuser secret is known")
    refused = [each for each in case.once(denials) if each.action == READ and each.resource == case.superuser_arn]
    refused = [each for each in refused if not each.is_of_key]
    decided = case.once(_reading)
    if decided.verdict is Verdict.UNKNOWN and not refused:
        decided.give_up()
    if decided.verdict is Verdict.ALLOWED:
        if refused:
            yield _history(refused)
        return
    yield _read_denied(case, decided, refused)


def _read_denied(case: Case, decided: Access, refused: list[Denial]) -> Finding:
    is_seen = decided.verdict is Verdict.DENIED
    layer = decided.layer if is_seen else refused[-1].layer or IDENTITY
    is_gap = layer == IDENTITY and not (decided.is_explicit if is_seen else refused[-1].is_explicit)
    policy = superuser_policy(case.superuser_arn)
    changes = (put_role_policy(case, f"keyturn-{READ_DENIED.id}", policy),) if is_gap else ()
    near = nearly(decided, case.superuser_arn)
    statements = [quoted.evidence for quoted in (decided.deciding, *near) if quoted is not None]
    evidence = (*statements, *evidence_of(refused))
    if not evidence:
        names = [each.name for each in case.role_policies.policies]
        shown = {"policies": names, "none allows": {READ: case.superuser_arn}}
        evidence = (Evidence("iam:ListRolePolicies", f"role/{case.role_name}", shown),)
    how = "" if is_gap else f", by the {layer}"
    misses = [miss(each, case.superuser_arn) for quoted in near for each in texts(quoted.statement.get("Resource"))]
    if any(misses):
        how += f": the ARN in its policy {next(filter(None, misses))}"
    return Finding(
        READ_DENIED,
        f"the function's role {case.role_name} may not read the superuser secret {_name(case)}{how}",
        evidence,
        _let_read(case, layer, changes, policy),
        confidence=decided.confidence if is_seen else Confidence.LIKELY,
        step=_SET,
    )


def _let_read(case: Case, layer: str, changes: tuple[Change, ...], policy: Mapping[str, object]) -> Remedy:
    """Return the remedy; no program applies it if nobody but the function says that this is its superuser secret."""
    if not changes:
        return Remedy(f"Change the {layer}, or spare the role there.", policy=policy)
    text = "Let the role read the superuser secret."
    if case.superuser_is_named_by_value:
        return Remedy(text, changes, policy)
    return Remedy(
        f"{text} That it is {_name(case)} is the function's own word: see whether it is."
        + case.options.told(" With --read-value the secret's value says it, and --fix applies this."),
        policy=policy,
        by_hand=tuple(map(command, changes)),
    )


ARN_MISSING = Cause(
    id="master-secret-arn-missing",
    section=Section.SUPERUSER,
    topic=Topic.FIRST_ROTATION,
    title="The secret's value does not name the superuser secret",
    symptoms=("KeyError: 'masterarn'", "KeyError: 'masterarn key is missing from secret JSON'", "masterarn"),
    evidence=("logs:FilterLogEvents", "secretsmanager:GetSecretValue"),
    decision="The function says that masterarn is missing from the value, which the alternating-users strategy reads;"
    " with --read-value, the value is looked at, too.",
    remedy="Put the superuser secret's whole ARN into the value under masterarn. CloudFormation's MasterSecretArn only"
    " grants the permission, it does not write the key.",
    fix=Fix.PRINTED,
)
_NO_ARN = re.compile(r"KeyError: [\"']masterarn\b[^\n]*|masterarn key is missing from secret JSON[^\n]*")


@check(ARN_MISSING)
def master_secret_arn_missing(case: Case) -> Iterator[Finding]:
    """Look for the function's complaint."""
    found = newest_line(case, _NO_ARN)
    if found is None:
        return
    line, said = found
    value = case.value if case.value_answer is not None and case.value_answer.kind is Kind.OK else None
    evidence = [Evidence("logs:FilterLogEvents", case.log_group, said, line.at)]
    if value is not None and "masterarn" in value.keys:
        yield _was_logged(ARN_MISSING, case, evidence[0], "masterarn was missing from the value, and is there now")
        return
    if value is not None:
        evidence.append(Evidence("secretsmanager:GetSecretValue", case.name, {"keys": sorted(value.keys)}))
    superuser = case.superuser_arn or "SUPERUSER_SECRET_ARN"
    yield Finding(
        ARN_MISSING,
        f"the value of {case.name} names no superuser secret: masterarn is missing",
        tuple(evidence),
        Remedy(
            "Put the superuser secret's ARN into the value.",
            by_hand=(
                (
                    f"aws secretsmanager get-secret-value --secret-id {quote(case.arn)} --query SecretString"
                    f" --output text | jq {quote(f'. + {{masterarn: {json.dumps(superuser)}}}')} > value.json"
                ),
                *store_value(case.arn),
                "rm value.json",
            ),
        ),
        step=case.failed_step or _SET,
    )


NOT_FOUND = Cause(
    id="master-secret-not-found",
    section=Section.SUPERUSER,
    topic=Topic.FIRST_ROTATION,
    title="There is no superuser secret of the ARN that the value names",
    symptoms=(
        (
            "ResourceNotFoundException: An error occurred when calling the GetSecretValue operation: Secrets Manager"
            " can't find the specified secret."
        ),
        "You can't perform this operation on the secret because it was marked for deletion.",
    ),
    evidence=("secretsmanager:DescribeSecret", "logs:FilterLogEvents", "secretsmanager:GetSecretValue"),
    decision="DescribeSecret finds no secret of the ARN that masterarn, a refused call or the role's policy names, or"
    " one that is marked for deletion; where only a policy names it, the function must have said so, too.",
    remedy="Write the whole ARN of the superuser secret into masterarn, or restore the secret.",
    fix=Fix.PRINTED,
    outranks=("master-secret-read-denied", "secret-name-looks-like-suffix"),
)
_NO_SECRET = re.compile(
    r"(?:ResourceNotFoundException|InvalidRequestException)[^\n]{0,200}?GetSecretValue operation: [^\n]{0,200}?"
    r"(?:can't find the specified secret\.|marked for deletion)[^\n]*"
)


@check(NOT_FOUND)
def master_secret_not_found(case: Case) -> Iterator[Finding]:
    """Look for the superuser secret."""
    if not case.superuser_arn:
        _require_knowledge(case)
        raise Skip("no superuser secret is known")
    answer = case.superuser
    assert answer is not None  # noqa: S101 - one is known
    said = newest_line(case, _NO_SECRET) if case.log_events.kind is Kind.OK else None
    texts = () if said is None else (Evidence("logs:FilterLogEvents", case.log_group, said[1], said[0].at),)
    is_gone = answer.kind is Kind.GONE
    deleted_at = None if is_gone else answer.value.get("DeletedDate")
    if not is_gone and deleted_at is None:
        return
    if not case.superuser_is_certain and not texts:
        _ = case.runs
        raise Skip("only a policy names a superuser secret, and it is not there")
    if deleted_at is not None:
        evidence = Evidence("secretsmanager:DescribeSecret", case.superuser_arn, {"DeletedDate": str(deleted_at)})
        restore = Change("secretsmanager", "RestoreSecret", {"SecretId": case.superuser_arn})
        title = f"the superuser secret {_name(case)} is marked for deletion"
        remedy = Remedy("Restore it before its recovery window ends.", (restore,))
    else:
        evidence = Evidence("secretsmanager:DescribeSecret", case.superuser_arn, f"{answer.code}: {answer.message}")
        title = f"there is no superuser secret {case.superuser_arn}"
        filters = f"aws secretsmanager list-secrets --filters Key=name,Values={quote(_bare_name(case))}"
        remedy = Remedy("Write the whole ARN of the superuser secret into masterarn.", by_hand=(filters,))
    yield Finding(NOT_FOUND, title, (evidence, *texts), remedy, step=_SET)


KMS_DENIED = Cause(
    id="master-secret-kms-denied",
    section=Section.SUPERUSER,
    topic=Topic.FIRST_ROTATION,
    title="The function's role may not use the superuser secret's encryption key",
    symptoms=(NO_KEY, f"AccessDeniedException: An error occurred when calling the GetSecretValue operation: {NO_KEY}"),
    evidence=("secretsmanager:DescribeSecret", *KEY_CALLS, *ROLE_CALLS, *_TEXTS),
    decision="The superuser secret is under a customer managed key, and the role's policies, the key's and its grants"
    " do not allow kms:Decrypt, or the key is disabled or being deleted.",
    remedy="Allow kms:Decrypt on the superuser secret's key, which is not the rotated secret's.",
    fix=Fix.PRINTED,
    outranks=("kms-role-denied",),
)


@check(KMS_DENIED)
def master_secret_kms_denied(case: Case) -> Iterator[Finding]:
    """Look whether the role may use the superuser secret's key."""
    require_role(case)
    if not case.superuser_arn:
        _require_knowledge(case)
        raise Skip("no superuser secret is known")
    answer = case.superuser
    assert answer is not None  # noqa: S101 - one is known
    refused = [each for each in case.once(denials) if each.is_of_key and each.is_of_superuser(case)]
    try:
        if not answer.is_gone and case.superuser_key_id in ("", case.key_id):
            return
        use = case.once(_use_of_superuser)
        if use.unknown and not refused:
            use.unknown[0].give_up()
    except Unseen:
        if not refused:
            raise
        yield _kms_denied(case, None, refused)
        return
    state = str(use.described.found["KeyMetadata"].get("KeyState", "Enabled"))
    if use.denied or use.unknown or state != "Enabled":
        yield _kms_denied(case, use, refused)
    elif refused:
        evidence = evidence_of(refused)[-1]
        yield _was_logged(KMS_DENIED, case, evidence, "the superuser secret's key was refused, and may be used now")


def _kms_denied(case: Case, use: KeyUse | None, refused: list[Denial]) -> Finding:
    if use is None or use.unknown:
        arn = use.arn if use is not None else case.superuser_key_id or "KEY_ARN"
        return Finding(
            KMS_DENIED,
            f"the function's role {case.role_name} was refused the key of the superuser secret {_name(case)}",
            evidence_of(refused),
            Remedy(
                "Allow kms:Decrypt on its key, in the role's policies or in the key's.",
                policy=key_policy(arn, (DECRYPT,)),
                by_hand=(command(put_role_policy(case, f"keyturn-{KMS_DENIED.id}", key_policy(arn, (DECRYPT,)))),),
            ),
            confidence=Confidence.LIKELY,
            step=_SET,
        )
    metadata = use.described.found["KeyMetadata"]
    state = str(metadata.get("KeyState", "Enabled"))
    if not use.denied:
        key = {"KeyId": use.arn}
        cancel = (Change("kms", "CancelKeyDeletion", key),) if state == "PendingDeletion" else ()
        return Finding(
            KMS_DENIED,
            f"the key of the superuser secret {_name(case)} is in the state {state}",
            (Evidence("kms:DescribeKey", use.arn, {"KeyState": state}), *evidence_of(refused)),
            Remedy("Make the key usable again.", (*cancel, Change("kms", "EnableKey", key))),
            step=_SET,
        )
    policy = key_policy(use.arn, (DECRYPT,))
    if use.is_by_role():
        is_gap = use.denied[0].layer == IDENTITY and not use.denied[0].is_explicit
        changes = (put_role_policy(case, f"keyturn-{KMS_DENIED.id}", policy),) if is_gap else ()
        remedy = Remedy("Allow kms:Decrypt on its key.", changes, policy)
    else:
        statement = {"Effect": "Allow", "Principal": {"AWS": case.role_arn}, "Action": DECRYPT, "Resource": "*"}
        remedy = Remedy(f"Add this to the key's policy: {json.dumps(statement)}", policy=statement)
    return Finding(
        KMS_DENIED,
        f"the function's role {case.role_name} may not use the key of the superuser secret {_name(case)}",
        (*use.evidence(), *evidence_of(refused)),
        remedy,
        step=_SET,
    )


def newest_line(case: Case, pattern: re.Pattern[str]) -> tuple[LogLine, str] | None:
    """Return the line of the newest failed invocation in which a pattern is found, and what was found.

    Raises:
        Skip: There is none, and no superuser secret that it could be about.
        Unseen: The log may not be seen.
    """
    runs = case.failed_runs
    found = runs[-1].line_with(pattern) if runs else None
    if found is None and not case.superuser_arn:
        raise Skip("no superuser secret is known")
    return None if found is None else (found[0], found[1][0].strip())


def _reading(case: Case) -> Access:
    principal, layers = session(case), role_layers(case)
    secret = case.superuser.found if case.superuser is not None and case.superuser.kind is Kind.OK else None
    keys = keys_of_call(case, principal, secret)
    on_secret = resource_policy(case.superuser_policy, "ResourcePolicy", f"resource policy of {_name(case)}")
    asked = Layers(layers.identity, layers.boundary, on_secret)
    return access(principal, READ, case.superuser_arn, keys, asked, case.simulation_of_superuser)


def _use_of_superuser(case: Case) -> KeyUse:
    assert case.superuser is not None  # noqa: S101 - who asks has looked
    return use_of_key(case, case.superuser_key_id, case.superuser.value, (DECRYPT,))


def _require_knowledge(case: Case) -> None:
    """Return if a superuser secret would be known by a refused call.

    Raises:
        Unseen: Log or trail may not be seen.
    """
    _ = case.runs, case.calls_of_function.value


def _name(case: Case) -> str:
    if case.superuser is not None and case.superuser.kind is Kind.OK:
        return str(case.superuser.found.get("Name", case.superuser_arn))
    return case.superuser_arn


def _bare_name(case: Case) -> str:
    name = case.superuser_arn.rpartition(":secret:")[2]
    return re.sub(r"-[A-Za-z0-9]{6}$", "", name)


def _history(refused: list[Denial]) -> Finding:
    return Finding(
        READ_DENIED,
        f"reading the superuser secret was denied at {refused[-1].at:%Y-%m-%d %H:%M:%S} UTC, and is allowed now",
        evidence_of(refused),
        Remedy("The next attempt will show whether that was it."),
        role=Role.NOTE,
        is_history=True,
    )


def _was_logged(cause: Cause, case: Case, evidence: Evidence, title: str) -> Finding:
    return Finding(
        cause,
        title,
        (evidence,),
        Remedy(f"The next attempt of {case.name} will show whether that was it."),
        role=Role.NOTE,
        is_history=True,
    )
