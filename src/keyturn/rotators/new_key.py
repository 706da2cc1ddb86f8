"""The new-key strategy: each rotation has a new key made, and the one before the previous revoked.

A service that keeps several keys for an account lets everybody in who has read the secret before, during or after a
rotation: the key of AWSCURRENT is valid at any time, and after each rotation that of AWSPREVIOUS as well.

1. ``createSecret``: a service that makes up keys is asked for one, which is stored. Where the key is ours to choose, a
   random one is stored.
2. ``setSecret``: a key of our own is given to the service. Once the service accepts the pending key, those are revoked
   that no rotation needs any more: the one that is AWSPREVIOUS until then, and what broken attempts have left behind.
3. ``testSecret`` and ``finishSecret`` are those of every rotation.

A service that nothing is revoked of may keep one key only, and refuse the current one as soon as it has the new one:
then the new version becomes current in ``setSecret`` already, as a single database user's does.

The requests are sent in the name of the secret's own key, or of a superuser secret's (``masterarn``), after the own one
has proved to be true.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import cast

from .engines import base
from .engines.http_api import Engine, Keys
from .promotion import Promotion
from .secret import NotPending, RotatingSecret
from .single_user import previous_login, try_login
from .superuser import connect, read_superuser, refuse, superuser_arn

logger = logging.getLogger(__name__)


class Strategy:
    """One account, one secret, and perhaps a superuser secret."""

    takes_superuser = False
    engines = ("http_api",)

    def check_value(self, engine: base.Engine, current: Mapping[str, object]) -> None:
        """Return if the value names the account that the service's paths name, and a superuser's key may be used."""
        description = cast("Engine", engine).description
        if description.needs_account and "account" not in current:
            raise KeyError("account key is missing from secret JSON: requests of this service name it")
        if "masterarn" in current:
            description.refuse_for_superuser()

    def new_value(
        self, secret: RotatingSecret, engine: base.Engine, current: Mapping[str, object]
    ) -> dict[str, object] | None:
        """Return the current value with another key; every other member is kept."""
        service = cast("Engine", engine)
        name = f"{_prefix(secret)}{secret.token}"
        if not service.description.issues_keys:
            return {
                **current,
                "api_key": secret.random_password(engine.exclude_characters, engine.password_length),
                "key_id": name,
            }
        if _has_value(secret):
            return None
        if not service.description.idempotency_header:
            # An answer may have been lost, and the service may not make another key of the same name.
            name += f"-{secrets.token_hex(4)}"
        made = _authority(secret, service, current).create(name, "", secret.token)
        return {**current, "api_key": made.key, "key_id": made.key_id}

    def check_identity(self, engine: base.Engine, pending: base.Login, current: base.Login) -> None:  # noqa: ARG002 - as the strategies' interface has it
        """Return if the pending value is for the same account and URL.

        Raises:
            ValueError: It is not.
        """
        if pending.username != current.username or _place(pending) != _place(current):
            refuse(
                f"setSecret: Attempting to use account {pending.username} of {pending.host}:{pending.port} other than"
                f" current account {current.username} of {current.host}:{current.port}, or another path there"
            )

    def set_secret(self, secret: RotatingSecret, engine: base.Engine) -> None:
        """Make the service accept the pending key, and refuse what is outdated.

        Raises:
            KeyError: A key is missing from the current value, the pending one or the superuser secret.
            ValueError: The pending value is for another account or URL, or the superuser secret for another URL.
            ClientError: The function's role may not read the superuser secret.
            DatabaseError: The service refused.
        """
        service = cast("Engine", engine)
        value, pending_value = secret.current(), secret.pending()
        pending = engine.login(pending_value)
        # Before anything is sent: a pending value stored by somebody else must not send keys to a place of its choice.
        self.check_identity(engine, pending, engine.login(value))
        if "key_id" not in pending_value:
            raise KeyError("key_id key is missing from secret JSON of the pending version")
        promotion = Promotion(secret, engine, pending)
        complaint = f"setSecret: The service refuses the key of the pending secret of secret arn {secret.arn}"
        if service.description.issues_keys:
            connect(engine, pending, complaint)
        elif not try_login(engine, pending, f"AWSPENDING (version {secret.token}) is not accepted yet"):
            name = str(pending_value["key_id"])
            if not name.startswith(_prefix(secret)):
                refuse(f"setSecret: key_id of version {secret.token} is no name of a key of secret {secret.arn}")
            authority = _authority(secret, service, value)
            promotion.confirm()
            authority.create(name, pending.password, secret.token)
            connect(engine, pending, complaint)
        if service.description.revoke is None:
            promotion.at_once()
        else:
            own = service.keys(pending, pending.username)
            keys = _authority(secret, service, value) if "masterarn" in value else own
            _revoke_outdated(secret, keys, value, pending_value)
        logger.info("setSecret: Successfully set key for secret arn %s in %s.", secret.arn, engine.title)


def _authority(secret: RotatingSecret, service: Engine, value: Mapping[str, object]) -> Keys:
    """Return the keys of the account that the current or the previous key has proved to belong to the secret."""
    current = service.login(value)
    proof = _true_login(secret, service, current)
    if "masterarn" not in value:
        return service.keys(proof, current.username)
    service.description.refuse_for_superuser()
    arn = superuser_arn(value)
    superuser = read_superuser(secret, arn, service)
    if _place(superuser) != _place(current):
        refuse(
            f"setSecret: Current url at {current.host}:{current.port} is not the same as that of master secret {arn}"
        )
    return service.keys(superuser, current.username)


def _true_login(secret: RotatingSecret, service: Engine, current: base.Login) -> base.Login:
    if try_login(service, current, "AWSCURRENT is not accepted"):
        return current
    previous = previous_login(secret, service, current)
    if previous and try_login(service, previous, "AWSPREVIOUS is not accepted"):
        return previous
    raise base.AuthenticationFailed(f"host {current.host}: the service refuses the current and the previous key")


def _revoke_outdated(
    secret: RotatingSecret, keys: Keys, value: Mapping[str, object], pending_value: Mapping[str, object]
) -> None:
    current_id, previous_id = value.get("key_id"), _previous_id(secret, value)
    # What is made from here on is not in the list.
    listed = keys.listed()
    is_own = "masterarn" not in value or "account" in getattr(keys.description.list, "blanks", ())
    found = outdated(
        Inventory(listed, _prefix(secret), is_own),
        kept={str(key_id) for key_id in (current_id, pending_value["key_id"]) if key_id},
        previous_id=previous_id,
        current_is_known=bool(current_id),
    )
    secret.confirm_pending()
    for key_id in found:
        keys.revoke(key_id)
        logger.info("setSecret: Revoked key %s of secret arn %s.", key_id, secret.arn)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What keys there are.

    Attributes:
        listed: Names by id; None if the service does not tell.
        prefix: With which the names of keys begin that rotations of this secret have made.
        is_own: Whether all of them are the account's to which the secret belongs.
    """

    listed: Mapping[str, str] | None
    prefix: str
    is_own: bool


def outdated(
    inventory: Inventory, *, kept: AbstractSet[str], previous_id: str | None, current_is_known: bool
) -> list[str]:
    """Return the ids of the keys that no version needs once the pending one is current.

    Args:
        inventory: What there is.
        kept: Ids of the keys of the pending and the current version; where we name keys, their names.
        previous_id: Of AWSPREVIOUS, likewise.
        current_is_known: Whether the current version has an id. If not, its key may be any of them.
    """
    if inventory.listed is None:
        return [previous_id] if previous_id and previous_id not in kept else []
    found = []
    for key_id, name in sorted(inventory.listed.items()):
        ours = name.startswith(inventory.prefix)
        if kept & {key_id, name} or not (ours or inventory.is_own):
            continue
        if (previous_id in (key_id, name)) or (ours and current_is_known):
            found.append(key_id)
    return found


def _previous_id(secret: RotatingSecret, value: Mapping[str, object]) -> str | None:
    """Return the id of the key of AWSPREVIOUS, if that belongs to the same account."""
    try:
        previous = secret.previous()
    except (KeyError, ValueError):
        return None
    if previous is None or any(previous.get(member) != value.get(member) for member in ("url", "account")):
        return None
    if not previous.get("key_id"):
        logger.warning(
            "setSecret: The previous version of secret arn %s has no key_id: revoke its key by hand.", secret.arn
        )
        return None
    return str(previous["key_id"])


def _has_value(secret: RotatingSecret) -> bool:
    try:
        secret.pending()
    except NotPending:
        return False
    return True


def _prefix(secret: RotatingSecret) -> str:
    return f"keyturn-{hashlib.sha256(secret.arn.encode()).hexdigest()[:12]}-"


def _place(login: base.Login) -> tuple[object, ...]:
    return login.addresses, login.dbname, login.tls
