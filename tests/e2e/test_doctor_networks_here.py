"""What the doctor says, without reading the value, of a host that is the function itself, isolation, maps and mends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, wait_until
from .doctor import Doctor, DoctorHere, causes_of, rotate_well
from .test_doctor_networks import PRIVATE, TIMEOUT_SECONDS, Patient, host_in, made
from .vpc import ALL

NUMBER = 60
NAME = "here"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


def fails_at(patient: Patient, host: str) -> None:
    """Give up what is pending, store another host, rotate, and wait until that has failed."""
    if ["AWSPENDING"] in patient.stages().values():
        patient.take_off_pending()
    stored = json.loads(patient.secrets.get_secret_value(SecretId=NAME)["SecretString"])
    patient.secrets.put_secret_value(SecretId=NAME, SecretString=json.dumps({**stored, "host": host}))
    before, has_begun = len(patient.events("RotationFailed")), False

    def has_failed() -> bool:
        nonlocal has_begun
        has_begun = has_begun or patient.begins()
        return len(patient.events("RotationFailed")) > before

    wait_until(has_failed, "RotationFailed", patient.server)


def first(diagnosis: dict[str, Any], cause_id: str) -> dict[str, Any]:
    assert causes_of(diagnosis) == [cause_id], [(each["id"], each["role"]) for each in diagnosis["findings"]]
    found: dict[str, Any] = diagnosis["findings"][0]
    return found


def test_what_lies_behind_a_host_is_told_by_the_log_and_by_keyturn(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    server = ServerProcess(tmp_path, "--isolate-functions", "--network-map", f"{host_in(NUMBER)}=127.0.0.1")
    server.start()
    try:
        patient, doctor = made(postgresql, DoctorHere(server), NAME, NUMBER, ""), Doctor(server)
        patient.move(patient.vpc, *PRIVATE)
        patient.client("lambda").update_function_configuration(FunctionName=NAME, Timeout=4 * TIMEOUT_SECONDS)
        rotate_well(patient)

        fails_at(patient, "127.0.0.1")
        text = first(doctor.diagnose(NAME), "db-host-is-function-itself")["remedy"]["text"]
        assert f"{host_in(NUMBER)} is the machine that Keyturn runs on" in text

        nowhere = host_in(NUMBER).replace(".20", ".21")
        fails_at(patient, nowhere)
        [line] = first(doctor.diagnose(NAME), "network-map-missing")["remedy"]["by_hand"]
        assert line == f'network_map = "{host_in(NUMBER)}=127.0.0.1,{nowhere}=MACHINE"'

        patient.vpc.unroute()
        fails_at(patient, host_in(NUMBER))
        first(doctor.diagnose(NAME), "network-no-route-to-secretsmanager")
        patient.ec2.create_route(
            RouteTableId=patient.vpc.private_table, DestinationCidrBlock=ALL, NatGatewayId=patient.vpc.nat
        )
        # In this process: it is over long before the next attempt, which would go well, begins.
        mended = patient.doctor.diagnose(NAME)
        assert (mended["verdict"], causes_of(mended)) == ("inconclusive", [])
        assert mended["summary"].startswith("What failed has been changed since")

        patient.move(patient.vpc)
        fails_at(patient, "127.0.0.1")
        assert "--isolate-functions" in first(doctor.diagnose(NAME), "function-isolated")["remedy"]["text"]
    finally:
        assert server.stop() == 0, server.log()
