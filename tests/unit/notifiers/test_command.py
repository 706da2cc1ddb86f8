"""Programs that are told: what they get, what they may not do, and how they end."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from keyturn.errors.base import KeyturnError
from keyturn.notifiers.base import Notifier, NotifierError, open_notifiers

DEADLINE_SECONDS = 20
DOCUMENT = json.dumps({"id": "msg-1", "text": "t"})


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Notifier]:
    def make(script: str, options: str = "") -> Notifier:
        path = tmp_path / "tell"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        (named,) = open_notifiers(f"command:{path}#name=hook{options}")
        return named.notifier

    return make


def send(notifier: Notifier) -> str:
    return notifier.send("msg-1", DOCUMENT, 0.0)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < until
        threading.Event().wait(0.01)


def test_it_gets_the_message_and_next_to_nothing_else(
    program: Callable[..., Notifier], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYTURN_DATABASE_URL", "postgresql://keyturn:password@db/keyturn")
    seen = tmp_path / "seen"
    parts = {"input": "cat", "env": "env", "pwd": "pwd", "arguments": "echo $#", "files": "ls -l /proc/$$/fd"}
    (tmp_path / "open").touch()
    with (tmp_path / "open").open() as file:
        os.set_inheritable(file.fileno(), True)
        assert send(program("; ".join(f"{does} > {seen}.{part}" for part, does in parts.items()))) == "exit status 0"

    assert Path(f"{seen}.input").read_text() == DOCUMENT
    names = {line.partition("=")[0] for line in Path(f"{seen}.env").read_text().splitlines()}
    assert names <= {"PATH", "LANG", "PWD", "SHLVL", "_", "OLDPWD"}
    assert Path(f"{seen}.pwd").read_text() == "/\n"
    assert Path(f"{seen}.arguments").read_text() == "0\n"
    assert str(tmp_path / "tell") in Path(f"{seen}.files").read_text()
    assert str(tmp_path / "open") not in Path(f"{seen}.files").read_text()


def test_what_it_prints_is_logged_quoted_and_cut_off(
    program: Callable[..., Notifier], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    send(program("printf 'one\\n\\033[31mtwo\\n'; head -c 1000000 /dev/zero | tr '\\0' x"))

    (record,) = caplog.records
    assert "'one\\n\\x1b[31mtwo\\n" in record.message
    assert len(record.message) < 2200


def test_one_that_fails_is_a_failure(program: Callable[..., Notifier]) -> None:
    with pytest.raises(NotifierError, match="exit status 3"):
        send(program("exit 3"))
    with pytest.raises(NotifierError, match="SIGTERM"):
        send(program("kill $$"))


def test_one_that_does_not_read_keeps_nobody_waiting(program: Callable[..., Notifier]) -> None:
    assert send(program("exit 0")) == "exit status 0"
    assert send(program("exec <&- >&- 2>&-")) == "exit status 0"


def test_one_that_takes_too_long_is_killed_with_all_it_has_started(
    program: Callable[..., Notifier], tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    notifier = program(f"sleep 600 & echo $! >> {pids}; echo $$ >> {pids}; wait", "&timeout_seconds=1")
    with pytest.raises(NotifierError, match="within 1 seconds"):
        send(notifier)

    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    wait_for(lambda: not any(map(is_alive, started)))


def test_what_it_leaves_running_does_not_hold_it_up(program: Callable[..., Notifier], tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    assert send(program(f"sleep 600 & echo $! > {pid}")) == "exit status 0"
    os.kill(int(pid.read_text()), 9)


def test_it_is_killed_when_the_server_ends(program: Callable[..., Notifier], tmp_path: Path) -> None:
    pid, failures = tmp_path / "pid", []
    notifier = program(f"echo $$ > {pid}.part; mv {pid}.part {pid}; exec sleep 600")

    def run() -> None:
        try:
            send(notifier)
        except NotifierError as error:
            failures.append(error.message)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(pid.exists)
    notifier.close()
    thread.join(DEADLINE_SECONDS)

    assert failures == ["The program failed: ended by SIGKILL."]
    assert not is_alive(int(pid.read_text()))
    with pytest.raises(NotifierError, match="server ends"):
        send(notifier)


def test_a_program_that_others_may_write_is_not_run(program: Callable[..., Notifier], tmp_path: Path) -> None:
    notifier = program(f"touch {tmp_path}/ran")
    (tmp_path / "tell").chmod(0o722)
    with pytest.raises(NotifierError, match="can be written by others"):
        send(notifier)
    with pytest.raises(KeyturnError, match="can be written by others"):
        open_notifiers(f"command:{tmp_path}/tell")
    (tmp_path / "tell").chmod(0o700)
    tmp_path.chmod(0o777)
    with pytest.raises(NotifierError, match="can be written by others"):
        send(notifier)
    assert not (tmp_path / "ran").exists()


def test_a_link_is_judged_by_where_it_leads(program: Callable[..., Notifier], tmp_path: Path) -> None:
    program("exit 0")
    open_directory = tmp_path / "open"
    open_directory.mkdir()
    (open_directory / "link").symlink_to(tmp_path / "tell")
    (tmp_path / "tell").chmod(0o702)
    with pytest.raises(KeyturnError, match="can be written by others"):
        open_notifiers(f"command:{open_directory}/link")


def test_what_is_no_program_fails_and_says_so(program: Callable[..., Notifier], tmp_path: Path) -> None:
    notifier = program("exit 0")
    (tmp_path / "tell").write_text("no interpreter is named")
    with pytest.raises(NotifierError, match="cannot be run") as failed:
        send(notifier)
    assert "#!/bin/sh" in failed.value.hints[0]
    (tmp_path / "tell").unlink()
    with pytest.raises(NotifierError, match="cannot be found"):
        send(notifier)
