"""The superuser secret, which a secret names in ``masterarn``: whose login it holds, and when it may be used.

Source: AWS Secrets Manager User Guide, "JSON structure of AWS Secrets Manager secrets", ``masterarn``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from .engines.base import Connection, DatabaseError, Engine, Login
from .secret import RotatingSecret

logger = logging.getLogger(__name__)

_KEY = "masterarn"


def superuser_arn(value: Mapping[str, object]) -> str:
    """Return the superuser secret that a secret names.

    Raises:
        KeyError: It names none.
    """
    arn = value.get(_KEY)
    if not isinstance(arn, str) or not arn:
        raise KeyError(f"{_KEY} key is missing from secret JSON: it names the secret of a superuser")
    return arn


def connect_superuser(secret: RotatingSecret, value: Mapping[str, object], engine: Engine, proof: Login) -> Connection:
    """Log in as the superuser, after the secret's own login.

    Whoever writes a secret must not have the superuser change a user that is not theirs: the secret's login must be
    true, and true where the superuser acts, whatever other hosts it names.

    Args:
        secret: Whose superuser.
        value: The current value, which names the superuser secret.
        engine: Of both.
        proof: The login that is to be true.

    Raises:
        KeyError: The superuser secret misses a key.
        ValueError: It names another host.
        ClientError: The function's role may not read it.
        DatabaseError: One of the two does not log in.
    """
    arn = superuser_arn(value)
    superuser = _login(secret, arn, engine, proof)
    complaint = f"setSecret: Unable to log into database using current credentials for secret {secret.arn}"
    _connect(engine, replace(proof, host=superuser.host, port=superuser.port), complaint).close()
    complaint = f"setSecret: Unable to log into database using credentials in master secret {arn}"
    return _connect(engine, superuser, complaint)


def _login(secret: RotatingSecret, arn: str, engine: Engine, current: Login) -> Login:
    """Return the superuser's login to the database of the secret."""
    try:
        superuser = engine.login(secret.superuser(arn))
    except KeyError as error:
        raise KeyError(f"{error.args[0]} of master secret {arn}") from None
    except ValueError as error:
        raise ValueError(f"{error} See master secret {arn}.") from None
    if not set(superuser.addresses) & set(current.addresses):
        message = (
            f"setSecret: Current database host {current.host}:{current.port} is not the same host as/rds replica of"
            f" master {superuser.host}:{superuser.port}. Name the host that takes changes in both secrets; others may"
            " follow it, separated by commas."
        )
        logger.error(message)
        raise ValueError(message)
    return replace(superuser, dbname=current.dbname)


def _connect(engine: Engine, login: Login, complaint: str) -> Connection:
    try:
        return engine.connect(login)
    except DatabaseError as error:
        logger.error("%s: %s", complaint, error)  # noqa: TRY400 - the error says it all, the runtime adds the traceback
        raise
