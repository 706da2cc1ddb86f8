"""Packages with compiled drivers, in the server's sandbox: as far as a database that nobody has here."""

from __future__ import annotations

import pytest

from keyturn.rotators import catalogue
from keyturn.testing.private_server import HOST, free_port

from .conftest import ServerProcess, wait_until
from .test_main_job import Job


class NoDatabase:
    """A port at which nobody listens."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.port = free_port()

    def create_user(self, username: str, password: str) -> None:
        pass

    def secret_value(self, username: str, password: str) -> dict[str, object]:
        value = {"host": HOST, "port": self.port, "dbname": "SHOP", "username": username, "password": password}
        return {"engine": self.engine, **value}

    def accepts(self, username: str, password: str) -> bool:
        raise AssertionError("nobody is asked")


@pytest.mark.parametrize("engine", ["oracle", pytest.param("db2", marks=pytest.mark.slow)])
def test_the_driver_is_imported_in_the_sandbox_and_says_what_is_wrong(server: ServerProcess, engine: str) -> None:
    if engine == "db2":
        pytest.importorskip("ibm_db", reason="IBM has a driver for Linux on x86_64 only")
    superuser = server.client("secretsmanager").create_secret(Name=f"superuser-of-{engine}", SecretString="{}")["ARN"]
    strategy = catalogue.strategy_for(engine, has_superuser=False)
    more = {"ssl": True, "masterarn": superuser}
    job = Job(server, NoDatabase(engine), f"no_{engine}", engine=engine, strategy=strategy, more=more)
    job.rotate()
    wait_until(lambda: job.events("RotationFailed"), "the failure", server)
    [said, *_] = [event["errorMessage"] for event in job.events("Invoke") if "errorMessage" in event]
    assert "ConnectionRefused" in said
    assert "Connection refused" in said
    assert job.password() == job.first_password
