"""What boto3 raised, in three words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError


@dataclass(frozen=True)
class Refusal:
    """An error as the caller saw it."""

    code: str
    message: str
    status: int


def refusal(call: Callable[..., Any], **request: Any) -> Refusal:
    """Make a call that must be refused."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    response: Any = caught.value.response
    # The model's members and the error's agree: clients read either.
    assert response.get("Message", response["Error"]["Message"]) == response["Error"]["Message"]
    return Refusal(
        response["Error"]["Code"], response["Error"]["Message"], response["ResponseMetadata"]["HTTPStatusCode"]
    )
