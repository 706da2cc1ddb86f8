"""``keyturn serve`` and ``keyturn init``: what they say when they cannot start, and how they end."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from keyturn.testing.functions import zip_package

from .conftest import ServerProcess, clean_environ, copy_initialised, run_keyturn, wait_until
from .raw_http import Wire, request


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that is started as users start it."""
    process = ServerProcess(tmp_path, forked=False)
    yield process
    if process._process is not None:
        process.stop()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with an initialised data directory."""
    copy_initialised(tmp_path / "data")
    return tmp_path


def serve(home: Path, *options: str) -> CompletedProcess[str]:
    """Run a server that must refuse to start."""
    return run_keyturn(
        "serve", "--data-dir", str(home / "data"), "--port", "0", "--no-profile", *options, home=home, check=False
    )


def message_of(done: CompletedProcess[str]) -> str:
    """What was printed: one error and its hints, nothing else, no traceback."""
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    first, *rest = done.stderr.strip().splitlines()
    assert first.startswith("error: "), done.stderr
    assert rest, "no hint"
    assert all(line.startswith("hint: ") for line in rest), done.stderr
    assert "ready" not in done.stdout
    return done.stderr


def test_a_port_in_use(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        message = message_of(serve(home, "--port", str(port)))

    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use." in message
    assert "--port" in message


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.77"])
def test_an_address_that_is_not_here(home: Path, host: str) -> None:
    message = message_of(serve(home, "--host", host, "--plaintext-on-network"))

    assert host in message


def test_a_port_in_use_leaves_an_empty_data_directory_empty(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        message_of(serve(tmp_path, "--port", str(taken.getsockname()[1])))

    assert not (tmp_path / "data").exists()


def test_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    message = message_of(
        run_keyturn("serve", "--data-dir", str(tmp_path / "file" / "data"), home=tmp_path, check=False)
    )

    assert f"The data directory {tmp_path / 'file' / 'data'} cannot be made: Not a directory." in message


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a folder that even root cannot write to")
def test_a_data_directory_that_cannot_be_written(tmp_path: Path) -> None:
    # Root may write to any folder but this one.
    message = message_of(run_keyturn("serve", "--data-dir", "/proc/self/fdinfo", home=tmp_path, check=False))

    assert "/proc/self/fdinfo" in message
    assert "--data-dir" in message


def test_a_missing_root_key(home: Path) -> None:
    (home / "data" / "root.key").unlink()

    message = message_of(serve(home))

    assert f"There is no root key at {home / 'data' / 'root.key'}." in message
    assert "Restore it" in message


def test_the_root_key_of_another_installation(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    run_keyturn("init", "--data-dir", str(other / "data"), "--no-profile", home=other)
    shutil.copy(other / "data" / "root.key", home / "data" / "root.key")

    assert "root key" in message_of(serve(home))


def test_a_root_key_that_others_may_read(home: Path) -> None:
    (home / "data" / "root.key").chmod(0o644)

    message = message_of(serve(home))

    assert "has mode 0644" in message
    assert "chmod 600" in message


def test_a_root_key_that_is_none(home: Path) -> None:
    (home / "data" / "root.key").write_bytes(b"x" * 64)

    message_of(serve(home))


@pytest.mark.parametrize(("file", "table"), [("keyturn.db", "state_revision"), ("journal.db", "journal_revision")])
def test_a_database_of_a_newer_version(home: Path, file: str, table: str) -> None:
    with closing(sqlite3.connect(home / "data" / file)) as database:
        database.execute(f"UPDATE {table} SET version_num = '9999_future'")
        database.commit()

    message = message_of(serve(home))

    assert "was written by a newer version of Keyturn (schema 9999_future)" in message


def test_a_database_that_is_none(home: Path) -> None:
    for path in (home / "data").glob("keyturn.db*"):
        path.unlink()
    (home / "data" / "keyturn.db").write_bytes(b"this is no database" * 1000)

    assert "The database failed: file is not a database." in message_of(serve(home))


def test_a_database_of_another_management_account(home: Path) -> None:
    message = message_of(serve(home, "--account-id", "111122223333"))

    assert "KEYTURN_ACCOUNT_ID=" in message


@pytest.mark.parametrize(
    "options",
    [
        ("--host", "0.0.0.0"),
        ("--tls-certificate", "/no/such.pem", "--tls-private-key", "/no/such.pem"),
        ("--log-level", "loud"),
        ("--database-url", "oracle://somewhere/keyturn"),
        ("--database-url", "not a url"),
        ("--database-url", "postgresql://127.0.0.1:1/keyturn"),
        ("--root-key-file", "/no/such/root.key"),
    ],
    ids=" ".join,
)
def test_settings_that_cannot_be(home: Path, options: tuple[str, ...]) -> None:
    message_of(serve(home, *options))


def test_a_mistyped_option_is_wrong_usage(home: Path) -> None:
    done = serve(home, "--prot", "1")

    assert done.returncode == 2
    assert "--prot" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_server_on_the_same_data(own_server: ServerProcess) -> None:
    own_server.start()

    message = message_of(serve(own_server.home))

    assert f"Another keyturn server is running on {own_server.data_dir}." in message
    assert own_server.client("sts").get_caller_identity()["Account"] == own_server.account_id


def test_initialising_twice_changes_nothing(home: Path) -> None:
    before = {path.name: path.read_bytes() for path in (home / "data").iterdir() if path.is_file()}

    done = run_keyturn("init", "--data-dir", str(home / "data"), "--no-profile", home=home, check=False)

    assert "is initialised already" in message_of(done)
    assert {path.name: path.read_bytes() for path in (home / "data").iterdir() if path.is_file()} == before


def test_what_init_prints_and_makes(tmp_path: Path) -> None:
    data_dir = tmp_path / "a" / "b"

    done = run_keyturn(
        "init", "--data-dir", str(data_dir), "--output", "json", "--account-id", "123456789012",
        "--region", "eu-west-3", "--port", "4999", home=tmp_path,
    )  # fmt: skip

    printed = json.loads(done.stdout)
    assert set(printed) == {"access_key_id", "secret_access_key", "account_id", "region", "data_dir"}
    assert (printed["account_id"], printed["region"], printed["data_dir"]) == (
        "123456789012",
        "eu-west-3",
        str(data_dir),
    )
    assert done.stderr == ""
    assert data_dir.stat().st_mode & 0o066 == 0
    for path in data_dir.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    config = (tmp_path / ".aws" / "config").read_text()
    assert config == "[profile keyturn]\nregion = eu-west-3\nendpoint_url = http://127.0.0.1:4999\n"
    assert printed["secret_access_key"] in (tmp_path / ".aws" / "credentials").read_text()


THEIRS = "[keyturn]\naws_access_key_id = AKIATHEIRS\naws_secret_access_key = theirs\n"


@pytest.fixture
def with_a_profile(tmp_path: Path) -> Path:
    """A home that has a profile of the name that Keyturn would write."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(THEIRS)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "hints"),
    [
        (("init",), ("--profile NAME", "--replace-profile", "--no-profile")),
        (("serve", "--port", "0"), ("keyturn init --replace-profile", "--profile NAME", "--no-profile")),
    ],
)
def test_a_profile_that_exists_is_left_alone_and_nothing_is_made(
    with_a_profile: Path, words: tuple[str, ...], hints: tuple[str, ...]
) -> None:
    data_dir = with_a_profile / "data"

    message = message_of(run_keyturn(*words, "--data-dir", str(data_dir), home=with_a_profile, check=False))

    assert f"The AWS profile keyturn exists already, in {with_a_profile / '.aws' / 'credentials'}." in message
    assert all(hint in message for hint in hints)
    assert not data_dir.exists()
    assert [path.name for path in (with_a_profile / ".aws").iterdir()] == ["credentials"]
    assert (with_a_profile / ".aws" / "credentials").read_text() == THEIRS


def test_a_profile_that_exists_is_replaced_where_that_is_said(with_a_profile: Path) -> None:
    done = run_keyturn("init", "--data-dir", str(with_a_profile / "data"), "--replace-profile", home=with_a_profile)

    config, credentials = (with_a_profile / ".aws" / name for name in ("config", "credentials"))
    assert f"AWS profile         keyturn  (written into {config} and {credentials})" in done.stdout.splitlines()
    assert "theirs" not in credentials.read_text().lower()
    assert "[profile keyturn]" in config.read_text()


@pytest.mark.parametrize("options", [("--profile", "mine"), ("--no-profile",)])
def test_there_are_two_ways_round_a_profile_that_exists(with_a_profile: Path, options: tuple[str, ...]) -> None:
    run_keyturn("init", "--data-dir", str(with_a_profile / "data"), *options, home=with_a_profile)

    assert (with_a_profile / ".aws" / "credentials").read_text().startswith(THEIRS)


def test_the_profile_is_not_asked_about_once_there_is_data(with_a_profile: Path) -> None:
    run_keyturn("init", "--data-dir", str(with_a_profile / "data"), "--no-profile", home=with_a_profile)

    again = run_keyturn("init", "--data-dir", str(with_a_profile / "data"), home=with_a_profile, check=False)

    assert "is initialised already" in message_of(again)


def test_a_profile_s_name_is_looked_at_before_anything_is_made(tmp_path: Path) -> None:
    done = run_keyturn("init", "--data-dir", str(tmp_path / "data"), "--profile", "my own", home=tmp_path, check=False)

    assert "'my own' cannot be the name of an AWS profile." in message_of(done)
    assert not (tmp_path / "data").exists()


def test_a_mistyped_variable_is_refused(home: Path) -> None:
    environ = {**clean_environ(home), "KEYTURN_QUOTA_SECRET": "5"}

    done = run_keyturn("serve", "--data-dir", str(home / "data"), home=home, environ=environ, check=False)

    assert "Did you mean KEYTURN_QUOTA_SECRETS?" in message_of(done)


@pytest.mark.parametrize("words", [("rotate", "a"), ("account", "list"), ("account", "create", "a")], ids=" ".join)
def test_a_profile_that_is_not_there(tmp_path: Path, words: tuple[str, ...]) -> None:
    named = run_keyturn(*words, "--profile", "nope", home=tmp_path, check=False)
    environ = {**clean_environ(tmp_path), "AWS_PROFILE": "nope"}
    meant = run_keyturn(*words, home=tmp_path, environ=environ, check=False)

    for done in (named, meant):
        assert "There is no AWS profile 'nope'." in message_of(done)
        assert "aws configure list-profiles" in done.stderr


def test_an_empty_directory_is_initialised_by_serve(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "keyturn.cli.main", "serve", "--data-dir", str(tmp_path / "data"), "--port", "0"]
    with subprocess.Popen(command, env=clean_environ(tmp_path), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        try:
            # What was written is all that a client needs.
            environ = {**clean_environ(tmp_path), "AWS_PROFILE": "keyturn"}
            asked = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
            done = subprocess.run([sys.executable, "-c", asked], env=environ, capture_output=True, text=True)
        finally:
            process.terminate()

    assert "ready on" in ready
    assert process.returncode == 0
    assert done.stdout == "arn:aws:iam::000000000000:user/administrator\n", done.stderr


def test_an_empty_directory_is_left_empty_where_nobody_would_see_the_access_key(tmp_path: Path) -> None:
    message = message_of(serve(tmp_path))

    assert "keyturn init" in message
    assert not (tmp_path / "data").exists()


def test_one_line_when_ready_and_none_of_it_a_secret(own_server: ServerProcess) -> None:
    own_server.start()
    own_server.client("sts").get_caller_identity()
    own_server.stop()

    lines = own_server.log().splitlines()
    assert sum("ready on" in line for line in lines) == 1
    assert own_server.admin.secret_access_key not in own_server.log()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "; functions can be in VPCs)"),
        (["--isolate-functions"], "; functions in no VPC are isolated, functions can be in VPCs)"),
        (
            [f"--network-map=10.0.2.{number}=127.0.0.1" for number in range(15, 21)],
            (
                "; functions can be in VPCs, network map 10.0.2.15=127.0.0.1, network map 10.0.2.16=127.0.0.1,"
                " network map 10.0.2.17=127.0.0.1, network map 10.0.2.18=127.0.0.1, and 2 more)"
            ),
        ),
    ],
)
def test_what_functions_reach_is_told_when_ready(tmp_path: Path, options: list[str], told: str) -> None:
    server = ServerProcess(tmp_path, *options)
    server.start()
    server.stop()

    [ready] = [line for line in server.log().splitlines() if "ready on" in line]
    assert ready.endswith(told)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly_and_soon(own_server: ServerProcess, number: signal.Signals) -> None:
    own_server.start()
    own_server.client("secretsmanager").create_secret(Name="kept", SecretString="value")
    with Wire(own_server) as idle, Wire(own_server) as keeps_alive, Wire(own_server) as unfinished:
        keeps_alive.send(request(own_server, method=b"GET", target=b"/healthz", body=b"", length=False))
        assert keeps_alive.reply().status == 200
        unfinished.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Le")
        before = time.monotonic()

        assert own_server.stop(number) == 0

        assert time.monotonic() - before < 4
        assert idle.is_closed()
        assert keeps_alive.is_closed()
        assert unfinished.is_closed()
    assert "Traceback" not in own_server.log()
    own_server.start()
    read = own_server.client("secretsmanager").get_secret_value(SecretId="kept")
    assert read["SecretString"] == "value"


def test_a_signal_twice_does_no_harm(own_server: ServerProcess) -> None:
    own_server.start()
    os.kill(own_server.pid, signal.SIGTERM)

    assert own_server.stop() == 0


SLEEPER = """
import time


def lambda_handler(event, context):
    print("begun", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def sleeper(own_server: ServerProcess) -> Iterator[ServerProcess]:
    """A server with a function that sleeps for ten minutes, and a caller who waits for it."""
    own_server.start()
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = own_server.client("iam").create_role(RoleName="sleeper", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    own_server.client("lambda").create_function(
        FunctionName="sleeper",
        Runtime=f"python3.{sys.version_info.minor}",
        Role=role,
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": zip_package({"lambda_function.py": SLEEPER})},
        Timeout=900,
    )
    outcome: list[Any] = []

    def invoke() -> None:
        try:
            outcome.append(own_server.client("lambda").invoke(FunctionName="sleeper"))
        except ClientError as error:
            outcome.append(error)

    caller = threading.Thread(target=invoke)
    caller.start()
    marker = f"{own_server.data_dir}/runtime"
    wait_until(lambda: function_processes(marker), "the function runs", own_server)
    yield own_server
    caller.join()
    assert len(outcome) == 1


def function_processes(marker: str) -> list[str]:
    """Command lines of processes that run something below a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in line:
            found.append(line)
    return found


def test_a_signal_ends_a_function_that_runs(sleeper: ServerProcess) -> None:
    before = time.monotonic()

    assert sleeper.stop() == 0

    assert time.monotonic() - before < 10
    assert "Traceback" not in sleeper.log()
    assert function_processes(f"{sleeper.data_dir}/runtime") == []
    sleeper.start()
    found = sleeper.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "Invoke"}]
    )["Events"]
    assert [json.loads(event["CloudTrailEvent"])["errorCode"] for event in found] == ["ServiceException"]


def certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for this machine that nobody has signed, and its private key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keyturn test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = directory / "tls.pem", directory / "tls.key"
    certificate_path.write_bytes(made.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate_path, key_path


def test_with_a_certificate_everything_goes_over_tls(home: Path, tmp_path: Path) -> None:
    certificate_path, key_path = certificate(tmp_path)
    command = [
        sys.executable, "-m", "keyturn.cli.main", "serve", "--data-dir", str(home / "data"), "--port", "0",
        "--no-profile", "--tls-certificate", str(certificate_path), "--tls-private-key", str(key_path),
    ]  # fmt: skip
    with subprocess.Popen(command, env=clean_environ(tmp_path), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = re.search(r"ready on https://127.0.0.1:(\d+)", process.stdout.readline())
        try:
            assert ready is not None
            trusting = ssl.create_default_context(cafile=certificate_path)
            connection = http.client.HTTPSConnection("127.0.0.1", int(ready[1]), context=trusting, timeout=30)
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
            connection.close()
            with socket.create_connection(("127.0.0.1", int(ready[1]))) as plain:
                plain.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
                answer_to_plaintext = plain.recv(100)
        finally:
            process.terminate()

    assert status == 200
    assert b"HTTP" not in answer_to_plaintext
    assert process.returncode == 0
