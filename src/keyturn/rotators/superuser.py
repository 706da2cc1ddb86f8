"""What strategies share in which a superuser sets the password: its secret, its login, and what goes before it acts.

Source: AWS Secrets Manager User Guide, "JSON structure of AWS Secrets Manager secrets", for ``masterarn``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn

from .engines.base import AuthenticationFailed, Connection, DatabaseError, Engine, Login, NotAdmitted, PasswordNotAsked
from .secret import RotatingSecret

logger = logging.getLogger(__name__)

_SUPERUSER = "masterarn"


def superuser_arn(value: Mapping[str, object]) -> str:
    """Return which secret a value names as its superuser secret.

    Raises:
        KeyError: It names none.
    """
    arn = value.get(_SUPERUSER)
    if not isinstance(arn, str) or not arn:
        raise KeyError(f"{_SUPERUSER} key is missing from secret JSON: it names the secret of a superuser")
    return arn


def read_superuser(secret: RotatingSecret, arn: str, engine: Engine) -> Login:
    """Return the superuser's login as its secret has it.

    Raises:
        KeyError: The superuser secret misses a key.
        ValueError: A value of it cannot be used.
        ClientError: The function's role may not read it.
    """
    try:
        return engine.login(secret.superuser(arn))
    except KeyError as error:
        raise KeyError(f"{error.args[0]} of master secret {arn}") from None
    except ValueError as error:
        raise ValueError(f"{error} See master secret {arn}.") from None


def superuser_login(secret: RotatingSecret, arn: str, engine: Engine, current: Login) -> Login:
    """Return the superuser's login to the database of the secret.

    Raises:
        ValueError: It is for another host.
        Exception: As :func:`read_superuser`.
    """
    superuser = read_superuser(secret, arn, engine)
    if not set(superuser.addresses) & set(current.addresses):
        refuse(
            f"setSecret: Current database host {current.host}:{current.port} is not the same host as/rds replica of"
            f" master {superuser.host}:{superuser.port}. Name the host that takes changes in both secrets; others may"
            " follow it, separated by commas."
        )
    return replace(superuser, dbname=current.dbname)


def accepts(engine: Engine, login: Login, version_id: str) -> bool:
    """Tell whether the server knows this user and password; one that does not ask for the password proves nothing."""
    try:
        with engine.connect(login) as connection:
            return connection.password_was_checked
    except (AuthenticationFailed, NotAdmitted) as error:
        # A server that trusts its clients says of a user who is not there yet that it is not admitted.
        logger.info("setSecret: AWSPENDING (version %s) does not log in yet: %s", version_id, error.reason)
        return False
    except DatabaseError as error:
        logger.error("setSecret: Unable to log into database: %s", error)  # noqa: TRY400 - the error says it all
        raise


def connect(engine: Engine, login: Login, complaint: str) -> Connection:
    """Log in; a failure is logged with the complaint."""
    try:
        return engine.connect(login)
    except DatabaseError as error:
        logger.error("%s: %s", complaint, error)  # noqa: TRY400 - the error says it all, the runtime adds the traceback
        raise


def prove(engine: Engine, login: Login, connection: Connection) -> None:
    """End a connection, and return if it proves that the password of its login is true.

    Raises:
        PasswordNotAsked: The server has not looked at it: whoever writes the secret could name anybody.
    """
    with connection:
        if not connection.password_was_checked:
            raise PasswordNotAsked(f"{engine.title} lets user {login.username} in without looking at the password")


def refuse(message: str) -> NoReturn:
    """Log and raise.

    Raises:
        ValueError: Always.
    """
    logger.error(message)
    raise ValueError(message)
