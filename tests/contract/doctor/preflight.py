"""What Keyturn finds from inside the function's sandbox."""

from __future__ import annotations

from keyturn.doctor.subject import Options

from .world import World

_DATABASE_AWAY = "host 127.0.0.1, port 5432: Connection refused"


def _look(world: World, *items: tuple[str, str, str, str], causes: tuple[str, ...] = ()) -> None:
    world.options = Options(preflight=True)
    found = {
        "function.import": ("ok", "Ok", ""),
        "endpoint.resolve": ("ok", "Ok", ""),
        "endpoint.connect": ("ok", "Ok", ""),
        "secret.read": ("ok", "Ok", ""),
        "secret.value": ("ok", "Ok", ""),
        "login.current": ("ok", "Accepted", ""),
        "login.superuser": ("ok", "Accepted", ""),
        "login.previous": ("ok", "Refused", ""),
        "login.pending": ("skipped", "NoVersion", ""),
        **{name: (status, code, reason) for name, status, code, reason in items},
    }
    world.replies["keyturn:PreflightRotation"] = {
        "Verdict": "will fail",
        "Heartbeat": "unknown",
        "Causes": list(causes),
        "Items": [
            {"Item": name, "Status": status, "Code": code, "Reason": reason, "Seconds": 0.1}
            for name, (status, code, reason) in found.items()
        ],
    }


def preflight_function_start(world: World) -> None:
    _look(world, ("function.import", "failed", "Runtime.ImportModuleError", "No module named 'pg'"))


def preflight_endpoint_unreachable(world: World) -> None:
    _look(world, ("endpoint.connect", "failed", "ConnectionTimedOut", "secretsmanager:443: no answer after 4 seconds"))


def preflight_secret_unreadable(world: World) -> None:
    _look(world, ("secret.read", "failed", "AccessDeniedException", "not authorized to perform: GetSecretValue"))


def preflight_value_unusable(world: World) -> None:
    _look(world, ("secret.value", "failed", "MissingKey", "host key is missing from secret JSON"))


def preflight_database_unreachable(world: World) -> None:
    _look(world, ("database.connect", "failed", "ConnectionRefused", _DATABASE_AWAY))


def preflight_tls_failed(world: World) -> None:
    _look(world, ("database.tls", "failed", "TlsFailed", "certificate verify failed"))


def preflight_login_refused(world: World) -> None:
    refused = ("login.current", "failed", "AuthenticationFailed", 'password authentication failed for user "orders"')
    _look(world, refused, causes=("login.current:AuthenticationFailed", "drift:ChangedOutside"))


def preflight_superuser_login_refused(world: World) -> None:
    _look(world, ("login.superuser", "failed", "AuthenticationFailed", "password authentication failed"))


def drift_pending_in_database(world: World) -> None:
    refused = ("login.current", "failed", "AuthenticationFailed", "password authentication failed")
    _look(world, refused, ("login.pending", "ok", "Accepted", ""), causes=("drift:PendingIsInDatabase",))


def drift_previous_in_database(world: World) -> None:
    refused = ("login.current", "failed", "AuthenticationFailed", "password authentication failed")
    alive = ("login.previous", "failed", "StillAccepted", "The database still accepts the previous password")
    _look(world, refused, alive, causes=("drift:PreviousIsInDatabase",))


def drift_previous_still_accepted(world: World) -> None:
    alive = ("login.previous", "failed", "StillAccepted", "The database still accepts the previous password")
    _look(world, alive, causes=("drift:PreviousStillAccepted",))


def preflight_found_last(world: World) -> None:
    """A password was changed by hand, the daily look has found it, and another one was stored since."""
    world.with_last_look("login.current:AuthenticationFailed", "drift:ChangedOutside")
    world.store()
