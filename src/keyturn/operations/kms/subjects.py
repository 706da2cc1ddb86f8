"""What KMS's operations act on: keys with their policies and condition keys.

Source: AWS KMS Developer Guide, "AWS KMS permissions" and "AWS KMS condition keys".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn.call import Call
from keyturn.crypto.keyring import MaterialId
from keyturn.operations.kit import Kit
from keyturn.operations.kms.granted import grants_of
from keyturn.operations.kms.references import FoundKey, find_key, find_key_itself, find_own_key
from keyturn.operations.subject import NO_KEYS, KeysOnDemand, Subject
from keyturn.rules.kms_grants import Asked
from keyturn.rules.kms_keys import KeyState, key_state
from keyturn.storage.kms_keys import KmsKeyRecord

SYMMETRIC_DEFAULT = "SYMMETRIC_DEFAULT"
ENCRYPT_DECRYPT = "ENCRYPT_DECRYPT"

Keys = Mapping[str, tuple[str, ...]]


def spec_keys(spec: str, usage: str) -> Keys:
    """Condition keys of what a key is for, under their deprecated names too."""
    return {
        "kms:keyspec": (spec,),
        "kms:customermasterkeyspec": (spec,),
        "kms:keyusage": (usage,),
        "kms:customermasterkeyusage": (usage,),
    }


_OF_SYMMETRIC_KEYS: Keys = {
    **spec_keys(SYMMETRIC_DEFAULT, ENCRYPT_DECRYPT),
    "kms:keyorigin": ("AWS_KMS",),
    "kms:multiregion": ("false",),
}


def own_key(kit: Kit, call: Call, request: Mapping[str, Any], keys: Keys = NO_KEYS) -> Subject[KmsKeyRecord]:
    """Load the key of the caller's account that ``KeyId`` means: its id or ARN."""
    found = find_own_key(kit, call.place, request["KeyId"])
    return key_subject(call, found, {**request_tag_keys(request), **keys})


def key_itself(kit: Kit, call: Call, request: Mapping[str, Any], keys: Keys = NO_KEYS) -> Subject[KmsKeyRecord]:
    """Load the key that ``KeyId`` means: its id or ARN, of another account too."""
    return key_subject(call, find_key_itself(kit, call.place, request["KeyId"]), keys)


def any_key(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[KmsKeyRecord]:
    """Load the key that ``KeyId`` means, by whatever name, of another account too; a grant may let it be described."""
    found = find_key(kit, call.place, request["KeyId"])
    return key_subject(call, found, grants=grants_of(kit, call, found.record, Asked()))


def key_for_encryption(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[KmsKeyRecord]:
    """Load the key that ``KeyId`` means for a cryptographic operation with an encryption context."""
    return key_in_use(kit, call, find_key(kit, call.place, request["KeyId"]), request.get("EncryptionContext"))


def key_in_use(
    kit: Kit, call: Call, found: FoundKey, context: Mapping[str, str] | None, keys: Keys = NO_KEYS
) -> Subject[KmsKeyRecord]:
    """Return a key as the subject of a cryptographic operation, with what the grants on it allow.

    Args:
        kit: Keeps the grants.
        call: Who uses it.
        found: The key, or what is said instead.
        context: The encryption context.
        keys: Further condition keys.
    """
    grants = grants_of(kit, call, found.record, Asked(context or {}))
    on_demand = KeysOnDemand(lambda: _all_keys(call, found, {**context_keys(context), **keys}))
    return _subject(call, found, on_demand, grants)


def every_key(_kit: Kit, call: Call, request: Mapping[str, Any], keys: Keys = NO_KEYS) -> Subject[None]:
    """What operations act on that name no key; unlike others, KMS shows the star in its refusals."""
    of_request = {"kms:calleraccount": (call.principal.account_id,), **request_tag_keys(request)}
    return Subject(arn="*", asked="*", record=None, keys={**of_request, **keys})


def key_subject(call: Call, found: FoundKey, keys: Keys = NO_KEYS, grants: str | None = None) -> Subject[KmsKeyRecord]:
    """Return a key as the subject of a call.

    Args:
        call: Who calls.
        found: The key, or what is said instead.
        keys: Further condition keys, of the request.
        grants: What grants allow the caller in this call.
    """
    return _subject(call, found, KeysOnDemand(lambda: _all_keys(call, found, keys)), grants)


def _subject(call: Call, found: FoundKey, keys: KeysOnDemand, grants: str | None) -> Subject[KmsKeyRecord]:
    record, shown = found.record, found.shown_to(call.place.account_id)
    if record is None:
        return Subject(found.arn, shown, record=None, missing=found.missing, keys=keys)
    return Subject(found.arn, shown, record, policy=record.policy, keys=keys, grants=grants)


def _all_keys(call: Call, found: FoundKey, of_request: Keys) -> Keys:
    keys: dict[str, tuple[str, ...]] = {"kms:calleraccount": (call.principal.account_id,), **of_request}
    if found.alias is not None:
        keys["kms:requestalias"] = (found.alias,)
    return keys if found.record is None else {**_OF_SYMMETRIC_KEYS, **_of_key(found.record), **keys}


def context_keys(context: Mapping[str, str] | None) -> Keys:
    """Condition keys of a cryptographic operation."""
    return {"kms:encryptionalgorithm": (SYMMETRIC_DEFAULT,), **pair_keys(context or {})}


def pair_keys(context: Mapping[str, str]) -> Keys:
    """Condition keys of an encryption context; AWS compares the names of pairs without regard to case too."""
    keys: dict[str, tuple[str, ...]] = {}
    for name, value in context.items():
        keys[f"kms:encryptioncontext:{name.lower()}"] = (value,)
    if context:
        keys["kms:encryptioncontextkeys"] = tuple(context)
    return keys


def request_tag_keys(request: Mapping[str, Any]) -> Keys:
    """Condition keys of the tags in a request."""
    tags = request.get("Tags") or ()
    names = tuple(tag["TagKey"] for tag in tags) or tuple(request.get("TagKeys") or ())
    if not names:
        return NO_KEYS
    return {"aws:tagkeys": names, **{f"aws:requesttag/{tag['TagKey'].lower()}": (tag["TagValue"],) for tag in tags}}


def current_material(record: KmsKeyRecord) -> MaterialId:
    """Return the material of a key that encrypts."""
    return MaterialId(record.key_id, record.material_number)


def state_of(record: KmsKeyRecord) -> KeyState:
    """Return the state of a stored key."""
    return key_state(enabled=record.enabled, deletion_at=record.deletion_at)


def _of_key(record: KmsKeyRecord) -> Keys:
    keys: dict[str, tuple[str, ...]] = {
        f"aws:resourcetag/{key.lower()}": (value,) for key, value in (record.tags or {}).items()
    }
    if record.aliases:
        keys["kms:resourcealiases"] = record.aliases
    return keys
