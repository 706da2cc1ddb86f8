"""The way to a database: sockets and certificates, and what their failures are called.

Engines open the connection here and hand it to their driver, because drivers tell neither a refused connection from an
unknown host nor a server without TLS from a false certificate.
"""

from __future__ import annotations

import socket
import ssl

from . import base

# How OpenSSL calls the answer of somebody who does not speak TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING", "HTTP_REQUEST")
# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
_OTHER_NAME = (62, 64)


def open_socket(host: str, port: int, timeout_seconds: float) -> socket.socket:
    """Connect.

    Raises:
        DatabaseError: Nobody is there, or the way is closed.
    """
    try:
        return socket.create_connection((host, port), timeout_seconds)
    except (OSError, UnicodeError) as error:
        raise network_error(error, f"host {host}, port {port}") from None


def unverified_context() -> ssl.SSLContext:
    """TLS against listeners only: whoever can show a false certificate could as well say that there is no TLS."""
    # Not the default context: that one reads hundreds of authorities, which nobody is going to ask.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def network_error(error: BaseException, where: str) -> base.DatabaseError:
    """Return our error for the system's."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return base.HostNotFound(f"{where}: {getattr(error, 'strerror', None) or 'not a host name'}")
    if isinstance(error, TimeoutError):
        return base.ConnectionTimedOut(f"{where}: no answer within the time limit")
    if isinstance(error, ConnectionRefusedError):
        return base.ConnectionRefused(f"{where}: {error.strerror}")
    if isinstance(error, ConnectionResetError | BrokenPipeError | ssl.SSLError):
        return base.ConnectionLost(f"{where}: {error.strerror}")
    return base.HostUnreachable(f"{where}: {getattr(error, 'strerror', None) or type(error).__name__}")


def tls_error(error: ssl.SSLError, host: str) -> base.TlsFailed:
    """Return our error for a handshake that failed."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        reason = getattr(error, "reason", None) or type(error).__name__
        return base.TlsFailed(f"Unable to establish SSL/TLS handshake with the host {host}: {reason}")
    if error.verify_code in _OTHER_NAME:
        return base.TlsFailed(f"Hostname verification failed when establishing SSL/TLS Handshake with host: {host}")
    return base.TlsFailed(f"Unable to establish SSL/TLS handshake with the host {host}: {error.verify_message}")


def tls_missing(host: str) -> base.TlsFailed:
    """Return the error for a server that has no TLS where the secret asks for it."""
    return base.TlsFailed(f"Unable to establish SSL/TLS handshake, SSL/TLS is not enabled on the host: {host}")


def handshake_error(error: ssl.SSLError, host: str) -> base.TlsFailed:
    """Return our error for a handshake that failed where TLS is spoken from the first byte or not at all."""
    return tls_missing(host) if error.reason in _NO_TLS else tls_error(error, host)


def knock(login: base.Login, host: str, port: int, timeout_seconds: float) -> None:
    """Connect, shake hands for TLS if the login wants it, and hang up.

    For drivers that open their connections themselves and tell neither a refused connection from an unknown host nor a
    server without TLS from a false certificate.

    Raises:
        DatabaseError: Nobody is there, or no TLS as the secret asks for.
    """
    with open_socket(host, port, timeout_seconds) as opened:
        if login.tls is base.TlsMode.FORBIDDEN:
            return
        context = ssl.create_default_context() if login.tls is base.TlsMode.REQUIRED else unverified_context()
        try:
            context.wrap_socket(opened, server_hostname=host).close()
        except ssl.SSLError as error:
            raise handshake_error(error, host) from None
        except (ConnectionResetError, BrokenPipeError):
            raise tls_missing(host) from None
        except OSError as error:
            raise network_error(error, f"host {host}, port {port}, asking for TLS") from None
