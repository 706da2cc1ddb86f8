"""Logging in to SQL Server with python-tds, and running batches.

The driver's parts are used, not its ``connect``: that one tries again for as long as its time limit lets it, finds
other hosts by itself, sends the password all but readable (each byte is turned and masked) to a server without TLS,
and hides all of the server's errors but the last. What is done here instead, in this order:

1. The server says what it thinks of encryption. Everything is to be encrypted, the login and what follows.
2. TLS, in :mod:`.channel`. Without it nothing is said.
3. The login. A server that sends us elsewhere (a gateway of Azure) is refused: who may get the password is written in
   the secret.

Source: MS-TDS, "PRELOGIN", "LOGIN7", "Login Response".
"""

from __future__ import annotations

import logging
import socket
import ssl
from typing import Any

from .. import base, network
from .channel import Channel

logger = logging.getLogger(__name__)

# LOGIN7: no text may be longer; UTF-16 units, of which the driver counts characters.
LIMIT = 128
_ENCRYPTION = 1
_TERMINATOR = 0xFF
_ENCRYPT_ON, _ENCRYPT_REQUIRED = 1, 3
_ENGLISH = 0x409


class Session:
    """One login's connection.

    Args:
        driver: The driver's object; it has no types.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def run(self, batch: str) -> list[list[Any]]:
        """Run statements and return the rows of all of them; what goes wrong is the driver's exception."""
        session = self._driver.main_session
        session.submit_plain_query(batch)
        session.begin_response()
        rows = []
        more = session.find_result_or_done()
        while more is not False:
            while session.more_rows and session.next_row():
                rows.append(list(session.row))
            more = session.next_set()
        return rows

    def messages(self) -> list[dict[str, Any]]:
        """Return what the server said of the last batch or the login, in its order."""
        return list(self._driver.main_session.messages)

    def settimeout(self, seconds: float) -> None:
        """Set how long each answer may take."""
        self._driver.sock.settimeout(seconds)

    def close(self) -> None:
        """End the connection."""
        self._driver.close()


def log_in(login: base.Login, host: str, port: int, *, timeout_seconds: float) -> Session:
    """Connect, start TLS, and authenticate.

    Raises:
        DatabaseError: The way to the server, its TLS, or where it sends us.
        LoginRefused: The server's reasons.
        Exception: Whatever the driver raises when the protocol breaks.
    """
    from pytds import tds_base, tds_socket  # noqa: PLC0415 - only where a connection is made, so that a package without it says so there

    # At INFO the driver writes the beginning of each batch, hence passwords, whatever level the function's log has.
    logging.getLogger("pytds").setLevel(logging.WARNING)
    opened = network.open_socket(host, port, timeout_seconds)
    try:
        description = _description(tds_base, login, host)
        driver = tds_socket._TdsSocket(sock=opened, login=description, row_strategy=list, autocommit=True)  # noqa: SLF001 - the driver's connect() does more than it may
        session = driver.main_session
        session.send_prelogin(description)
        _refuse_without_tls(session, tds_base, login.tls, host)
        channel = _encrypted(opened, login.tls, host)
        driver.sock = session._transport = session._writer._transport = session._reader._transport = channel  # noqa: SLF001 - as the driver does it
        session.tds7_send_login(description)
        _finish_login(driver, tds_base, host)
    except BaseException:
        opened.close()
        raise
    return Session(driver)


def _finish_login(driver: Any, tds_base: Any, host: str) -> None:
    session = driver.main_session
    session.begin_response()
    try:
        succeeded = session.process_login_tokens()
    except tds_base.DatabaseError:
        succeeded = False
    if not succeeded:
        raise LoginRefused(list(session.messages)) from None
    if driver.route:
        raise base.BehindProxy(f"{host} sends its clients on to {driver.route['server']}:{driver.route['port']}")
    # The server may have chosen another size.
    session._reader.set_block_size(session._writer.bufsize)  # noqa: SLF001 - as the driver does it


class LoginRefused(Exception):
    """The server does not let us in; its messages say why."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        super().__init__()
        self.messages = messages


def _description(tds_base: Any, login: base.Login, host: str) -> Any:
    description = tds_base._TdsLogin()  # noqa: SLF001 - as above
    description.user_name, description.password, description.database = login.username, login.password, login.dbname
    description.server_name = host[:LIMIT]
    description.app_name = description.library = "keyturn-rotation"
    description.enc_flag = _ENCRYPT_ON
    description.client_lcid = _ENGLISH
    description.bytes_to_unicode = True
    description.option_flag2 = tds_base.TDS_ODBC_ON
    return description


def _refuse_without_tls(session: Any, tds_base: Any, tls: base.TlsMode, host: str) -> None:
    answer = session.begin_response()
    octets = session._reader.read_whole_packet()  # noqa: SLF001 - the driver's own parser starts TLS in its own way
    if answer.type != tds_base.PacketType.REPLY:
        raise base.ConnectionLost(f"host {host} is no SQL Server")
    encryption = _prelogin_option(octets, _ENCRYPTION)
    if encryption not in (_ENCRYPT_ON, _ENCRYPT_REQUIRED):
        complaint = network.tls_missing(host).reason
        wish = " (ssl is false, but" if tls is base.TlsMode.FORBIDDEN else " ("
        raise base.TlsFailed(f"{complaint}{wish} a login shows the password to SQL Server, hence over TLS only)")


def _prelogin_option(octets: bytes, wanted: int) -> int | None:
    """Return the first byte of an option: a list of kind, offset and length, then the values."""
    at = 0
    while at + 5 <= len(octets) and octets[at] != _TERMINATOR:
        offset = int.from_bytes(octets[at + 1 : at + 3], "big")
        if octets[at] == wanted and offset < len(octets):
            return octets[offset]
        at += 5
    return None


def _encrypted(opened: socket.socket, tls: base.TlsMode, host: str) -> Channel:
    is_verified = tls is base.TlsMode.REQUIRED
    context = ssl.create_default_context() if is_verified else network.unverified_context()
    # Inside TDS there is no TLS 1.3: its server speaks after the handshake, where TDS has no packet for it.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        channel = Channel(opened, context, host)
    except ssl.SSLError as error:
        raise network.tls_error(error, host) from None
    except OSError as error:
        raise network.network_error(error, f"host {host}, starting TLS") from None
    if not is_verified:
        logger.warning(
            "The host %s gets passwords over TLS, but nobody vouches for its certificate. Set ssl to true.", host
        )
    return channel
