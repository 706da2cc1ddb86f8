"""KMS keys that Secrets Manager uses for somebody: with that caller's rights, and recorded as that caller's.

What the caller is told of a refusal is left to Secrets Manager, which has its own words for it.

Source: AWS Secrets Manager User Guide, "Secret encryption and decryption in AWS Secrets Manager" (conditions and
CloudTrail entries included).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from keyturn.call import Call
from keyturn.errors.base import AwsError
from keyturn.errors.common import AccessDenied
from keyturn.ids import RequestId, new_event_id, new_request_id, new_shared_id
from keyturn.operations.audit_trail import KMS, SECRETS_MANAGER
from keyturn.operations.call_events import authorization_of
from keyturn.operations.kit import Kit
from keyturn.operations.kms.references import FoundKey
from keyturn.operations.kms.subjects import SYMMETRIC_DEFAULT, Keys, key_in_use, state_of
from keyturn.operations.refusal import Refused
from keyturn.operations.subject import Subject
from keyturn.rules.audit_event import api_event, resource_entry, shared_with
from keyturn.rules.kms_keys import check_usable, via_service
from keyturn.rules.policy.evaluate import Outcome
from keyturn.storage.kms_keys import KmsKeyRecord

_KEY_TYPE = "AWS::KMS::Key"


class KeyUse(StrEnum):
    """The operations of KMS that Secrets Manager calls."""

    GENERATE_DATA_KEY = "GenerateDataKey"
    DECRYPT = "Decrypt"
    ENCRYPT = "Encrypt"


class KeyRefused(Exception):
    """KMS does not let the caller use the key.

    Attributes:
        error: What KMS says.
        code: What it is called on the wire.
        request_id: Under which the refusal is recorded.
    """

    def __init__(self, error: AwsError, request_id: RequestId) -> None:
        super().__init__(error.message)
        self.error = error
        self.code = "AccessDeniedException" if isinstance(error, AccessDenied) else error.shape_name()
        self.request_id = request_id


def use_key(kit: Kit, call: Call, use: KeyUse, found: FoundKey, context: Mapping[str, str]) -> KmsKeyRecord:
    """Return a key that the caller may use for a secret value.

    Args:
        kit: Decides.
        call: Of Secrets Manager, for whose caller the key is used.
        use: What for.
        found: The key, or what is said instead.
        context: The encryption context.

    Raises:
        KeyRefused: They may not, or the key cannot be used.
    """
    request_id = new_request_id()
    acting = _acting(call)._replace(request_id=request_id)
    try:
        record = _usable(kit, acting, use, found, context)
    except AwsError as error:
        refused = KeyRefused(error, request_id)
        _note(acting, use, found, context, refused)
        raise refused from error
    _note(acting, use, found, context, None)
    return record


def is_denied(kit: Kit, call: Call, use: KeyUse, found: FoundKey, context: Mapping[str, str]) -> bool:
    """Whether a policy denies the caller a key explicitly, as one may even the default key, which all may use."""
    acting = _acting(call)
    decision = kit.authorise.decide(acting, f"kms:{use}", _subject(kit, acting, found, context))
    return decision.outcome is Outcome.EXPLICIT_DENY


def _acting(call: Call) -> Call:
    """Return the call that Secrets Manager makes for a caller, wherever theirs came from."""
    return call._replace(source_address=SECRETS_MANAGER, user_agent=SECRETS_MANAGER, entrance=None)


def _usable(kit: Kit, acting: Call, use: KeyUse, found: FoundKey, context: Mapping[str, str]) -> KmsKeyRecord:
    kit.authorise(acting, f"kms:{use}", _subject(kit, acting, found, context))
    if found.record is None:
        raise found.missing or LookupError(found.arn)
    check_usable(found.arn, state_of(found.record))
    return found.record


def _subject(kit: Kit, acting: Call, found: FoundKey, context: Mapping[str, str]) -> Subject[KmsKeyRecord]:
    keys: Keys = {
        "kms:viaservice": (via_service(acting.place.region),),
        "aws:calledvia": (SECRETS_MANAGER,),
        "aws:calledviafirst": (SECRETS_MANAGER,),
        "aws:calledvialast": (SECRETS_MANAGER,),
    }
    return key_in_use(kit, acting, found, context, keys)


def _note(acting: Call, use: KeyUse, found: FoundKey, context: Mapping[str, str], refused: KeyRefused | None) -> None:
    """Record the use of a key, to be stored with the caller's own call.

    Raises:
        TypeError: Nobody would store it.
    """
    if acting.further_events is None:
        raise TypeError("a call whose further events nobody stores cannot use keys")
    denied = refused.error if refused is not None and isinstance(refused.error, Refused) else None
    is_own = found.record is None or found.record.account_id == acting.place.account_id
    shown = found.shown_to(acting.place.account_id) if denied else found.arn
    parameters: dict[str, object] = {"encryptionContext": dict(context)}
    if use is KeyUse.GENERATE_DATA_KEY:
        parameters = {"keyId": shown, "keySpec": "AES_256", **parameters}
    elif use is KeyUse.ENCRYPT:
        parameters = {"keyId": shown, "encryptionAlgorithm": SYMMETRIC_DEFAULT, **parameters}
    else:
        parameters = {"encryptionAlgorithm": SYMMETRIC_DEFAULT, **parameters}
    event = api_event(
        acting,
        event_id=new_event_id(acting.at),
        event_source=KMS,
        event_name=use.value,
        read_only=True,
        request_parameters=parameters,
        response_elements=None,
        error_code=None if refused is None else refused.code,
        error_message=None if refused is None else refused.error.message,
        resource_arn=shown,
        resource_type=_KEY_TYPE,
        decision=denied.decision_seen_by(acting.place.account_id) if denied else None,
        encoded_message=denied.encoded_messages.get(acting.place.account_id) if denied else None,
        invoked_by=SECRETS_MANAGER,
    )
    acting.further_events.append(event)
    if found.record is not None and not is_own:
        owner = found.record.account_id
        hidden = resource_entry(found.arn, owner, _KEY_TYPE) if denied else None
        why = authorization_of(denied, owner) if denied else None
        acting.further_events.append(
            shared_with(event, new_event_id(acting.at), owner, new_shared_id(), hidden=hidden, authorization=why)
        )
