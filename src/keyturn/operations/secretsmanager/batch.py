"""BatchGetSecretValue: several secrets at once, each answered, refused and recorded as GetSecretValue would."""

from __future__ import annotations

from typing import Any

from keyturn.call import Call
from keyturn.errors.base import AwsError
from keyturn.errors.secretsmanager import (
    InvalidNextTokenException,
    InvalidParameterException,
    ResourceNotFoundException,
)
from keyturn.operations.call_events import call_events
from keyturn.operations.kit import Kit
from keyturn.operations.registry import Response, no_subject, operation
from keyturn.operations.secretsmanager.search import search
from keyturn.operations.secretsmanager.subjects import secret
from keyturn.operations.secretsmanager.values import get_secret_value
from keyturn.operations.subject import NO_SUBJECT, Subject
from keyturn.wire import protocol
from keyturn.wire.models import service
from keyturn.wire.types.secretsmanager import (
    APIErrorType,
    BatchGetSecretValueRequest,
    BatchGetSecretValueResponse,
    GetSecretValueRequest,
)

_MOST_AT_ONCE = 20


@operation("secretsmanager", "BatchGetSecretValue", subject=no_subject)
def batch_get_secret_value(
    kit: Kit, call: Call, request: BatchGetSecretValueRequest, _subject: None
) -> BatchGetSecretValueResponse:
    """Open the current versions of the secrets that are named or that filters find; what fails is told apart."""
    secret_ids, next_token = _asked_for(kit, call, request)
    values: list[Any] = []
    errors: list[APIErrorType] = []
    for secret_id in secret_ids:
        answer = _read(kit, call, secret_id)
        if isinstance(answer, AwsError):
            errors.append(_told(secret_id, answer))
        else:
            values.append(answer)
    response: BatchGetSecretValueResponse = {"SecretValues": values, "Errors": errors}
    if next_token is not None:
        response["NextToken"] = next_token
    return response


def _asked_for(kit: Kit, call: Call, request: BatchGetSecretValueRequest) -> tuple[list[str], str | None]:
    """Return ids of the secrets to open, in order, and the token of the next page.

    Raises:
        InvalidParameterException: Neither ids nor filters are given, or both.
        InvalidNextTokenException: The token is not one of this question.
        AccessDenied: The caller may not list secrets.

    Source: moto collected the texts; how AWS words them was not recorded.
    """
    secret_ids, filters = request.get("SecretIdList"), request.get("Filters")
    if secret_ids and filters:
        raise InvalidParameterException("Either 'SecretIdList' or 'Filters' must be provided, but not both.")
    if "MaxResults" in request and not filters:
        raise InvalidParameterException(
            "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided."
        )
    if secret_ids:
        if "NextToken" in request:
            raise InvalidNextTokenException
        return secret_ids, None
    if not filters:
        raise InvalidParameterException("Either 'SecretIdList' or 'Filters' must be provided, but not both.")
    kit.authorise(call, "secretsmanager:ListSecrets", NO_SUBJECT)
    page = search(kit, call, "BatchGetSecretValue", request, request.get("MaxResults", _MOST_AT_ONCE))
    return [found.arn for found in page.secrets], page.next_token


def _read(kit: Kit, call: Call, secret_id: str) -> Response | AwsError:
    """Take GetSecretValue's way for one secret, to its answer or its error; the audit trail is told either."""
    request: GetSecretValueRequest = {"SecretId": secret_id}
    subject: Subject[Any] = NO_SUBJECT
    answer: Response | AwsError
    refusal: AwsError | None = None
    try:
        subject = secret(kit, call, request)
        kit.authorise(call, "secretsmanager:GetSecretValue", subject)
        if subject.record is None:
            raise subject.missing or ResourceNotFoundException()
        answer = get_secret_value(kit, call, request, subject.record)
    except AwsError as error:
        answer = refusal = error
    if call.further_events is not None:
        model = service("secretsmanager").operation("GetSecretValue")
        call.further_events.extend(call_events(call, model, request, subject, read_only=True, error=refusal))
    return answer


def _told(secret_id: str, error: AwsError) -> APIErrorType:
    model = service("secretsmanager")
    told = protocol(model).told_as(model, error)
    return {"SecretId": secret_id, "ErrorCode": told.code, "Message": told.message}
