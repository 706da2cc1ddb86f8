"""What both dialects of AWS Query (``query.py``, ``ec2.py``) do alike: a form in, checked members out."""

from __future__ import annotations

from functools import cache
from typing import Any

from keyturn.wire.form import form_fields, tree_of
from keyturn.wire.http import HttpRequest
from keyturn.wire.models import OperationModel
from keyturn.wire.null_characters import refuse_in_encoded
from keyturn.wire.readers import Dialect, Reader, reader_for
from keyturn.wire.route import query_source
from keyturn.wire.validate import Faults


def members_in(request: HttpRequest, operation: OperationModel, dialect: Dialect, faults: Faults) -> dict[str, Any]:
    """Return the request's members, spelled as in the model; blobs are bytes, timestamps aware UTC.

    Args:
        request: With the form.
        operation: What it asks for.
        dialect: How its lists, maps and members are spelled.
        faults: Collects what breaks constraints.

    Raises:
        SerializationFailed: The form is malformed, or a member has another type than the model says.
        ValidationFailed: Members break constraints.
    """
    shape, reader = operation.input, _reader(operation, dialect)
    if shape is None or reader is None:
        return {}
    form = query_source(request)
    params: dict[str, Any] = reader(tree_of(form_fields(form)), "", faults)
    if faults.count:
        raise faults.error()
    refuse_in_encoded(shape, params, form)
    return params


@cache
def _reader(operation: OperationModel, dialect: Dialect) -> Reader | None:
    return None if operation.input is None else reader_for(operation.input, "", dialect)
