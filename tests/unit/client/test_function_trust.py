"""What a function that is there may have: what AWS would answer, and Keyturn's own server never does."""

from __future__ import annotations

from typing import Any

import pytest

from keyturn.client.function_plan import Code, Plan
from keyturn.client.function_trust import refuse_other_configuration
from keyturn.errors.base import KeyturnError

from .test_function_plan import secret

PLAN = Plan(secret("demo"), None, Code(b"", "f.handler", "f.zip"), "rotate", "python3.11")
AS_MADE: dict[str, Any] = {
    "Role": PLAN.role_arn,
    "VpcConfig": {"VpcId": "", "SubnetIds": [], "SecurityGroupIds": []},
    "Environment": {"Variables": {"PASSWORD_LENGTH": "40"}},
}


def test_a_function_as_it_was_made_is_taken() -> None:
    refuse_other_configuration(PLAN, AS_MADE)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"VpcConfig": {"VpcId": "vpc-1", "SubnetIds": ["s"], "SecurityGroupIds": ["g"]}}, "does not give it: the VPC"),
        # Under a key that the caller may not use.
        ({"Environment": {"Error": {"ErrorCode": "AccessDeniedException"}}}, "cannot be read, so it is left alone"),
        ({"Environment": {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/x"}}}, "other environment variables"),
    ],
)
def test_one_that_runs_otherwise_is_refused(other: dict[str, Any], told: str) -> None:
    with pytest.raises(KeyturnError, match=told) as caught:
        refuse_other_configuration(PLAN, {**AS_MADE, **other})
    assert caught.value.hints
