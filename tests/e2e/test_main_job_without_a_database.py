"""The main job for databases of which no server can be had: everything is real but the database, a stand-in that speaks
its protocol.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from keyturn.testing.mariadb import MariadbServer
from keyturn.testing.private_server import Owner, write_certificate

from .conftest import ServerProcess, wait_until
from .stand_ins import RedshiftStandIn, SqlserverStandIn
from .test_main_job import Job
from .test_main_job_mariadb import log_of


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    write_certificate(Owner(None), folder)
    return folder


@pytest.fixture(params=["sqlserver", "redshift"])
def database(request: pytest.FixtureRequest, certificate: Path) -> Iterator[SqlserverStandIn | RedshiftStandIn]:
    with SqlserverStandIn(certificate) if request.param == "sqlserver" else RedshiftStandIn() as running:
        yield running


@pytest.mark.parametrize("strategy", ["single_user", "alternating_users"])
def test_the_function_rotates_in_its_sandbox(
    strategy: str, server: ServerProcess, database: SqlserverStandIn | RedshiftStandIn
) -> None:
    engine = str(database.superuser_value()["engine"])
    name = f"{engine}_{strategy}"
    superuser = server.client("secretsmanager").create_secret(
        Name=f"{name}-superuser", SecretString=json.dumps({**database.superuser_value(), "ssl": False})
    )["ARN"]
    more = {"masterarn": superuser}
    # It has what a job asks of a database.
    job = Job(server, cast("MariadbServer", database), name, engine=engine, strategy=strategy, more=more)
    wait_until(functools.partial(job.is_current, job.rotate()), "the rotation", server)

    value = json.loads(job.secrets.get_secret_value(SecretId=name)["SecretString"])
    assert value["username"] == (name if strategy == "single_user" else f"{name}_clone")
    assert database.accepts(value["username"], value["password"])
    assert database.accepts(name, job.first_password) == (strategy == "alternating_users")
    log = log_of(job)
    assert "DB with AWSPENDING secret" in log
    assert value["password"] not in log
    assert job.first_password not in log
