"""What the database says."""

from __future__ import annotations

from .world import SECRET, World

_AT = "2026-11-27T11:00:00.000Z\t00000000-0000-0000-0000-0000000003e8"


def _says(world: World, *texts: str, step: str = "setSecret", duration_ms: float = 310) -> None:
    """Let AWS's functions have logged texts, and ended with the last of them."""
    world.fail(step)
    logged = [f"[ERROR]\t{_AT}\t{text}" for text in texts]
    world.run(*logged, f"[ERROR] ValueError: {texts[-1]}\nTraceback (most recent call last):", duration_ms=duration_ms)


def _raises(world: World, kind: str, text: str, step: str = "setSecret") -> None:
    """Let Keyturn's functions, or a driver, have raised an error."""
    world.fail(step)
    world.run(f"[ERROR] {kind}: {text}\nTraceback (most recent call last):")


def db_login_failed(world: World) -> None:
    _says(
        world,
        f"setSecret: Unable to log into database with previous, current, or pending secret of secret arn {SECRET}",
    )


def db_scram_unsupported(world: World) -> None:
    _raises(world, "InternalError", "SCRAM authentication requires libpq version 10 or above")


def db_tls_required(world: World) -> None:
    _says(
        world,
        "Unable to establish SSL/TLS handshake, SSL/TLS is enforced on the host: orders.example",
        f"setSecret: Unable to log into database with previous, current, or pending secret of secret arn {SECRET}",
    )


def db_tls_handshake(world: World) -> None:
    _says(
        world,
        "Unable to establish SSL/TLS handshake, SSL/TLS is not enabled on the host: orders.example",
        f"setSecret: Unable to log into database with previous, current, or pending secret of secret arn {SECRET}",
    )


def db_tls_hostname_mismatch(world: World) -> None:
    _says(
        world,
        "Hostname verification failed when estlablishing SSL/TLS Handshake with host: orders.example",
        f"setSecret: Unable to log into database with previous, current, or pending secret of secret arn {SECRET}",
    )


def db_read_only_endpoint(world: World) -> None:
    _raises(world, "ReadOnlySqlTransaction", "cannot execute ALTER ROLE in a read-only transaction")


def db_proxy_endpoint(world: World) -> None:
    _raises(world, "OperationalError", "FATAL:  This RDS Proxy requires TLS connections")


def db_password_rejected(world: World) -> None:
    _raises(world, "PasswordRejected", "host orders.example: password is too short (22023). Hint: Set PASSWORD_LENGTH.")


def db_user_host_pattern(world: World) -> None:
    said = "(1141, \"There is no such grant defined for user 'orders' on host '%'\")"
    _raises(world, "OperationalError", said)


def db_user_cannot_set_password(world: World) -> None:
    _raises(world, "InsufficientPrivilege", "must be a member of rds_password to alter passwords")


def db_user_missing(world: World) -> None:
    _says(world, "setSecret: User orders does not exist in database")


def pending_login_failed(world: World) -> None:
    _says(
        world, f"testSecret: Unable to log into database with pending secret of secret ARN {SECRET}", step="testSecret"
    )


def elasticache_user_not_active(world: World) -> None:
    _says(world, f"setSecret: user orders associated with secret {SECRET} did not reached the active status.")


def directory_password_reset_failed(world: World) -> None:
    said = "Unable to reset the users password in Directory Services for directory d-1234567890 and user orders"
    _says(world, f"setSecret: {said}")


def influxdb_token_refused(world: World) -> None:
    said = "Authentication creation has not been enabled to allow the Lambda function to create tokens."
    _says(world, said, step="createSecret")


def db_connection_refused(world: World) -> None:
    _raises(
        world, "ConnectionRefused", "host orders.example, port 5432: Connection refused. Hint: Check host and port."
    )


def db_unreachable(world: World) -> None:
    said = "host orders.example, port 5432: no answer within the time limit. Hint: A firewall drops the packets."
    _raises(world, "ConnectionTimedOut", said)


def db_connection_lost(world: World) -> None:
    _raises(world, "OperationalError", "server closed the connection unexpectedly")


def db_database_missing(world: World) -> None:
    _raises(
        world, "DatabaseMissing", 'host orders.example: database "orders" does not exist (3D000). Hint: Set dbname.'
    )


def db_not_ready(world: World) -> None:
    _raises(world, "OperationalError", "FATAL:  sorry, too many clients already")


def db_lock_timeout(world: World) -> None:
    _raises(
        world, "LockTimedOut", "host orders.example: canceling statement due to lock timeout (55P03). Hint: End it."
    )


def db_not_admitted(world: World) -> None:
    said = 'FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "orders", database "orders", SSL encryption'
    _raises(world, "OperationalError", said)


def db_authentication_method(world: World) -> None:
    _raises(world, "OperationalError", "(2059, \"Authentication plugin 'gssapi' is not supported\")")


def db_grant_missing(world: World) -> None:
    said = "Access denied; you need (at least one of) the CREATE USER privilege(s) for this operation"
    _raises(world, "OperationalError", f'(1227, "{said}")')


def db_another_product(world: World) -> None:
    _raises(world, "AnotherProduct", "orders.example is MariaDB. Hint: Set engine in the secret.")


def db_clone_conflict(world: World) -> None:
    said = "orders.example: user orders_clone may do more than orders and is not its clone. Hint: Rename one."
    _raises(world, "NotAClone", said)


def db_user_without_password(world: World) -> None:
    said = "PostgreSQL lets user orders in without looking at the password. Hint: Give the user a password."
    _raises(world, "PasswordNotAsked", said)


def db_change_not_durable(world: World) -> None:
    _raises(world, "NotDurable", "orders.example has no aclfile. Hint: Name one.")
