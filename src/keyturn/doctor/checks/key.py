"""The secret's encryption key: can it be used, and may the function's role use it?

A secret under the account's own key for Secrets Manager has nothing to be checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

from keyturn.doctor.access import Access
from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, check
from keyturn.doctor.denials import NO_KEY, Denial, denials, evidence_of
from keyturn.doctor.facts import Answer, Kind, Unseen
from keyturn.doctor.key_use import DECRYPT, GENERATE, KEY_CALLS, KeyUse, use_of_key
from keyturn.doctor.lines import Said, line_evidence, newest_said
from keyturn.doctor.model import Cause, Change, Confidence, Evidence, Finding, Fix, Remedy, Role, Section, Topic
from keyturn.doctor.remedies import command, go_on, put_role_policy
from keyturn.doctor.rotation_policies import key_policy, with_statement, without_statement
from keyturn.doctor.seen_policies import ROLE_CALLS
from keyturn.rules.policy.evaluate import PolicyType
from keyturn.rules.rotation_permissions import Statement

_NOT_ALLOWED = f"AccessDeniedException: An error occurred when calling the GetSecretValue operation: {NO_KEY}"
_NOT_DECRYPTED = (
    "DecryptionFailure: Secrets Manager can't decrypt the protected secret text using the provided KMS key."
)
_EVIDENCE = (*KEY_CALLS, *ROLE_CALLS, "logs:FilterLogEvents", "cloudtrail:LookupEvents")
_DESCRIBED = ("secretsmanager:DescribeSecret", "kms:DescribeKey")

ROLE_DENIED = Cause(
    id="kms-role-denied",
    section=Section.KEY,
    topic=Topic.ACCESS_DENIED,
    title="The function's role may not use the secret's encryption key",
    symptoms=(_NOT_ALLOWED, NO_KEY),
    evidence=_EVIDENCE,
    decision="The secret is under a customer managed key. The key's policy leaves it to the account's own policies who"
    " may use it, and those of the role lack kms:Decrypt (to read) or kms:GenerateDataKey (to write), or one of them or"
    " the boundary denies it. No grant on the key names the role.",
    remedy="Allow kms:Decrypt and kms:GenerateDataKey on the key.",
    fix=Fix.WIDENS,
)


@check(ROLE_DENIED)
def kms_role_denied(case: Case) -> Iterator[Finding]:
    """Look whether the role's policies allow what the key's leaves to them."""
    refused = _refused(case)
    try:
        use = _use(case)
    except Unseen:
        if not refused:
            raise
        yield _by_message(case, refused)
        return
    if not use.denied:
        if use.unknown and refused:
            yield _by_message(case, refused)
            return
        _give_up_on_unknown(use)
        if refused:
            yield _history(refused)
        return
    if not use.is_by_role():
        return
    denied = [each for each in use.denied if each.layer != PolicyType.RESOURCE.value]
    layer = denied[0].layer
    policy = key_policy(use.arn, _actions(denied))
    is_gap = layer == PolicyType.IDENTITY.value and not denied[0].is_explicit
    changes = (put_role_policy(case, f"keyturn-{ROLE_DENIED.id}", policy),) if is_gap else ()
    how = "" if is_gap else f" ({'denied' if denied[0].is_explicit else 'not allowed'} by the {layer})"
    yield Finding(
        ROLE_DENIED,
        f"the function's role {case.role_name} may not use the secret's key: {_named(denied)}{how}",
        (*use.evidence(), *evidence_of(_refused(case))),
        Remedy("Allow it on the key." if is_gap else f"Change the {layer} that is shown above.", changes, policy),
        step=_step(case),
    )


POLICY_DENIES = Cause(
    id="kms-key-policy-denies",
    section=Section.KEY,
    topic=Topic.ACCESS_DENIED,
    title="The policy of the secret's encryption key does not let the function's role use it",
    symptoms=(_NOT_ALLOWED, NO_KEY),
    evidence=_EVIDENCE,
    decision="The key's policy names neither the account (then the role's policies decide) nor the role, or it asks for"
    " a kms:ViaService or an encryption context that a use by Secrets Manager for this secret does not have, or a"
    " statement of it denies the use. No grant names the role.",
    remedy="Add a statement for the role to the key's policy.",
    fix=Fix.PRINTED,
)


@check(POLICY_DENIES)
def kms_key_policy_denies(case: Case) -> Iterator[Finding]:
    """Look whether the key's policy allows the role, or leaves it to the account."""
    use = _use(case)
    denied = [each for each in use.denied if each.layer == PolicyType.RESOURCE.value]
    if not denied:
        _give_up_on_unknown(use)
        return
    verb = "denies" if denied[0].is_explicit else "does not allow"
    yield Finding(
        POLICY_DENIES,
        f"the key's policy {verb} {_named(denied)} to the function's role {case.role_name}",
        (*use.evidence(), *evidence_of(_refused(case))),
        Remedy("Let the role in by the key's policy.", (_put_key_policy(case, use, denied),)),
        step=_step(case),
    )


DISABLED = Cause(
    id="kms-key-disabled",
    section=Section.KEY,
    topic=Topic.ACCESS_DENIED,
    title="The secret's encryption key is disabled",
    symptoms=(_NOT_DECRYPTED, "%s is disabled.", "DisabledException", NO_KEY),
    evidence=(*_DESCRIBED, "cloudtrail:LookupEvents", "logs:FilterLogEvents"),
    decision="DescribeKey shows the state Disabled. What the newest failed invocation says of a value that could not be"
    " decrypted, while the key is enabled now, is history.",
    remedy="Enable the key.",
    fix=Fix.SAFE,
)


@check(DISABLED)
def kms_key_disabled(case: Case) -> Iterator[Finding]:
    """Look at the key's state."""
    metadata = _metadata(case)
    if metadata.get("KeyState") == "Enabled":
        yield from _enabled_since(case, metadata)
    if metadata.get("KeyState") != "Disabled":
        return
    yield Finding(
        DISABLED,
        f"the secret's encryption key {_short(metadata)} is disabled",
        (_state(metadata), *_told(case)),
        Remedy("Enable the key.", (Change("kms", "EnableKey", {"KeyId": metadata["Arn"]}),)),
        step="createSecret",
    )


_UNUSABLE = re.compile(r"(?P<why>\b(?:(?:De|En)cryptionFailure|KMSInvalidStateException|DisabledException)\b[^\n\r]*)")


def _said(case: Case) -> Said | None:
    try:
        return newest_said(case, _UNUSABLE)
    except (Skip, Unseen):
        return None


def _told(case: Case) -> tuple[Evidence, ...]:
    """Return the line of the attempt that the key has stopped: its error is not one of the function's code."""
    said = _said(case)
    return () if said is None else (line_evidence(case, said.line),)


def _enabled_since(case: Case, metadata: Mapping[str, Any]) -> Iterator[Finding]:
    """Tell of a failure that the key explains no longer."""
    said = _said(case)
    if said is not None:
        yield Finding(
            DISABLED,
            f"the secret's key could not be used at {said.line.at:%Y-%m-%d %H:%M:%S} UTC; it is enabled now",
            (_state(metadata), line_evidence(case, said.line)),
            Remedy("Rotate again.", (go_on(case),)),
            role=Role.NOTE,
            confidence=Confidence.LIKELY,
            step=said.run.step,
            is_history=True,
        )


PENDING_DELETION = Cause(
    id="kms-key-pending-deletion",
    section=Section.KEY,
    topic=Topic.ACCESS_DENIED,
    title="The secret's encryption key is being deleted",
    symptoms=(_NOT_DECRYPTED, "%s is pending deletion.", "KMSInvalidStateException", NO_KEY),
    evidence=(*_DESCRIBED, "cloudtrail:LookupEvents", "logs:FilterLogEvents"),
    decision="DescribeKey shows the state PendingDeletion, PendingImport or Unavailable, or the key is gone. After its"
    " deletion date nothing that it has encrypted can be read again.",
    remedy="Cancel the deletion before its date and enable the key. If the key is gone already, store the value anew"
    " under another key.",
    fix=Fix.SAFE,
)


@check(PENDING_DELETION)
def kms_key_pending_deletion(case: Case) -> Iterator[Finding]:
    """Look at the key's state and the date of its end."""
    answer = _key(case)
    if answer.kind is Kind.GONE:
        yield Finding(
            PENDING_DELETION,
            "the secret's encryption key is gone, and with it the values that it has encrypted",
            (Evidence("kms:DescribeKey", case.key_id, f"{answer.code}: {answer.message}"), *_told(case)),
            Remedy(
                "Store the value that the database has now under another key, then rotate.",
                by_hand=(
                    (
                        f"aws secretsmanager update-secret --secret-id {quote(case.arn)}"
                        " --kms-key-id alias/aws/secretsmanager --secret-string file://value.json"
                    ),
                ),
            ),
            step="createSecret",
        )
        return
    metadata = _metadata(case)
    state = metadata.get("KeyState")
    if state not in ("PendingDeletion", "PendingReplicaDeletion", "PendingImport", "Unavailable"):
        return
    ends_at = metadata.get("DeletionDate")
    when = f"; on {ends_at:%Y-%m-%d} the secret is lost" if ends_at is not None else ""
    arn = {"KeyId": metadata["Arn"]}
    changes = (Change("kms", "CancelKeyDeletion", arn), Change("kms", "EnableKey", arn)) if ends_at else ()
    yield Finding(
        PENDING_DELETION,
        f"the secret's encryption key {_short(metadata)} is in the state {state}{when}",
        (_state(metadata), *_told(case)),
        Remedy("Cancel the deletion and enable the key." if changes else "Make the key usable again.", changes),
        step="createSecret",
    )


ASYMMETRIC = Cause(
    id="kms-key-asymmetric",
    section=Section.KEY,
    topic=Topic.BEYOND,
    title="The secret's encryption key is not a symmetric one",
    symptoms=("Cannot generate a data key with an asymmetric KMS key",),
    evidence=_DESCRIBED,
    decision="DescribeKey shows a KeySpec other than SYMMETRIC_DEFAULT, or a KeyUsage other than ENCRYPT_DECRYPT.",
    remedy="Give the secret a symmetric key, or the account's own.",
    fix=Fix.PRINTED,
)


@check(ASYMMETRIC)
def kms_key_asymmetric(case: Case) -> Iterator[Finding]:
    """Look at what the key is for."""
    metadata = _metadata(case)
    spec, usage = metadata.get("KeySpec", "SYMMETRIC_DEFAULT"), metadata.get("KeyUsage", "ENCRYPT_DECRYPT")
    if (spec, usage) == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"):
        return
    own = {"SecretId": case.arn, "KmsKeyId": "alias/aws/secretsmanager"}
    yield Finding(
        ASYMMETRIC,
        f"the secret's encryption key {_short(metadata)} is {spec} for {usage}, and a symmetric one is needed",
        (Evidence("kms:DescribeKey", str(metadata["Arn"]), {"KeySpec": spec, "KeyUsage": usage}),),
        Remedy(
            "Give it the account's own key, or another symmetric one.", (Change("secretsmanager", "UpdateSecret", own),)
        ),
        step="createSecret",
    )


def _key(case: Case) -> Answer:
    if not case.key_id:
        raise Skip("the account's own key, nothing to check")
    assert case.key is not None  # noqa: S101 - there is one
    return case.key


def _metadata(case: Case) -> Mapping[str, Any]:
    answer = _key(case)
    if answer.kind is Kind.GONE:
        raise Skip("the key is gone")
    metadata: Mapping[str, Any] = answer.value["KeyMetadata"]
    return metadata


def _use(case: Case) -> KeyUse:
    _metadata(case)
    return case.once(_use_by_rotation)


def _use_by_rotation(case: Case) -> KeyUse:
    return use_of_key(case, case.key_id, case.secret, (DECRYPT, GENERATE))


def _give_up_on_unknown(use: KeyUse) -> None:
    if use.unknown and not use.denied:
        use.unknown[0].give_up()


def _by_message(case: Case, refused: list[Denial]) -> Finding:
    """Return what a message alone says, where the policies may not be seen."""
    policy = key_policy(case.key_arn(case.key_id), (DECRYPT, GENERATE))
    return Finding(
        ROLE_DENIED,
        f"the function's role {case.role_name} was refused the secret's key, and which policy does that cannot be seen",
        evidence_of(refused),
        Remedy(
            "Allow it on the key, in the role's policies or in the key's.",
            policy=policy,
            by_hand=(command(put_role_policy(case, f"keyturn-{ROLE_DENIED.id}", policy)),),
        ),
        confidence=Confidence.LIKELY,
        step=case.failed_step,
    )


def _history(refused: list[Denial]) -> Finding:
    return Finding(
        ROLE_DENIED,
        f"the key was refused at {refused[-1].at:%Y-%m-%d %H:%M:%S} UTC, and may be used now",
        evidence_of(refused),
        Remedy("The next attempt will show whether that was it."),
        role=Role.NOTE,
        is_history=True,
    )


def _refused(case: Case) -> list[Denial]:
    return [each for each in case.once(denials) if each.is_of_key and not each.is_of_superuser(case)]


def _step(case: Case) -> str:
    return (case.failed_step if _refused(case) else None) or "createSecret"


def _actions(denied: list[Access]) -> tuple[str, ...]:
    return tuple(each.action for each in denied)


def _named(denied: list[Access]) -> str:
    return " and ".join(each.action for each in denied)


def _put_key_policy(case: Case, use: KeyUse, denied: list[Access]) -> Change:
    assert use.policy is not None  # noqa: S101 - it is what denies
    there = json.loads(str(use.policy.value["Policy"]))
    deciding = denied[0].deciding
    changed = without_statement(there, deciding.index) if deciding is not None else None
    if changed is None:
        statement: Statement = {
            "Effect": "Allow",
            "Principal": {"AWS": case.role_arn},
            "Action": list(_actions(denied)),
            "Resource": "*",
        }
        changed = with_statement(there, statement)
    return Change("kms", "PutKeyPolicy", {"KeyId": use.arn, "PolicyName": "default", "Policy": json.dumps(changed)})


def _short(metadata: Mapping[str, Any]) -> str:
    return str(metadata["Arn"]).rpartition("/")[2]


def _state(metadata: Mapping[str, Any]) -> Evidence:
    shown = {"KeyState": metadata.get("KeyState")}
    if metadata.get("DeletionDate") is not None:
        shown["DeletionDate"] = f"{metadata['DeletionDate']:%Y-%m-%d %H:%M:%S} UTC"
    return Evidence("kms:DescribeKey", str(metadata["Arn"]), shown)
