"""From what a caller calls a key to the key: its id, its ARN, an alias or an alias's ARN.

A key of another account is named by ARN only. Keyturn's own key is found by none of them. Texts as recorded by
localstack, 2023 to 2025; those about aliases from field reports.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from keyturn.arn import Arn, InvalidArn, Place
from keyturn.errors.base import AwsError
from keyturn.errors.kms import InvalidArnException, NotFoundException
from keyturn.operations.kit import Kit
from keyturn.storage import kms_keys
from keyturn.storage.kms_keys import AliasRecord, KeyManager, KmsKeyRecord

_KEY_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_KEY, _ALIAS = "key/", "alias/"
_ANY_KEY_ID = "????????-????-????-????-????????????"


@dataclass(frozen=True, slots=True)
class FoundKey:
    """What a text names.

    Attributes:
        arn: Of the key; if it is not known, of what was named.
        record: None if there is no such key.
        missing: What a caller who may ask is told then.
        alias: The alias that named it, if one did.
    """

    arn: str
    record: KmsKeyRecord | None = None
    missing: AwsError | None = None
    alias: str | None = None

    def shown_to(self, account_id: str) -> str:
        """Return the ARN that refusals show a caller of an account: of another one's alias not which key it names."""
        if self.alias is None:
            return self.arn
        place = Place.of(self.arn)
        return self.arn if place.account_id == account_id else place.kms_alias_arn(self.alias)


def find_key(kit: Kit, place: Place, asked: str) -> FoundKey:
    """Return the key that a text names.

    Args:
        kit: Holds the keys.
        place: Where the caller is: names without account and region mean this one.
        asked: As sent.
    """
    if asked.startswith("arn:"):
        try:
            arn = Arn.parse(asked)
        except InvalidArn:
            return _unknown(place, asked)
        if arn.service != "kms" or arn.partition != place.partition:
            return _unknown(place, asked)
        if arn.region != place.region:
            return FoundKey(asked, missing=NotFoundException(f"Invalid arn {arn.region}"))
        home, place, asked = place, Place(arn.partition, arn.region, arn.account_id), arn.resource
        if asked.startswith(_KEY):
            return _by_id(kit, place, asked.removeprefix(_KEY))
        if asked.startswith(_ALIAS) and place != home:
            found = _by_alias(kit, place, asked)
            # To policies, an alias of another account names some key of it, whether it exists or not.
            return found if found.record is not None else replace(found, arn=place.kms_key_arn(_ANY_KEY_ID))
    elif _KEY_ID.fullmatch(asked):
        return _by_id(kit, place, asked)
    return _by_alias(kit, place, asked) if asked.startswith(_ALIAS) else _unknown(place, asked)


def find_key_itself(kit: Kit, place: Place, asked: str) -> FoundKey:
    """Return the key that an id or ARN names; aliases do not count."""
    if asked.startswith(_ALIAS):
        return _unknown(place, asked)
    found = find_key(kit, place, asked)
    if found.alias is None:
        return found
    refusal = InvalidArnException("Key Aliases are not supported for this operation.")
    return replace(found, record=None, missing=refusal)


def find_own_key(kit: Kit, place: Place, asked: str) -> FoundKey:
    """Return the key that an id or ARN names, which must be the caller's account's own."""
    found = find_key_itself(kit, place, asked)
    if found.record is not None and found.record.account_id != place.account_id:
        return replace(found, record=None, missing=_no_such_key(found.arn))
    return found


def load_key(kit: Kit, key_id: str) -> KmsKeyRecord | None:
    """Return a key that callers may see, from memory if it is kept."""
    record = kit.kept.get(kms_keys.KEY, key_id, lambda connection: kms_keys.load_key(connection, key_id))
    return None if record is None or record.manager is KeyManager.KEYTURN else record


def load_alias(kit: Kit, place: Place, alias: str) -> AliasRecord | None:
    """Return an alias, from memory if it is kept."""
    arn = place.kms_alias_arn(alias)
    return kit.kept.get(kms_keys.ALIAS, arn, lambda connection: kms_keys.load_alias(connection, arn))


def new_alias(place: Place, alias: str, key_id: str, at: datetime) -> AliasRecord:
    """Return an alias that is to be stored."""
    return AliasRecord(place.kms_alias_arn(alias), place.account_id, place.region, alias, key_id, at, at)


def no_such_alias(place: Place, alias: str) -> NotFoundException:
    """What is said about an alias that does not exist."""
    return NotFoundException(f"Alias {place.kms_alias_arn(alias)} is not found.")


def _by_id(kit: Kit, place: Place, key_id: str) -> FoundKey:
    arn = place.kms_key_arn(key_id)
    record = load_key(kit, key_id)
    if record is None or record.arn != arn:
        return FoundKey(arn, missing=_no_such_key(arn))
    return FoundKey(arn, record)


def _by_alias(kit: Kit, place: Place, alias: str) -> FoundKey:
    found = load_alias(kit, place, alias)
    record = None if found is None else load_key(kit, found.key_id)
    if record is None:
        return FoundKey(place.kms_alias_arn(alias), missing=no_such_alias(place, alias), alias=alias)
    return FoundKey(record.arn, record, alias=alias)


def _unknown(place: Place, asked: str) -> FoundKey:
    return FoundKey(place.kms_key_arn(asked), missing=NotFoundException(f"Invalid keyId '{asked}'"))


def _no_such_key(arn: str) -> NotFoundException:
    return NotFoundException(f"Key '{arn}' does not exist")
