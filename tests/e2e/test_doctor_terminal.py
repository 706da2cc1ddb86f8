"""The doctor on a terminal: colours and progress there and nowhere else, 80 columns, nothing that a name could do."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from .conftest import ServerProcess
from .doctor import Doctor

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLUMNS = 80


def run_on_terminal(server: ServerProcess, *arguments: str) -> str:
    """Run the command with a terminal for its output, and return everything that the terminal got."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    environ = {**server.environ(), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "keyturn.cli.main", "doctor", *arguments]
    with subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        got = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:
                # Linux' way to say that the other side is closed.
                break
            if not chunk:
                break
            got += chunk
        process.wait()
    os.close(ours)
    return got.decode()


@pytest.fixture(scope="module")
def secret(server: ServerProcess) -> str:
    name = "doctor/terminal"
    server.client("secretsmanager").create_secret(Name=name, SecretString="{}")
    return name


def test_colours_and_progress_are_for_terminals(server: ServerProcess, secret: str) -> None:
    shown = run_on_terminal(server, secret)

    assert "Looking at" in shown
    assert "\x1b[1;31mbroken:\x1b[0m" in shown
    assert "\x1b[31m[✗]\x1b[0m Rotation" in shown
    lines = ANSI.sub("", shown).replace("\r", "\n").splitlines()
    told = [line for line in lines if not line.lstrip().startswith(("aws ", "keyturn "))]
    assert max(map(len, told)) <= COLUMNS


def test_a_pipe_gets_plain_text_and_nothing_on_the_other_stream(server: ServerProcess, secret: str) -> None:
    done = Doctor(server).run(secret)

    assert done.stdout.startswith("broken: rotation has never been configured: doctor/terminal has no rotation")
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
