"""Errors that no service models: signatures, throttling, validation.

A signing fault is one class; its wire code differs by protocol (``UnrecognizedClientException`` in JSON,
``InvalidClientTokenId`` in Query), so each protocol file maps it. Source: AWS CommonErrors; messages as recorded.
"""

from __future__ import annotations

from keyturn.errors.base import AwsError


class AccessDenied(AwsError):
    """The policies do not allow the call."""


class ValidationFailed(AwsError):
    """Members of the request break constraints of the model."""


class SerializationFailed(AwsError):
    """The body cannot be read as the protocol asks."""


class UnknownOperation(AwsError):
    """No such action in this service."""


class NotImplementedHere(AwsError):
    """A real action of AWS that Keyturn does not offer."""


class InternalFailure(AwsError):
    """Something broke on our side; the operator's log has the details under the request id."""

    default_message = "An error occurred on the server side."


class RequestTooLarge(AwsError):
    """The body is larger than any request that the service takes."""


class Throttled(AwsError):
    """Too many calls at once."""

    default_message = "Rate exceeded"


class SigningFault(AwsError):
    """A fault of the request's signature or credentials."""


class MissingAuthenticationToken(SigningFault):
    """The request carries no signature."""

    default_message = "Request is missing Authentication Token"


class IncompleteSignature(SigningFault):
    """Pieces of the signature are missing or malformed."""


class SignatureMismatch(SigningFault):
    """The signature, its date or its scope is wrong."""

    default_message = (
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access"
        " Key and signing method. Consult the service documentation for details."
    )


class UnrecognizedClient(SigningFault):
    """The access key is unknown, or its session token is not ours."""

    default_message = "The security token included in the request is invalid."


class ExpiredToken(SigningFault):
    """The session's credentials have expired."""

    default_message = "The security token included in the request is expired"
