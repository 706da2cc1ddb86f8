"""``keyturn audit`` beside a running server: what happened, and the proof that it is what was written."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import DEADLINE_SECONDS, Credentials, ServerProcess, run_keyturn, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a history: a secret that was read, and a user who was denied it."""
    process = ServerProcess(tmp_path_factory.mktemp("keyturn"))
    (process.data_dir / "keyturn.toml").write_text(f'audit_sinks = "json-lines:{process.home}/audit.jsonl"\n')
    process.start()
    secrets, iam = process.client("secretsmanager"), process.client("iam")
    secrets.create_secret(Name="db", SecretString="s")
    secrets.get_secret_value(SecretId="db")
    iam.create_user(UserName="mallory")
    key = iam.create_access_key(UserName="mallory")["AccessKey"]
    mallory = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    with pytest.raises(ClientError):
        process.client("secretsmanager", mallory).get_secret_value(SecretId="db")
    wait_until((process.data_dir / "audit.anchor").exists, "the trail is anchored", process)
    yield process
    assert process.stop() == 0, process.log()


def audit(server: ServerProcess, *arguments: str) -> tuple[int, str, str]:
    """Run a command of the group, as a client and on the server's machine."""
    done = run_keyturn("audit", *arguments, home=server.home, check=False, environ=server.environ())
    return done.returncode, done.stdout, done.stderr


def here(server: ServerProcess) -> tuple[str, str]:
    return "--data-dir", str(server.data_dir)


def events(server: ServerProcess, *options: str) -> list[dict[str, Any]]:
    status, output, errors = audit(server, "events", "--output", "json", *options)
    assert status == 0, errors
    found: list[dict[str, Any]] = json.loads(output)
    return found


def test_a_running_servers_trail_is_verified(server: ServerProcess) -> None:
    status, output, _ = audit(server, "verify", *here(server))
    assert status == 0
    assert output.startswith("Verified. Records 1 to ")

    status, output, _ = audit(server, "verify", *here(server), "--output", "json")
    report = json.loads(output)
    assert (status, report["format"], report["verified"]) == (0, "keyturn.audit/1", True)
    assert report["records"] == report["newest"]["sequence"] >= 5


def test_a_head_that_was_kept_elsewhere_is_found_again(server: ServerProcess) -> None:
    _, head, _ = audit(server, "head", *here(server))
    _, output, _ = audit(server, "head", *here(server), "--output", "json")
    sequence, link = head.strip().split(":")
    assert (json.loads(output)["sequence"], json.loads(output)["link"]) == (int(sequence), link)
    server.client("sts").get_caller_identity()

    assert audit(server, "verify", *here(server), "--head", head.strip())[0] == 0
    status, output, _ = audit(server, "verify", *here(server), "--head", f"{int(sequence) + 99}:{link}")
    assert status == 1
    assert output.startswith("rolled back: The trail ends at record ")
    assert "hint: " in output
    status, output, _ = audit(server, "verify", *here(server), "--head", f"{sequence}:{'0' * 64}")
    assert status == 1
    status, _, errors = audit(server, "verify", *here(server), "--head", "nonsense")
    assert (status, "hint: keyturn audit head prints one." in errors) == (1, True)


def test_a_file_of_a_sink_is_verified_with_the_database(server: ServerProcess, tmp_path: Path) -> None:
    path = server.home / "audit.jsonl"
    wait_until(path.exists, "the sink has a file", server)
    server.client("sts").get_caller_identity()
    (request,) = events(server, "--event-name", "GetCallerIdentity", "--limit", "1")
    wait_until(lambda: request["requestID"] in path.read_text(), "the sink has the newest record", server)

    status, output, _ = audit(server, "verify", *here(server), "--file", str(path))
    assert (status, " records of files are the same" in output) == (0, True)
    whole = path.read_bytes().splitlines(keepends=True)
    tampered = tmp_path / "audit.jsonl"
    for lines, kind in (
        # With its quotes: the digits of the record's link may hold these two as well.
        ([whole[0], whole[1].replace(b'"db"', b'"xx"'), *whole[2:]], "changed"),
        ([whole[0], *whole[2:]], "removed"),
        ([whole[1], whole[0], *whole[2:]], "moved"),
    ):
        tampered.write_bytes(b"".join(lines))
        status, output, _ = audit(server, "verify", *here(server), "--file", str(tampered))
        assert (status, output.partition(":")[0]) == (1, kind)
        assert "the database verifies" in output
        assert "Somebody wrote" not in output
    # Interrupted and repeated, in two files, and not from the beginning.
    tampered.write_bytes(b"".join([*whole[1:4], b'{"sequence":', b"\n"]))
    second = tmp_path / "second.jsonl"
    second.write_bytes(b"".join([*whole[2:4], *whole[3:]]))
    status, output, _ = audit(server, "verify", *here(server), "--file", str(tampered), "--file", str(second))
    assert (status, "note: " in output) == (0, True)
    status, _, errors = audit(server, "verify", *here(server), "--file", str(tmp_path / "missing"))
    assert (status, "cannot be read" in errors) == (1, True)


def test_events_are_listed_newest_first_and_filtered(server: ServerProcess) -> None:
    (denied,) = events(server, "--denied")
    assert denied["userIdentity"]["userName"] == "mallory"
    arn = denied["resources"][0]["ARN"]
    assert [event["eventName"] for event in events(server, "--secret", arn)] == [
        "GetSecretValue", "GetSecretValue", "CreateSecret"
    ]  # fmt: skip
    assert len(events(server, "--secret", "db", "--username", "administrator", "--event-name", "GetSecretValue")) == 1
    assert len(events(server, "--principal", "mallory", "--since", "1h")) == 1
    assert events(server, "--since", "2999-01-01T00:00:00Z") == []
    assert events(server, "--event-id", denied["eventID"]) == [denied]
    times = [event["eventTime"] for event in events(server)]
    assert times == sorted(times, reverse=True)
    assert len(events(server, "--limit", "2")) == 2

    status, output, _ = audit(server, "events", "--denied")
    assert status == 0
    line, command = output.splitlines()
    assert line.split()[:4] == [denied["eventTime"], "GetSecretValue", "user/mallory", "AccessDenied"]
    assert line.split()[4].startswith("secret:db-")
    assert command == f"  keyturn audit explain {denied['eventID']}"
    asked = run_keyturn(*command.split()[1:], home=server.home, environ=server.environ())
    assert "GetSecretValue was refused" in asked.stdout
    assert audit(server, "events", "--event-name", "Nothing")[1] == "No event was found.\n"


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--since", "yesterday"), "Say how long ago"),
        (("--secret", "nothing"), "found by its ARN"),
    ],
)
def test_a_filter_that_cannot_be_read_is_told(server: ServerProcess, options: tuple[str, str], hint: str) -> None:
    status, _, errors = audit(server, "events", *options)
    assert (status, hint in errors) == (1, True)


def test_events_are_followed_as_they_happen(server: ServerProcess) -> None:
    command = [sys.executable, "-m", "keyturn.cli.main", "audit", "events", "--follow", "--event-name", "ListUsers"]
    following = subprocess.Popen(
        command, env=server.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines: list[str] = []
    assert following.stdout
    stdout = following.stdout
    reader = threading.Thread(target=lambda: lines.extend(iter(stdout.readline, "")), daemon=True)
    reader.start()
    try:

        def seen() -> bool:
            server.client("iam").list_users()
            return len(lines) >= 3

        wait_until(seen, "the command printed what happened", server)
    finally:
        following.terminate()
        _, errors = following.communicate(timeout=DEADLINE_SECONDS)
        reader.join(DEADLINE_SECONDS)
    assert errors == ""
    assert all("ListUsers" in line and line.split()[3] == "ok" for line in lines)


def test_where_there_is_no_keyturn_nothing_is_made(tmp_path: Path) -> None:
    done = run_keyturn("audit", "verify", "--data-dir", str(tmp_path), home=tmp_path, check=False)

    assert done.returncode == 1
    assert "hint: " in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def stopped(server: ServerProcess, tmp_path: Path) -> Path:
    """A copy of the data directory, as somebody has it who may change everything but has no root key."""
    copy = tmp_path / "data"
    shutil.copytree(server.data_dir, copy, ignore=shutil.ignore_patterns("runtime", "keyturn.toml"))
    return copy


def test_what_was_changed_past_keyturn_is_found_and_nothing_is_repaired(stopped: Path, tmp_path: Path) -> None:
    with sqlite3.connect(stopped / "journal.db") as connection:
        with pytest.raises(sqlite3.IntegrityError, match="audit events are not changed"):
            connection.execute("UPDATE audit_events SET username = 'nobody' WHERE sequence = 2")
        connection.execute("DROP TRIGGER audit_events_no_change")
        connection.execute("UPDATE audit_events SET username = 'nobody' WHERE sequence = 2")
    connection.close()
    for _ in range(2):
        done = run_keyturn("audit", "verify", "--data-dir", str(stopped), home=tmp_path, check=False)
        assert done.returncode == 1
        assert "changed: Record 2 was changed." in done.stdout
        assert "hint: " in done.stdout
        assert "note: The database would let records be changed" in done.stdout


def test_a_trail_whose_beginning_was_removed_is_found_before_and_after_a_server_has_gone_on(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    server.start()
    for _ in range(5):
        server.client("sts").get_caller_identity()
    server.stop()
    _, head, _ = audit(server, "head", *here(server))
    with sqlite3.connect(server.data_dir / "journal.db") as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM audit_marks")
        connection.execute("DELETE FROM audit_events WHERE sequence IN (2, 3)")
        connection.execute("UPDATE audit_events SET link = NULL, username = 'nobody'")
        connection.execute("UPDATE audit_events SET sequence = 99 WHERE sequence = 5")
    connection.close()

    assert audit(server, "verify", *here(server))[0] == 1
    server.start()
    server.client("sts").get_caller_identity()
    assert "its beginning is gone" in server.log()
    server.stop()
    for _ in range(2):
        status, output, _ = audit(server, "verify", *here(server))
        assert (status, "removed: When a server started" in output) == (1, True)
        status, output, _ = audit(server, "verify", *here(server), "--head", head.strip())
        assert (status, "rolled back: Record 5 was there" in output) == (1, True)
        (server.data_dir / "audit.rolled-back").unlink(missing_ok=True)


def test_a_database_that_was_rolled_back_is_found_before_and_after_a_server_has_gone_on(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    server.start()
    server.client("sts").get_caller_identity()
    server.stop()
    older = shutil.copy(server.data_dir / "journal.db", tmp_path / "older.db")
    server.start()
    server.client("sts").get_caller_identity()
    server.stop()
    shutil.copy(older, server.data_dir / "journal.db")

    status, output, _ = audit(server, "verify", *here(server))
    assert (status, output.startswith("rolled back: The trail ends at record 1, and record 2 was there on ")) == (
        1,
        True,
    )

    server.start()
    for _ in range(5):
        server.client("sts").get_caller_identity()
    assert "The audit trail is not what it was" in server.log()
    server.stop()
    status, output, _ = audit(server, "verify", *here(server))
    assert (status, "audit.rolled-back" in output) == (1, True)

    (server.data_dir / "audit.rolled-back").unlink()
    assert audit(server, "verify", *here(server))[0] == 0
