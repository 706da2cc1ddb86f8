"""keyturn function new: the folder is tested as it is, filled in, zipped by its README, made and rotated."""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from .conftest import DEADLINE_SECONDS, ServerProcess, clean_environ, run_keyturn

# A target as small as one can be: an address that asks for a password and takes another one.
ACCEPTS = """\
    request = urllib.request.Request(value["address"])
    return _sent(request, value)
"""
SET_VALUE = """\
    request = urllib.request.Request(known["address"], data=pending["password"].encode(), method="PUT")
    if not _sent(request, known):
        raise PermissionError("the target refuses what it accepted a moment ago")


def _sent(request: urllib.request.Request, value: Mapping[str, Any]) -> bool:
    login = base64.b64encode(f"{value['username']}:{value['password']}".encode()).decode()
    request.add_header("Authorization", f"Basic {login}")
    try:
        urllib.request.urlopen(request, timeout=5).close()
    except urllib.error.HTTPError as error:
        if error.code == 401:
            return False
        raise
    return True
"""


class Target(ThreadingHTTPServer):
    """Has one password."""

    def __init__(self) -> None:
        self.password = "the first password"
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: Target

    def do_GET(self) -> None:
        login = base64.b64encode(f"app:{self.server.password}".encode()).decode()
        self.send_response(200 if self.headers["Authorization"] == f"Basic {login}" else 401)
        self.end_headers()

    def do_PUT(self) -> None:
        login = base64.b64encode(f"app:{self.server.password}".encode()).decode()
        is_known = self.headers["Authorization"] == f"Basic {login}"
        if is_known:
            self.server.password = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.send_response(204 if is_known else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    done = run_keyturn("function", "new", "rotate-it", "--directory", str(tmp_path), home=tmp_path)
    assert f"Made {tmp_path / 'rotate-it'}" in done.stdout
    return tmp_path / "rotate-it"


def run(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=clean_environ(folder.parent),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS * 2,
        check=check,
    )


def suite(folder: Path) -> tuple[int, str]:
    done = run(folder, "pytest", "-q", "--strict-markers", "-W", "error", check=False)
    return done.returncode, done.stdout


def fill_in(folder: Path, current: dict[str, str]) -> None:
    path = folder / "target.py"
    accepts, set_value = re.findall(r"    # FILL IN\n    raise NotImplementedError.*\n", path.read_text())
    text = path.read_text().replace(accepts, ACCEPTS).replace(set_value, SET_VALUE)
    imports = "import base64\nimport urllib.error\nimport urllib.request\nfrom collections.abc import Mapping"
    path.write_text(text.replace("from collections.abc import Mapping", imports))
    path = folder / "test_target.py"
    path.write_text(re.sub(r"^CURRENT = .*$", f"CURRENT = {current}", path.read_text(), flags=re.MULTILINE))


def command_of(folder: Path, begin: str) -> list[str]:
    """The line of the README that begins so."""
    [line] = [line for line in (folder / "README.md").read_text().splitlines() if line.startswith(begin)]
    return shlex.split(line.partition("#")[0])


def test_the_folder_is_clean_and_says_what_is_not_written_yet(folder: Path) -> None:
    status, said = suite(folder)
    assert status == 0, said
    assert re.search(r"\d+ passed, 1 xfailed", said)
    run(folder, "mypy", "--strict", ".")
    assert "NAME" not in (folder / "README.md").read_text()


def test_from_the_folder_to_a_secret_that_rotates(server: ServerProcess, folder: Path, target: Target) -> None:
    value = {"address": target.address, "username": "app", "password": target.password, "kept": "as it is"}
    fill_in(folder, value)
    # The target's test runs now, and its mark has to go.
    status, said = suite(folder)
    assert status == 1, said
    assert "[XPASS(strict)] target.py is not written yet" in said
    path = folder / "test_target.py"
    path.write_text(re.sub(r"^# FILL IN: this mark.*\n@pytest.*\n", "", path.read_text(), flags=re.MULTILINE))
    status, said = suite(folder)
    assert status == 0, said
    # The target is left as it was.
    assert target.password == "the first password"

    run(folder, *command_of(folder, "python -m zipfile")[2:])
    secrets = server.client("secretsmanager")
    secrets.create_secret(Name="own/one", SecretString=json.dumps(value))
    create = [word.replace("SECRET", "own/one") for word in command_of(folder, "keyturn function create")]
    create[create.index("rotate-it.zip")] = str(folder / "rotate-it.zip")
    done = run_keyturn(*create[1:], home=server.home, environ=server.environ(), check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert target.password != "the first password"
    current = json.loads(secrets.get_secret_value(SecretId="own/one")["SecretString"])
    assert current == {**value, "password": target.password}
    assert target.password not in done.stdout
    rotate = [word.replace("SECRET", "own/one") for word in command_of(folder, "keyturn rotate ")]
    assert run_keyturn(*rotate[1:], home=server.home, environ=server.environ()).returncode == 0

    # New code, with the name that the first command has printed.
    function = re.search(r"✓ function +(\S+)", done.stdout)
    assert function
    renew = [word.replace("FUNCTION", function[1]) for word in command_of(folder, "aws lambda update-function-code")]
    subprocess.run(renew, cwd=folder, env=server.environ(), check=True, timeout=DEADLINE_SECONDS)

    # Somebody restores the target behind Keyturn's back, and it is asked which version it has.
    target.password = current["password"]
    resolved = run_keyturn("rotation", "resolve", "own/one", "--yes", home=server.home, environ=server.environ())
    assert "The labels are in line" in resolved.stdout
    assert json.loads(secrets.get_secret_value(SecretId="own/one")["SecretString"])["password"] == target.password


def test_the_command_of_the_readme_puts_it_on_the_bench(folder: Path, target: Target) -> None:
    value = {"address": target.address, "username": "app", "password": target.password}
    fill_in(folder, value)
    (folder / "value.json").write_text(json.dumps(value))
    arguments = command_of(folder, "keyturn function test")[1:]
    only = ("--yes", "--only", "contract/rotates")
    done = run_keyturn(*arguments, *only, home=folder.parent, directory=folder, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert target.password == "the first password"
