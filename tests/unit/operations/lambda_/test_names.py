from __future__ import annotations

import pytest

from keyturn.arn import Place
from keyturn.errors.lambda_ import InvalidParameterValueException, ResourceNotFoundException
from keyturn.operations.lambda_.names import parse_function_name

HERE = Place("aws", "us-east-1", "000000000000")
ARN = "arn:aws:lambda:us-east-1:000000000000:function:rotate"


@pytest.mark.parametrize(
    ("text", "qualifier"),
    [
        ("rotate", ""),
        ("rotate:$LATEST", "$LATEST"),
        ("rotate:7", "7"),
        ("function:rotate", ""),
        ("000000000000:function:rotate", ""),
        ("000000000000:function:rotate:prod", "prod"),
        (ARN, ""),
        (f"{ARN}:$LATEST", "$LATEST"),
    ],
)
def test_a_function_is_found_by_name_partial_arn_or_arn_each_with_a_qualifier(text: str, qualifier: str) -> None:
    reference = parse_function_name(HERE, text)

    assert (reference.name, reference.qualifier, reference.unqualified_arn) == ("rotate", qualifier, ARN)
    assert reference.arn == (f"{ARN}:{qualifier}" if qualifier else ARN)


def test_the_qualifier_may_come_beside_the_name() -> None:
    assert parse_function_name(HERE, "rotate", "prod").qualifier == "prod"
    assert parse_function_name(HERE, "rotate:prod", "prod").qualifier == "prod"


def test_two_qualifiers_that_differ_are_refused() -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        parse_function_name(HERE, "rotate:prod", "test")
    assert refused.value.message == (
        "The derived qualifier from the function name does not match the specified qualifier."
    )


def test_a_function_of_another_region_is_not_reachable() -> None:
    with pytest.raises(ResourceNotFoundException) as refused:
        parse_function_name(HERE, ARN.replace("us-east-1", "eu-west-1"))
    assert refused.value.message == "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"


def test_a_function_of_another_account_keeps_it() -> None:
    reference = parse_function_name(HERE, "111111111111:function:rotate")

    assert reference.arn == "arn:aws:lambda:us-east-1:111111111111:function:rotate"
