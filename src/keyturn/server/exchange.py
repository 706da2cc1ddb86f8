"""One call on its way through the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.base import AwsError
from keyturn.operations.registry import Operation
from keyturn.operations.subject import NO_SUBJECT, Subject
from keyturn.wire.http import HttpRequest
from keyturn.wire.models import OperationModel
from keyturn.wire.route import Route


@dataclass(slots=True)
class Exchange:
    """What is known of a call; each step of the pipeline fills in what it found out."""

    request: HttpRequest
    request_id: ids.RequestId
    route: Route | None = None
    model: OperationModel | None = None
    operation: Operation | None = None
    call: Call | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    subject: Subject[Any] = NO_SUBJECT
    response: Mapping[str, Any] = field(default_factory=dict)
    error: AwsError | None = None
