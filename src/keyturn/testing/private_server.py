"""What private servers for tests have in common: who runs them, on which port, with which certificate, how they end."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pwd
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import psutil

from keyturn.errors.base import KeyturnError

HOST = "127.0.0.1"

_STOP_SECONDS = 30
_POLL_SECONDS = 0.02
_COMMAND_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Owner:
    """The user who runs the server: this one, or an unprivileged one if this one is root."""

    identity: pwd.struct_passwd | None

    @classmethod
    def of_this_process(cls, *names: str) -> Self:
        """Return who is to run a server.

        Args:
            names: Whom to prefer if this process is root's; ``nobody`` if none of them is there.

        Raises:
            KeyturnError: There is nobody.
        """
        if os.geteuid() != 0:
            return cls(None)
        for name in (*names, "nobody"):
            with contextlib.suppress(KeyError):
                return cls(pwd.getpwnam(name))
        raise KeyturnError("Database servers do not run as root, and this machine has no user nobody.")

    def own(self, path: Path) -> None:
        """Give a file or folder to the owner."""
        if self.identity:
            os.chown(path, self.identity.pw_uid, self.identity.pw_gid)

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program as the owner, in an environment that depends on nothing."""
        # Output goes to a file: a server started below would keep a pipe open and this call waiting.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(  # noqa: S603 - programs found by us, arguments made by us
                [str(part) for part in command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}, cwd="/",
                user=self.identity.pw_uid if self.identity else None,
                group=self.identity.pw_gid if self.identity else None,
                extra_groups=[] if self.identity else None,
                timeout=_COMMAND_SECONDS, check=False,
            )  # fmt: skip
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read())


def free_port() -> int:
    """Return a port that was free just now; until it is used another process may take it."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def end(process: psutil.Process, title: str, *requests: signal.Signals) -> None:
    """Ask a process to end, each time less politely.

    Raises:
        KeyturnError: It does not.
    """
    for request in requests:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(request)
        if has_ended(process):
            return
    raise KeyturnError(f"{title} does not end, process {process.pid}.")


def has_ended(*processes: psutil.Process) -> bool:
    """Wait for a while, and tell whether none of them is left."""
    deadline = time.monotonic() + _STOP_SECONDS
    while any(map(_lives, processes)):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _lives(process: psutil.Process) -> bool:
    try:
        # A first process of a container may never collect the exit status; the server has ended all the same.
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def write_certificate(owner: Owner, data: Path) -> None:
    """Write a self-signed certificate for ``localhost``, good for a day: ``server.crt`` and ``server.key``."""
    from cryptography import x509  # noqa: PLC0415 - only servers with TLS need it
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - as above

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("::1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (data / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(data / "server.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    for path in (data / "server.crt", data / "server.key"):
        owner.own(path)
