"""The demo, as a stranger runs it: it ends with a rotated password, and leaves nothing behind when it is stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest

from .conftest import DEADLINE_SECONDS, clean_environ, wait_until

STEPS = ["createSecret", "setSecret", "testSecret", "finishSecret"]


def demo(home: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "keyturn.cli.main", "demo", "--directory", str(home / "the demo"), *options]
    return subprocess.Popen(
        command,
        env=clean_environ(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Whoever runs the tests in the background has SIGINT ignored, and children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no lock is taken in it
    )


def processes_of(home: Path) -> list[str]:
    """Every process whose arguments name the demo's directory or the PostgreSQL that it started."""
    saved = home / "the demo" / "postgresql.json"
    places = [str(home)] + ([json.loads(saved.read_text())["directory"]] if saved.exists() else [])
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if any(place in line for place in places) and "demo" not in line.split()[3:4]:
            found.append(line)
    return found


def test_the_demo_rotates_a_real_password_and_stops_without_a_trace(tmp_path: Path) -> None:
    running = demo(tmp_path)
    output, _ = running.communicate(timeout=DEADLINE_SECONDS * 4)
    assert running.returncode == 0, output
    positions = [output.index(f"✓ {step}") for step in STEPS]
    assert positions == sorted(positions)
    for said in ("Successfully set password for user app", "AWSCURRENT, AWSPENDING", "AWSPREVIOUS"):
        assert said in output
    assert "PostgreSQL lets app in with the new password" in output
    assert "PostgreSQL refuses app with the old password" in output
    assert "--profile keyturn-demo" in output
    saved = json.loads((tmp_path / "the demo" / "postgresql.json").read_text())
    assert saved["superuser_password"] not in output
    assert "[profile keyturn-demo]" in (tmp_path / ".aws" / "config").read_text()

    server = json.loads((tmp_path / "the demo" / "keyturn.json").read_text())
    settings = tmp_path / "the demo" / "keyturn" / "keyturn.toml"
    for text, status, told in (
        ("port = 'no'", 1, f"The setting port in {settings} is 'no', not a whole number."),
        ('log_level = "debug"', 0, f"Keyturn is ready on {server['endpoint_url']} again."),
    ):
        settings.write_text(text)
        restart = demo(tmp_path, "--restart")
        output, _ = restart.communicate(timeout=DEADLINE_SECONDS * 2)
        assert (restart.returncode, told in output) == (status, True), output
    again = json.loads((tmp_path / "the demo" / "keyturn.json").read_text())
    assert (again["endpoint_url"], again["pid"] == server["pid"]) == (server["endpoint_url"], False)
    listed = subprocess.run(
        [sys.executable, "-m", "keyturn.cli.main", "rotation", "list", "demo/postgresql", "--profile", "keyturn-demo"],
        env=clean_environ(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "succeeded" in listed.stdout, listed.stderr

    stop = demo(tmp_path, "--stop")
    output, _ = stop.communicate(timeout=DEADLINE_SECONDS * 2)
    assert (stop.returncode, output) == (0, "Stopped; nothing is left running.\n")
    assert not (tmp_path / "the demo").exists()
    assert not Path(saved["directory"]).exists()
    assert processes_of(tmp_path) == []
    assert "keyturn-demo" not in (tmp_path / ".aws" / "credentials").read_text()


@pytest.mark.parametrize("after", ["Starting a private PostgreSQL", "Starting Keyturn", "add-permission"])
def test_an_interrupted_demo_leaves_nothing_running(tmp_path: Path, after: str) -> None:
    running = demo(tmp_path)
    assert running.stdout is not None
    for line in running.stdout:
        if after in line:
            break
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=DEADLINE_SECONDS * 2)
    assert running.returncode == 130
    wait_until(lambda: processes_of(tmp_path) == [], "nothing left running")


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "the demo"
    place.mkdir()
    (place / "thesis.txt").write_text("years of work")
    for options in ([], ["--stop"]):
        running = demo(tmp_path, *options)
        output, _ = running.communicate(timeout=DEADLINE_SECONDS * 2)
        assert "not empty" in output or "Nothing was running" in output
        assert (place / "thesis.txt").read_text() == "years of work"
