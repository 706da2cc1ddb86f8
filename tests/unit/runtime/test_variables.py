"""A function's environment variables."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyturn.runtime.spec import FunctionSpec, RoleCredentials, RuntimeSettings
from keyturn.runtime.variables import RESERVED, function_environment
from keyturn.sensitive import Sensitive

LAMBDA_TMP = Path("/tmp")


def variables(own: dict[str, str], *, temporary: Path = LAMBDA_TMP, ca_bundle: Path | None = None) -> dict[str, str]:
    spec = FunctionSpec(
        arn="arn:aws:lambda:us-east-1:000000000000:function:f",
        name="f",
        version="$LATEST",
        handler="m.h",
        runtime="python3.11",
        timeout_seconds=3,
        memory_mb=128,
        ephemeral_storage_mb=512,
        environment=own,
        code_sha256="",
        revision_id="1",
        role_arn="",
        log_group="/aws/lambda/f",
    )
    return function_environment(
        spec,
        RuntimeSettings(Path("/x"), "https://keyturn:8443"),
        RoleCredentials("ASIA", Sensitive("secret"), Sensitive("token"), datetime(2026, 1, 1, tzinfo=UTC)),
        log_stream="stream",
        runtime_api="127.0.0.1:1",
        task_root=Path("/var/task"),
        layers=Path("/opt"),
        runtime_directory=Path("/var/runtime"),
        temporary=temporary,
        ca_bundle=ca_bundle,
    )


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_function_cannot_set_a_reserved_variable(name: str) -> None:
    assert variables({name: "mine"}).get(name) != "mine"


def test_a_functions_own_variables_win_over_presets() -> None:
    found = variables({"AWS_ENDPOINT_URL": "https://mine", "PATH": "/mine", "PYTHONPATH": "/var/task/lib"})
    assert (found["AWS_ENDPOINT_URL"], found["PATH"]) == ("https://mine", "/mine")
    assert found["PYTHONPATH"] == "/var/task/lib:/var/runtime"
    assert found["SECRETS_MANAGER_ENDPOINT"] == "https://keyturn:8443"


def test_what_differs_from_lambda_is_set_only_where_it_differs() -> None:
    assert not {"TMPDIR", "AWS_CA_BUNDLE"} & set(variables({}))
    found = variables({}, temporary=Path("/scratch"), ca_bundle=Path("/ca.pem"))
    assert (found["TMPDIR"], found["AWS_CA_BUNDLE"]) == ("/scratch", "/ca.pem")


def test_a_spec_does_not_show_the_functions_variables() -> None:
    spec = FunctionSpec("a", "f", "1", "m.h", "python3.11", 3, 128, 512, {"PASSWORD": "hunter2"}, "", "1", "", "")
    assert "hunter2" not in repr(spec)
