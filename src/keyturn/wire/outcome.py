"""What an error is called on the wire, before a protocol spells it.

A modelled error has code, status and the spelling of its message from the model. One that no model lists is looked up
in its protocol's table, by its class and then by its class's bases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from keyturn.errors.base import AwsError
from keyturn.errors.common import InternalFailure
from keyturn.wire.models import ServiceModel, Shape

Codes = Mapping[type[AwsError], tuple[str, int]]
"""Wire code and HTTP status of errors that no model lists."""

_SERVER_ERROR: Final = 500

# What each service calls a fault of its own; CloudTrail and STS model none.
_INTERNAL_FAULTS: Final[Mapping[str, str]] = {
    "secretsmanager": "InternalServiceError",
    "lambda": "ServiceException",
    "iam": "ServiceFailureException",
    "logs": "ServiceUnavailableException",
    "kms": "KMSInternalException",
    "organizations": "ServiceException",
    "ec2": "InternalError",
    "cloudwatch": "InternalServiceFault",
    "keyturn": "InternalServiceError",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """An error, ready to be spelled.

    Attributes:
        code: Wire code.
        status: HTTP status.
        message: May be empty.
        message_member: ``Message`` or ``message``, as the model spells it.
        members: Further members of the error.
        shape: The modelled shape, None for one that no model lists.
    """

    code: str
    status: int
    message: str
    message_member: str
    members: Mapping[str, Any]
    shape: Shape | None

    @property
    def is_senders(self) -> bool:
        """Whether the caller is to blame."""
        return self.status < _SERVER_ERROR


def outcome(service: ServiceModel, error: AwsError, codes: Codes) -> Outcome:
    """Return how ``service`` tells ``error``; ``codes`` are those of its protocol."""
    shape_name = error.shape_name()
    if isinstance(error, InternalFailure):
        shape_name = _INTERNAL_FAULTS.get(service.name, shape_name)
    else:
        for kind in type(error).__mro__:
            if kind in codes:
                code, status = codes[kind]
                return Outcome(code, status, error.message, "message", error.members, shape=None)
    model = service.errors.get(shape_name)
    if model is None:
        # An error of another service, or an internal fault of a service that models none.
        status = _SERVER_ERROR if isinstance(error, InternalFailure) else 400
        return Outcome(shape_name, status, error.message, "message", error.members, shape=None)
    message_member = next((name for name in model.shape.members if name.lower() == "message"), "message")
    return Outcome(model.code, model.status, error.message, message_member, error.members, model.shape)
