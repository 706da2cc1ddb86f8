"""A rotation function that asks of the platform what AWS's published ones ask, for PostgreSQL and MariaDB.

Drivers are imported with the module and lie in a layer; the client is made with an endpoint from the environment;
values are read by stage and token; TLS is tried first and plaintext after it, each by a whole login; another secret has
the superuser who changes passwords if there is one.
"""

from __future__ import annotations

import json
import logging
import os
import ssl
from collections.abc import Callable
from typing import Any

import boto3
import pg8000.native
import pymysql

logger = logging.getLogger()
logger.setLevel(logging.INFO)
AUTHORITIES = "/etc/pki/tls/cert.pem"


def lambda_handler(event: dict[str, str], _context: Any) -> None:
    """Do one step."""
    arn, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
    client = boto3.client("secretsmanager", endpoint_url=os.environ["SECRETS_MANAGER_ENDPOINT"])
    described = client.describe_secret(SecretId=arn)
    stages = described["VersionIdsToStages"][token]
    if not described["RotationEnabled"] or "AWSCURRENT" in stages:
        return
    assert "AWSPENDING" in stages
    steps = {
        "createSecret": create_secret,
        "setSecret": set_secret,
        "testSecret": test_secret,
        "finishSecret": finish_secret,
    }
    steps[step](client, arn, token)
    logger.info("%s: done", step)


def create_secret(client: Any, arn: str, token: str) -> None:
    """Make the new value, unless an earlier attempt did."""
    current = get_secret_dict(client, arn, "AWSCURRENT")
    try:
        get_secret_dict(client, arn, "AWSPENDING", token)
    except client.exceptions.ResourceNotFoundException:
        excluded = os.environ.get("EXCLUDE_CHARACTERS", ":/@\"'\\")
        made = client.get_random_password(ExcludeCharacters=excluded, PasswordLength=32)
        current["password"] = made["RandomPassword"]
        if "masterarn" in current:
            name = current["username"]
            current["username"] = name.removesuffix("_clone") if name.endswith("_clone") else f"{name}_clone"
        client.put_secret_value(
            SecretId=arn, ClientRequestToken=token, SecretString=json.dumps(current), VersionStages=["AWSPENDING"]
        )


def set_secret(client: Any, arn: str, token: str) -> None:
    """Set the pending password, as the user itself or as the superuser."""
    pending = get_secret_dict(client, arn, "AWSPENDING", token)
    if run(pending, "SELECT 1"):
        return
    actor = get_secret_dict(client, arn, "AWSCURRENT")
    if "masterarn" in actor:
        actor = get_secret_dict(client, actor["masterarn"], "AWSCURRENT")
    statement = {
        "postgres": f"ALTER ROLE {pending['username']} PASSWORD '{pending['password']}'",
        "mariadb": f"SET PASSWORD FOR {pending['username']}@'%' = PASSWORD('{pending['password']}')",
    }[pending["engine"]]
    if not run(actor, statement):
        raise ValueError(f"Unable to log into database with current secret of secret arn {arn}")


def test_secret(client: Any, arn: str, token: str) -> None:
    """Log in with the pending password."""
    if not run(get_secret_dict(client, arn, "AWSPENDING", token), "SELECT 1"):
        raise ValueError(f"Unable to log into database with pending secret of secret ARN {arn}")


def finish_secret(client: Any, arn: str, token: str) -> None:
    """Make the pending version the current one."""
    versions = client.describe_secret(SecretId=arn)["VersionIdsToStages"]
    current = next(version for version, labels in versions.items() if "AWSCURRENT" in labels)
    client.update_secret_version_stage(
        SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
    )


def get_secret_dict(client: Any, arn: str, stage: str, token: str | None = None) -> dict[str, Any]:
    """Return the value that a stage names, of one version if a token is given."""
    version = {"VersionId": token} if token else {}
    value: dict[str, Any] = json.loads(
        client.get_secret_value(SecretId=arn, VersionStage=stage, **version)["SecretString"]
    )
    return value


def run(secret: dict[str, Any], statement: str) -> bool:
    """Log in, with TLS or else without, and run a statement; return whether a login succeeded."""
    login: Callable[[dict[str, Any], str, bool], None] = postgresql if secret["engine"] == "postgres" else mariadb
    for tls in (True, False):
        try:
            login(secret, statement, tls)
        except Exception as error:  # noqa: BLE001 - as AWS's functions do: whatever it is, the other way is tried
            logger.info("connecting with TLS %s failed: %s", tls, type(error).__name__)
        else:
            return True
    return False


def postgresql(secret: dict[str, Any], statement: str, tls: bool) -> None:
    """Run a statement in PostgreSQL."""
    context = ssl.create_default_context(cafile=AUTHORITIES)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pg8000.native.Connection(
        secret["username"],
        secret["host"],
        secret["dbname"],
        secret["port"],
        secret["password"],
        ssl_context=context if tls else None,
        timeout=5,
    ) as connection:
        connection.run(statement)


def mariadb(secret: dict[str, Any], statement: str, tls: bool) -> None:
    """Run a statement in MariaDB."""
    with (
        pymysql.connect(
            host=secret["host"],
            port=secret["port"],
            user=secret["username"],
            password=secret["password"],
            ssl={"ca": AUTHORITIES, "check_hostname": False, "verify_mode": ssl.CERT_NONE} if tls else None,
            connect_timeout=5,
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
