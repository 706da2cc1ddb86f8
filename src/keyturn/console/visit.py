"""One request of a browser whose owner is signed in, as pages and actions see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from keyturn.call import Principal
from keyturn.clock import Clock
from keyturn.console.clients import Clients
from keyturn.console.session import Session
from keyturn.errors.base import KeyturnError
from keyturn.rules.rotation_cause import refused_action

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a form."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """What was filled in. Text may hold a secret value, so that there is nothing in its repr."""

    values: Mapping[str, list[str]] = field(default_factory=dict, repr=False)
    uploads: Mapping[str, Upload] = field(default_factory=dict, repr=False)

    def text(self, name: str) -> str:
        """Return a field as it was sent, with line ends as on Unix; empty if it was not."""
        return (self.values.get(name) or [""])[0].replace("\r\n", "\n")

    def line(self, name: str) -> str:
        """Return a field of one line, without blanks around it."""
        return self.text(name).strip()

    def all(self, name: str) -> list[str]:
        """Return all fields of one name."""
        return list(self.values.get(name, []))

    def is_on(self, name: str) -> bool:
        """Return whether a box is ticked."""
        return name in self.values


@dataclass(frozen=True, slots=True)
class Refused:
    """Why something could not be done: the error's code, its message, and what helps."""

    code: str
    message: str
    is_denial: bool
    status: int

    @property
    def action(self) -> str:
        """What the policies do not allow, as policies name it; empty if it is not told."""
        return refused_action(self.message) if self.is_denial else ""


@dataclass(frozen=True, slots=True)
class Look:
    """What one call of a page has come to: its answer, or why there is none. A page shows the rest nevertheless."""

    answer: Mapping[str, Any]
    refused: Refused | None = None

    def __bool__(self) -> bool:
        return self.refused is None

    def __getitem__(self, member: str) -> Any:
        return self.answer[member]

    def get(self, member: str, default: Any = None) -> Any:
        """Return a member of the answer."""
        return self.answer.get(member, default)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request.

    Attributes:
        session: Whose.
        principal: Who that is.
        clients: boto3's, signed by them.
        path: Address without ``/console/``.
        query: Of the address.
        form: What was posted.
        now: The moment, aware UTC; of a live part, when it began.
        clock: For what comes later.
        refused: What kept the action from being done whose form this page shows again.
        mark: The last one (``Part.mark``) that a browser has got of a live part which it asks for again.
    """

    session: Session
    principal: Principal
    clients: Clients
    path: str
    query: Mapping[str, str]
    now: datetime
    clock: Clock
    form: Form = field(default_factory=Form)
    refused: Refused | None = None
    mark: str = ""

    def later(self) -> Visit:
        """Return the same visit, now."""
        return replace(self, now=self.clock.now())

    def asked(self, name: str) -> str:
        """Return what the query, or else the form, says of something; empty if neither does."""
        return self.query.get(name) or self.form.line(name)

    def look(self, service: str, operation: str, **parameters: Any) -> Look:
        """Make a call whose refusal is part of what a page shows."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - botocore takes a quarter of a second to import

        try:
            return Look(getattr(self.clients[service], operation)(**parameters))
        except ClientError as error:
            return Look({}, refusal_of(error))

    def tried(self, look: Callable[[], T]) -> T | Refused:
        """Return what a part of a page that takes several calls has come to, or why there is none of it."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - as above

        try:
            return look()
        except ClientError as error:
            return refusal_of(error)
        except KeyturnError as error:
            return Refused("", " ".join((error.message, *error.hints)), is_denial=False, status=400)


_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized")
_GONE = ("ResourceNotFoundException", "NoSuchEntity", "NotFoundException")
_FIRST_FAULT = 500


def refusal_of(error: Any) -> Refused:
    """Return what a botocore ``ClientError`` says."""
    told = error.response.get("Error", {})
    code = str(told.get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
    is_denial = code in _DENIED
    if code in _GONE:
        status = 404
    elif is_denial:
        status = 403
    elif status < _FIRST_FAULT:
        status = 400
    return Refused(code, str(told.get("Message") or code), is_denial, status)
