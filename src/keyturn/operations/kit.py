"""The adapters and services a handler may use, built once in ``app.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from keyturn.call import Call
from keyturn.clock import Clock
from keyturn.crypto.envelope import Envelope
from keyturn.crypto.keyring import Keyring
from keyturn.crypto.tokens import TokenSealer
from keyturn.operations.accesses import Accesses
from keyturn.operations.function_metrics import FunctionMetrics
from keyturn.operations.installation import Installation
from keyturn.operations.meters import Meters
from keyturn.operations.subject import Subject
from keyturn.operations.uses import Uses
from keyturn.quotas import Quotas
from keyturn.rules.policy.evaluate import Decision
from keyturn.rules.schedule import RandomSource
from keyturn.runtime.pool import Runtime
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.database import Database
from keyturn.storage.kept import KeptRows
from keyturn.storage.trail import Trail


class Authorise(Protocol):
    """Decides whether a principal may act."""

    def __call__(self, call: Call, action: str, subject: Subject[object]) -> None:
        """Return if the policies allow it.

        Raises:
            AccessDenied: They do not; the message is AWS's.
        """
        ...

    def decide(self, call: Call, action: str, subject: Subject[object]) -> Decision:
        """Return the decision and what led to it, without raising for a refusal."""
        ...

    def may_deny(self, call: Call) -> bool:
        """Return whether the caller's policies hold a Deny at all, of whatever."""
        ...


class DownloadUrl(Protocol):
    """Makes links to deployment packages."""

    def __call__(self, endpoint: str, code_sha256: str, at: datetime) -> str:
        """Return a link under ``endpoint`` by which whoever holds it can fetch the package for some minutes."""
        ...


class WakeScheduler(Protocol):
    """Tells the scheduler that something is due."""

    def __call__(self) -> None:
        """Return at once."""
        ...


class RunEvent(Protocol):
    """Runs an accepted event in the background (``scheduler/events.py``)."""

    def __call__(self, attempt: Callable[[], bool], /) -> None:
        """Return at once; ``attempt`` is called again some time later if it returns False or is throttled.

        Raises:
            TooManyRequestsException: Too many events wait.
        """
        ...


@dataclass(frozen=True, slots=True)
class Kit:
    """What handlers work with.

    Attributes:
        partition: Of everything on this server.
        regions: The regions that there are.
        management_account_id: The account that makes the others.
        quotas: How much there may be.
        installation: What the server was started with.
        random: The standard library's ``secrets``, handed in so that tests can steer it.
        keyring: KMS keys; ``envelope`` seals values with data keys of them.
        system_key_id: The key that seals access keys and environment variables; no API shows it.
        accesses: Which versions were read today, not stored yet.
        uses: When access keys and roles were last used.
        meters: What rotations came to.
        function_metrics: What was counted of functions, not stored yet.
        session_tokens: Seals STS session tokens (``operations/sessions.py``).
        page_tokens: Seals NextToken and Marker (``operations/paging.py``).
        grant_tokens: Seals GrantToken (``operations/kms/granted.py``).
        authorization_messages: Seals why a call was refused (``operations/authorization_messages.py``).
        heartbeat: Whether pre-flights try the other labelled values of a secret as well.
        authorise: For what an operation must allow beside its own action (``lambda:InvokeFunction`` on RotateSecret).
    """

    partition: str
    regions: frozenset[str]
    management_account_id: str
    quotas: Quotas
    installation: Installation
    clock: Clock
    random: RandomSource
    state: Database
    journal: Database
    audit_log: AuditLog
    trail: Trail
    kept: KeptRows
    keyring: Keyring
    envelope: Envelope
    system_key_id: str
    accesses: Accesses
    uses: Uses
    meters: Meters
    function_metrics: FunctionMetrics
    session_tokens: TokenSealer
    page_tokens: TokenSealer
    grant_tokens: TokenSealer
    authorization_messages: TokenSealer
    runtime: Runtime
    heartbeat: bool
    authorise: Authorise
    download_url: DownloadUrl
    wake_scheduler: WakeScheduler
    run_event: RunEvent
