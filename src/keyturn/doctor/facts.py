"""Answers of an account, each asked for at most once, and whether they could be had at all.

An answer is one of four kinds, and a check that reads one which is not there is not told a lie:

- ``ok``: here is what was answered.
- ``gone``: what was asked about does not exist.
- ``blind``: it may not be looked at, or could not be: a denied call, a throttled one, a connection that failed.
- ``unsupported``: the endpoint does not have this call. That is a property of the endpoint, not a fault.

Answers can be saved and diagnosed elsewhere. No secret value is ever among them: who asks for one keeps its parts that
are no secret (``value.py``), at once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from keyturn.errors.base import KeyturnError

FORMAT = "keyturn.facts/1"

Parameters = Mapping[str, object]
_Read = TypeVar("_Read")

# What services answer if something is not there. Sources: the service models of botocore.
_GONE = frozenset(
    {
        "ResourceNotFoundException",
        "NoSuchEntity",
        "NoSuchEntityException",
        "NotFoundException",
        "DBInstanceNotFound",
        "DBInstanceNotFoundFault",
        "DBClusterNotFoundFault",
        "DBProxyNotFoundFault",
        "InvalidVpcID.NotFound",
        "InvalidSubnetID.NotFound",
        "InvalidGroup.NotFound",
        "ProvisionedConcurrencyConfigNotFoundException",
    }
)
DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "UnauthorizedOperation",
        "Client.UnauthorizedOperation",
        "NotAuthorized",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "ExpiredToken",
        "ExpiredTokenException",
        "403",
    }
)
"""What services answer if it is not allowed."""
UNKNOWN_CALLERS = frozenset(
    {"UnrecognizedClientException", "InvalidClientTokenId", "ExpiredToken", "ExpiredTokenException"}
)
"""Of these what they answer to who is nobody they know."""
THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"})
"""What services answer to too many calls."""
_UNSUPPORTED = frozenset(
    {
        "NotImplemented",
        "NotImplementedException",
        "UnknownOperationException",
        "UnknownOperation",
        "InvalidAction",
        "UnsupportedOperation",
        "404",
        "405",
        "500",
        "501",
    }
)


# What is told of 500 without a code: moto answers so to what it does not offer, and everybody who is out of order. The
# latter it is where these services do, without which no endpoint has a rotation.
_NO_CODE = "500"
_EVERYWHERE = frozenset({"secretsmanager", "lambda", "logs"})


# What a reply of 200 must have in it to be one: anybody may answer, a proxy for instance. Source: the service models.
_MUST_HAVE: Mapping[tuple[str, str], tuple[str, type]] = {
    ("secretsmanager", "DescribeSecret"): ("ARN", str),
    ("lambda", "GetFunctionConfiguration"): ("FunctionName", str),
    ("lambda", "GetPolicy"): ("Policy", str),
    ("iam", "GetRole"): ("Role", dict),
    ("iam", "GetRolePolicy"): ("PolicyDocument", dict),
    ("iam", "GetPolicy"): ("Policy", dict),
    ("iam", "GetPolicyVersion"): ("PolicyVersion", dict),
    ("kms", "DescribeKey"): ("KeyMetadata", dict),
    ("kms", "GetKeyPolicy"): ("Policy", str),
    ("keyturn", "PreflightRotation"): ("Items", list),
    ("keyturn", "GetRotationPreflight"): ("Verdict", str),
    ("keyturn", "ListRotations"): ("Rotations", list),
    ("keyturn", "ProbeFunctionNetwork"): ("Probes", list),
}


class Kind(StrEnum):
    """What kind of answer it is."""

    OK = "ok"
    GONE = "gone"
    BLIND = "blind"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Question:
    """A call.

    Attributes:
        service: botocore's name of it.
        operation: As in the API: ``GetPolicy``.
        parameters: As in the API, as JSON text, so that questions can be compared.
    """

    service: str
    operation: str
    parameters: str = "{}"

    @property
    def action(self) -> str:
        """What has to be allowed for it, in the words of policies."""
        return f"{self.service}:{self.operation}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question.

    Attributes:
        question: What was asked.
        kind: What kind it is.
        found: What was answered, of kind ``ok``; nothing of the others.
        code: The error's code, of the other kinds.
        message: The error's message, likewise.
    """

    question: Question
    kind: Kind
    found: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    message: str = ""

    @property
    def value(self) -> Mapping[str, Any]:
        """What was answered.

        Raises:
            Unseen: Nothing was.
        """
        if self.kind is not Kind.OK:
            raise Unseen(self)
        return self.found

    @property
    def is_gone(self) -> bool:
        """Whether what was asked about does not exist.

        Raises:
            Unseen: That is not known.
        """
        if self.kind is Kind.GONE:
            return True
        return self.value is None


class Unseen(Exception):
    """A check needs an answer that there is none of."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.question.action}: {answer.code}")
        self.answer = answer


class Ask(Protocol):
    """Makes a call, all pages of it up to some thousand items, and raises botocore's errors."""

    def __call__(self, service: str, operation: str, parameters: Parameters, /) -> Mapping[str, Any]:
        """Return the reply."""
        ...


class Facts:
    """The answers so far; may be used by several threads.

    Args:
        ask: Makes calls; None if there is nothing but what was saved.
    """

    def __init__(self, ask: Ask | None) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answers: dict[Question, Future[Answer]] = {}
        self._read: dict[tuple[Callable[[Answer], Any], Question], Any] = {}

    def ask(
        self,
        service: str,
        operation: str,
        keep: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        **parameters: Any,
    ) -> Answer:
        """Return the answer to a question; it is asked only once, whoever asks.

        Args:
            service: botocore's name of it.
            operation: As in the API.
            keep: Makes of the reply what is kept of it.
            parameters: As in the API.
        """
        question = Question(service, operation, _text(parameters))
        with self._lock:
            known = self._answers.get(question)
            mine = None if known else Future[Answer]()
            if mine is not None:
                self._answers[question] = mine
        if known is not None:
            return known.result()
        assert mine is not None  # noqa: S101 - one of the two is set
        try:
            mine.set_result(self._answer(question, parameters, keep))
        except BaseException as error:
            # Who waits for it learns it, too.
            mine.set_exception(error)
            raise
        return mine.result()

    def _answer(
        self,
        question: Question,
        parameters: Parameters,
        keep: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None,
    ) -> Answer:
        # A quarter of a second, which reading saved facts need not take.
        from botocore import exceptions  # noqa: PLC0415 - see above
        from botocore.parsers import ResponseParserError  # noqa: PLC0415 - likewise

        if self._ask is None:
            return Answer(
                question, Kind.BLIND, code="NotCollected", message="It is not among the facts that were saved."
            )
        try:
            reply = self._ask(question.service, question.operation, parameters)
        except exceptions.ClientError as error:
            return _refused(question, error.response)
        except exceptions.EndpointConnectionError as error:
            # There is an endpoint for each service of AWS, and one for all of Keyturn's: somebody else's may have some.
            return Answer(question, Kind.BLIND, code="EndpointConnectionError", message=str(error))
        except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
            return Answer(question, Kind.BLIND, code=type(error).__name__, message=str(error))
        except (ResponseParserError, exceptions.OperationNotPageableError) as error:
            kind = Kind.BLIND if question.service in _EVERYWHERE else Kind.UNSUPPORTED
            # The message has the whole reply in it.
            return Answer(question, kind, code=type(error).__name__, message="What came is no reply of this service.")
        except exceptions.ParamValidationError:
            # A name out of an answer or a log that cannot be one.
            return Answer(question, Kind.BLIND, code="ParamValidationError", message="It cannot be asked for.")
        found = {name: value for name, value in reply.items() if name != "ResponseMetadata"}
        name, kind_of_member = _MUST_HAVE.get((question.service, question.operation), ("", object))
        if not isinstance(found.get(name), kind_of_member):
            return Answer(question, Kind.BLIND, code="NotAReply", message=f"The reply has no {name}.")
        return Answer(question, Kind.OK, found=keep(found) if keep else found)

    def once(self, read: Callable[[Answer], _Read], answer: Answer) -> _Read:
        """Return what a function makes of an answer, made once for all secrets whose cases share it."""
        key = (read, answer.question)
        if key not in self._read:
            self._read[key] = read(answer)
        made: _Read = self._read[key]
        return made

    def sealed(self) -> Facts:
        """Return the same answers, without a way to ask for more: what checks are given."""
        sealed = Facts(None)
        with self._lock:
            sealed._answers = dict(self._answers)
        sealed._read = self._read
        return sealed

    def answers(self) -> Iterator[Answer]:
        """Every answer so far."""
        with self._lock:
            pending = list(self._answers.values())
        for future in pending:
            yield future.result()

    def saved(self) -> dict[str, object]:
        """Return all answers as JSON, for :meth:`load`."""
        return {
            "schema": FORMAT,
            "answers": [
                {
                    "service": answer.question.service,
                    "operation": answer.question.operation,
                    "parameters": json.loads(answer.question.parameters),
                    "kind": answer.kind.value,
                    "found": json.loads(_text(answer.found)),
                    "code": answer.code,
                    "message": answer.message,
                }
                for answer in self.answers()
            ],
        }

    @classmethod
    def load(cls, document: object) -> Facts:
        """Return the facts that were saved.

        Raises:
            KeyturnError: The document is something else.
        """
        facts = cls(None)
        try:
            if not isinstance(document, dict) or document["schema"] != FORMAT:
                raise KeyError("schema")  # noqa: TRY301 - told below like any other member that is not as it should be
            for entry in document["answers"]:
                question = Question(entry["service"], entry["operation"], _text(entry["parameters"]))
                answered = Future[Answer]()
                found = _revived(entry["found"])
                answered.set_result(Answer(question, Kind(entry["kind"]), found, entry["code"], entry["message"]))
                facts._answers[question] = answered
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise KeyturnError(
                "This file does not hold the facts of a diagnosis.", "keyturn doctor SECRET --save FILE writes one."
            ) from error
        return facts


def _refused(question: Question, response: Mapping[str, Any]) -> Answer:
    details = response.get("Error", {})
    code, message = str(details.get("Code", "")), str(details.get("Message", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    kind = Kind.BLIND
    if code in _GONE:
        kind = Kind.GONE
    elif code in THROTTLED:
        code = "throttled"
    elif code in DENIED or status in (401, 403) or (code == _NO_CODE and question.service in _EVERYWHERE):
        kind = Kind.BLIND
    elif code in _UNSUPPORTED or status in (404, 405, 501):
        kind = Kind.UNSUPPORTED
    return Answer(question, kind, code=code, message=message)


# JSON has no moments: in saved facts one is an object of one member.
_MOMENT = "$moment"


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return {_MOMENT: value.astimezone(UTC).isoformat()}
    if isinstance(value, bytes):
        return "(bytes)"
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no part of a reply")


def _revived(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {_MOMENT}:
            return datetime.fromisoformat(value[_MOMENT])
        return {name: _revived(member) for name, member in value.items()}
    return [_revived(member) for member in value] if isinstance(value, list) else value
