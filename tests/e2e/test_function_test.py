"""``keyturn function test``: each flaw of a function is found and named, and a sound one has none."""

from __future__ import annotations

import configparser
import contextlib
import io
import json
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import boto3
import pytest

from keyturn.rotators import package
from keyturn.testing.postgresql import PostgresqlServer

from .conftest import DEADLINE_SECONDS, ServerProcess, clean_environ, run_keyturn, wait_until
from .test_main_job import Job

# A sound function, with room for a flaw before it.
ENTRY = """
import hashlib
import json
import logging
import uuid

import boto3

from keyturn_rotators.engines.postgresql import Engine
from keyturn_rotators.handler import Rotator
from keyturn_rotators.single_user import Strategy

engine, rotator = Engine(), Rotator(Engine(), Strategy())
client = boto3.client("secretsmanager")


def value(event, label):
    return json.loads(client.get_secret_value(SecretId=event["SecretId"], VersionStage=label)["SecretString"])


def new_password(event):
    return hashlib.sha256(event["ClientRequestToken"].encode()).hexdigest()


def is_stored(event):
    try:
        client.get_secret_value(SecretId=event["SecretId"], VersionId=event["ClientRequestToken"])
    except client.exceptions.ResourceNotFoundException:
        return False
    return True


def store(event, new):
    client.put_secret_value(
        SecretId=event["SecretId"], ClientRequestToken=event["ClientRequestToken"], SecretString=json.dumps(new),
        VersionStages=["AWSPENDING"],
    )


def lambda_handler(event, context):
    step = event["Step"]
FLAW
    return rotator(event, context)
"""


@dataclass(frozen=True)
class Flaw:
    """One thing that a function does wrong, and the trials that find it."""

    code: str
    trials: tuple[str, ...]
    reason: str


FLAWS = {
    "changes the database before the value is stored": Flaw(
        """
        if step == "createSecret" and not is_stored(event):
            current = value(event, "AWSCURRENT")
            new = {**current, "password": new_password(event)}
            with engine.connect(engine.login(current)) as connection:
                connection.set_password(new["username"], new["password"], lambda: None)
            store(event, new)
        """,
        ("contract/stores-first", "createSecret/crash-before-PutSecretValue-1"),
        "createSecret ended with: Runtime.ExitError",
    ),
    "tests nothing": Flaw(
        """
        if step == "testSecret":
            return None
        """,
        ("contract/tests",),
        "testSecret succeeded, though the database refuses the new value.",
    ),
    "swallows errors": Flaw(
        """
        if step == "setSecret":
            try:
                return rotator(event, context)
            except Exception:
                return None
        """,
        ("setSecret/database-down",),
        "setSecret succeeded, but AWSCURRENT logs in, AWSPENDING is refused",
    ),
    "forgets keys": Flaw(
        """
        if step == "createSecret" and not is_stored(event):
            current = value(event, "AWSCURRENT")
            kept = {key: current[key] for key in ("engine", "host", "port", "username")}
            store(event, {**kept, "password": new_password(event)})
        """,
        ("contract/keeps-other-keys",),
        "The new value lacks ['dbname', 'masterarn', 'keyturn-bench'] and has changed nothing.",
    ),
    "goes where the pending value says": Flaw(
        """
        if step == "setSecret":
            try:
                engine.connect(engine.login(value(event, "AWSPENDING"))).close()
            except Exception:
                pass
        """,
        ("contract/refuses-another-host",),
        "setSecret refused, but it had connected to the other host before.",
    ),
    "cannot run twice": Flaw(
        """
        if step == "setSecret" and "AWSCURRENT" in client.describe_secret(SecretId=event["SecretId"])[
            "VersionIdsToStages"
        ].get(event["ClientRequestToken"], []):
            raise ValueError("already done")
        """,
        ("contract/repeats", "setSecret/crash-after-UpdateSecretVersionStage-1"),
        "; AWSCURRENT logs in, AWSPREVIOUS is refused",
    ),
    "takes any step": Flaw(
        """
        if step not in ("createSecret", "setSecret", "testSecret", "finishSecret"):
            return None
        """,
        ("contract/refuses-unknown-step",),
        "It succeeded with a step that there is not.",
    ),
    "says the same of everything": Flaw(
        """
        if step == "setSecret":
            logging.disable()
            try:
                return rotator(event, context)
            except Exception:
                raise ValueError("setSecret: unable to log in") from None
        """,
        ("contract/explains-itself",),
        "are reported in the same words: ValueError: setSecret: unable to log in",
    ),
}


DOWN = json.dumps({"engine": "postgres", "host": "127.0.0.1", "port": 1, "username": "app", "password": "x"})


def write_function(path: Path, flaw: str = "") -> Path:
    built = package.build("postgresql", "single_user")
    with zipfile.ZipFile(io.BytesIO(built)) as archive, zipfile.ZipFile(path, "w") as changed:
        for name in archive.namelist():
            if name != "postgresql_single_user.py":
                changed.writestr(name, archive.read(name))
        code = textwrap.indent(textwrap.dedent(flaw).strip(), "    ")
        changed.writestr("lambda_function.py", ENTRY.replace("FLAW", code))
    return path


def card_of(home: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = run_keyturn("function", "test", *arguments, "--output", "json", home=home, check=False, directory=home)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("name", FLAWS)
def test_a_flaw_is_found_where_it_is(name: str, tmp_path: Path) -> None:
    flaw = FLAWS[name]
    function = write_function(tmp_path / "flawed.zip", flaw.code)
    only = [argument for trial in flaw.trials for argument in ("--only", trial)]
    status, card = card_of(tmp_path, str(function), "--database", "postgresql", *only)
    assert status == 1
    results = {f"{result['group']}/{result['name']}": result for result in card["results"]}
    assert {trial: results[trial]["status"] for trial in flaw.trials} == dict.fromkeys(flaw.trials, "failed")
    assert any(flaw.reason in result["reason"] for result in results.values())
    assert not card["leaks"]


def test_a_lost_password_is_called_locked_out(tmp_path: Path) -> None:
    flaw = FLAWS["changes the database before the value is stored"]
    function = write_function(tmp_path / "flawed.zip", flaw.code)
    _, card = card_of(tmp_path, str(function), "--database", "postgresql", "--only", flaw.trials[1])
    [result] = card["results"]
    assert result["left"] == "locked out"


def test_a_value_in_the_log_is_a_leak_and_is_not_shown_again(tmp_path: Path) -> None:
    code = """
    if step == "testSecret":
        print("The new password is", value(event, "AWSPENDING")["password"])
    """
    function = write_function(tmp_path / "flawed.zip", code)
    status, card = card_of(tmp_path, str(function), "--database", "postgresql", "--only", "contract/rotates")
    assert status == 1
    assert card["leaks"] == ["testSecret: The new password is ***"]


def test_a_sound_function_has_a_clean_card_in_every_form(tmp_path: Path) -> None:
    function = write_function(tmp_path / "sound.zip")
    chosen = ("--only", "contract/r*", "--only", "*Secret/crash-*", "--quick")
    junit = tmp_path / "card.xml"
    done = run_keyturn(
        "function", "test", str(function), "--database", "postgresql", *chosen, "--junit", str(junit), home=tmp_path
    )
    first, *rest = done.stdout.splitlines()
    assert first.startswith("✓ sound.zip: nothing found in ")
    assert "✓ Each step may run twice" in rest
    assert any(line.startswith("Faults  4 of 4 stood") for line in rest)
    cases = list(ET.fromstring(junit.read_text()).iter("testcase"))
    assert len(cases) == int(first.split()[-2]) + 1
    assert not [case for case in cases if len(case) and case.get("classname") != "sound.zip.contract"]


def test_a_new_password_at_each_try_ends_one_trial_and_not_the_card(tmp_path: Path) -> None:
    code = """
    if step == "createSecret":
        client.update_secret_version_stage(
            SecretId=event["SecretId"], VersionStage="AWSPENDING", RemoveFromVersionId=event["ClientRequestToken"]
        )
        store({**event, "ClientRequestToken": str(uuid.uuid4())}, value(event, "AWSCURRENT"))
        return None
    """
    function = write_function(tmp_path / "flawed.zip", code)
    status, card = card_of(
        tmp_path, str(function), "--database", "postgresql", "--only", "contract/stores-first", "--only",
        "contract/keeps-pending-value", "--only", "contract/refuses-unknown-step",
    )  # fmt: skip
    assert status == 1
    assert [result["status"] for result in card["results"]] == ["failed", "failed", "passed"]


@pytest.fixture
def database() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


def test_a_users_own_password_is_set_back_at_the_end(database: PostgresqlServer, tmp_path: Path) -> None:
    database.create_user("app", "their own")
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(database.secret_value("app", "their own")))
    function = write_function(tmp_path / "sound.zip")
    status, card = card_of(tmp_path, str(function), "--secret", str(secret), "--yes", "--only", "contract/rotates")
    assert (status, [result["status"] for result in card["results"]]) == (0, ["passed"])
    assert database.accepts("app", "their own")


@contextlib.contextmanager
def bench_at_work(database: PostgresqlServer, home: Path) -> Iterator[subprocess.Popen[str]]:
    """A bench that has begun to change a user's password."""
    database.create_user("app", "their own")
    secret = home / "secret.json"
    secret.write_text(json.dumps(database.secret_value("app", "their own")))
    function = write_function(home / "sound.zip")
    with subprocess.Popen(
        [sys.executable, "-m", "keyturn.cli.main", "function", "test", str(function), "--secret", str(secret), "--yes"],
        env={**clean_environ(home), "TMPDIR": str(home)}, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    ) as bench:  # fmt: skip
        wait_until(lambda: not database.accepts("app", "their own"), "the first rotation")
        yield bench


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whoever_ends_it_in_a_hurry_has_the_password_set_back(
    database: PostgresqlServer, tmp_path: Path, number: signal.Signals
) -> None:
    with bench_at_work(database, tmp_path) as bench:
        for _ in range(3):
            bench.send_signal(number)
        said, _ = bench.communicate(timeout=DEADLINE_SECONDS)
    assert bench.returncode == 130
    assert "Broken off: You have ended it." in said
    assert database.accepts("app", "their own")
    assert not list(tmp_path.glob("keyturn-bench-*"))


def test_a_password_that_cannot_be_set_back_is_in_a_file_and_the_status_says_so(
    database: PostgresqlServer, tmp_path: Path
) -> None:
    with bench_at_work(database, tmp_path) as bench:
        database.run("ALTER ROLE app NOLOGIN")
        said, _ = bench.communicate(timeout=DEADLINE_SECONDS * 4)
    assert bench.returncode == 1
    assert "The password has not been set back." in said
    [kept] = tmp_path.glob("keyturn-function-test-*.json")
    assert kept.stat().st_mode & 0o777 == 0o600
    database.run("ALTER ROLE app LOGIN")
    assert any(database.accepts("app", value["password"]) for value in json.loads(kept.read_text()))


def test_a_bench_that_is_killed_leaves_what_it_takes_to_find_the_password(
    database: PostgresqlServer, tmp_path: Path
) -> None:
    with bench_at_work(database, tmp_path) as bench:
        bench.kill()

    [directory] = tmp_path.glob("keyturn-bench-*")
    credentials = directory / "credentials"
    assert credentials.stat().st_mode & 0o777 == 0o600
    serve = [sys.executable, "-m", "keyturn.cli.main", "serve", "--data-dir", str(directory / "data"), "--no-profile"]
    with subprocess.Popen(
        [*serve, "--port", "0"], env=clean_environ(tmp_path), stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            endpoint_url = server.stdout.readline().partition(" ready on ")[2].split()[0]
            profile = configparser.ConfigParser()
            profile.read_string(credentials.read_text())
            client = boto3.client(
                "secretsmanager", endpoint_url=endpoint_url, region_name="us-east-1",
                aws_access_key_id=profile["default"]["aws_access_key_id"],
                aws_secret_access_key=profile["default"]["aws_secret_access_key"],
            )  # fmt: skip
            passwords = []
            for label in ("AWSPENDING", "AWSCURRENT", "AWSPREVIOUS"):
                with contextlib.suppress(client.exceptions.ResourceNotFoundException):
                    value = client.get_secret_value(SecretId="secret/under-test", VersionStage=label)["SecretString"]
                    passwords.append(json.loads(value)["password"])
            assert any(database.accepts("app", password) for password in passwords)
        finally:
            server.terminate()


def test_a_function_and_a_secret_are_fetched_by_their_names(
    server: ServerProcess, database: PostgresqlServer, tmp_path: Path
) -> None:
    job = Job(server, database, "on_the_bench")
    environ = server.environ()
    done = run_keyturn(
        "function", "test", job.name, "--secret", job.name, "--yes", "--only", "contract/sets", "--output", "json",
        home=tmp_path, environ=environ, check=False,
    )  # fmt: skip
    card = json.loads(done.stdout)
    assert (done.returncode, [result["status"] for result in card["results"]]) == (0, ["passed"])
    # The server's own secret is as it was: its password logs in.
    assert job.accepts(job.password())
    assert job.password() == job.first_password


def test_without_a_database_that_is_known_the_contract_is_tried_as_far_as_it_goes(tmp_path: Path) -> None:
    function = tmp_path / "rotate_token.py"
    function.write_text(
        textwrap.dedent(
            """
            import json

            import boto3

            client = boto3.client("secretsmanager")


            def lambda_handler(event, context):
                secret = {"SecretId": event["SecretId"]}
                token = event["ClientRequestToken"]
                labels = client.describe_secret(**secret)["VersionIdsToStages"]
                if event["Step"] == "createSecret" and "AWSCURRENT" not in labels.get(token, []):
                    current = json.loads(client.get_secret_value(**secret)["SecretString"])
                    value = json.dumps({**current, "token": f"token of {token}"})
                    client.put_secret_value(
                        **secret, ClientRequestToken=token, SecretString=value, VersionStages=["AWSPENDING"]
                    )
                elif event["Step"] == "finishSecret" and "AWSCURRENT" not in labels.get(token, []):
                    [current] = [version for version in labels if "AWSCURRENT" in labels[version]]
                    client.update_secret_version_stage(
                        **secret, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
                    )
            """
        )
    )
    status, card = card_of(
        tmp_path, str(function), "--secret", '{"token": "the first one"}', "--yes", "--only", "contract/[rst]*",
        "--only", "finishSecret/*",
    )  # fmt: skip
    assert status == 1
    told = {result["name"]: result["status"] for result in card["results"] if result["group"] == "contract"}
    assert told == {
        "rotates": "passed",
        "repeats": "passed",
        "runs-side-by-side": "passed",
        "stores-first": "passed",
        "sets": "skipped",
        "tests": "skipped",
        "refuses-another-user": "failed",
        "refuses-another-host": "skipped",
        "refuses-version-not-pending": "failed",
        "refuses-if-switched-off": "failed",
        "refuses-unknown-step": "failed",
        "reports-a-changed-password": "skipped",
    }
    assert {result["left"] for result in card["results"] if result["group"] == "finishSecret"} == {"unharmed", "mended"}
    # The function itself has set the first value again.
    assert not list(tmp_path.glob("keyturn-function-test-*.json"))


def test_a_function_that_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    function = tmp_path / "lambda_function.py"
    function.write_text("import not_there\n\n\ndef lambda_handler(event, context):\n    pass\n")
    status, card = card_of(
        tmp_path, str(function), "--database", "postgresql", "--only", "contract/rotates", "--only", "setSecret/*"
    )
    assert status == 1
    [result] = card["results"]
    assert "No module named 'not_there'" in result["reason"]
    assert card["broken_off"] == "It does not rotate even when nothing goes wrong, so nothing else was played."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lambda_function.py",), "Which database?"),
        (("lambda_function.py", "--database", "postgresql", "--secret", "x"), "Either a secret or a database"),
        (("lambda_function.py", "--database", "dbase"), "There is no private database 'dbase'."),
        (("missing.zip", "--database", "postgresql"), "missing.zip does not exist."),
        (("lambda_function.py", "--secret", "[1]"), "The secret's value is no JSON object."),
        (
            ("lambda_function.py", "--secret", '{"engine": "postgres"}', "--yes"),
            "The secret cannot be used: host key is missing",
        ),
        (("lambda_function.py", "--database", "postgresql", "-e", "x"), "'x' is no variable."),
        (("lambda_function.py", "--secret", '{"token": "x"}'), "This changes what the secret opens many times"),
        (("lambda_function.py", "--secret", "missing.json"), "missing.json does not exist."),
        (
            ("lambda_function.py", "--secret", DOWN.replace(": 1,", ": 1.5,"), "--yes"),
            "The secret cannot be used: port",
        ),
        (("lambda_function.py", "--secret", "[" * 60_000), "The secret's value is no JSON object."),
        (
            ("lambda_function.py", "--secret", DOWN, "--yes"),
            "cannot be asked: host 127.0.0.1, port 1: Connection refused",
        ),
        (("lambda_function.py", "--database", "postgresql", "--junit", "no/such.xml"), "no/such.xml cannot be written"),
        (
            ("lambda_function.py", "--database", "postgresql", "--handler", "other.f"),
            "no module for the handler other.f",
        ),
        (("lambda_function.py", "--database", "postgresql", "--only", "no/such"), "No trial is called no/such."),
    ],
)
def test_wrong_usage_is_told_before_anything_happens(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lambda_function.py").write_text("def lambda_handler(event, context):\n    pass\n")
    monkeypatch.chdir(tmp_path)
    done = run_keyturn("function", "test", *arguments, home=tmp_path, check=False)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
