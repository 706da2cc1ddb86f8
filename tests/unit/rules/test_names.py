from __future__ import annotations

import pytest

from keyturn.arn import Place
from keyturn.errors.common import ValidationFailed
from keyturn.errors.secretsmanager import ResourceNotFoundException
from keyturn.rules.names import check_name, secret_reference

PLACE = Place("aws", "us-east-1", "000000000000")
PREFIX = "arn:aws:secretsmanager:us-east-1:000000000000:secret:"


@pytest.mark.parametrize("name", ["a", "prod/db_1+x=y.z@w-1", "rds!cluster-1", "a-b1c2d3"])
def test_a_valid_name_is_returned(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", "ä", "a\n", "a:b", "a*"])
def test_other_names_are_refused_in_awss_words(name: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        check_name(name)
    assert caught.value.message == (
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
    )


@pytest.mark.parametrize(
    ("secret_id", "is_full", "arn"),
    [
        ("prod/db", False, PREFIX + "prod/db"),
        ("db-a1b2c3", False, PREFIX + "db-a1b2c3"),
        (PREFIX + "prod/db-a1B2c3", True, PREFIX + "prod/db-a1B2c3"),
        (PREFIX + "prod/db", False, PREFIX + "prod/db"),
        (PREFIX + "db-a1b2", False, PREFIX + "db-a1b2"),
        (PREFIX + "db-a1b2c3-", False, PREFIX + "db-a1b2c3-"),
    ],
)
def test_a_secret_id_means_a_name_or_an_arn(secret_id: str, is_full: bool, arn: str) -> None:
    reference = secret_reference(secret_id, PLACE)
    assert (reference.arn, reference.is_full, reference.place) == (arn, is_full, PLACE)


def test_an_arn_may_be_of_another_account() -> None:
    arn = "arn:aws:secretsmanager:us-east-1:111111111111:secret:prod/db"
    reference = secret_reference(arn, PLACE)
    assert (reference.arn, reference.is_full, reference.name) == (arn, False, "prod/db")
    assert reference.place == Place("aws", "us-east-1", "111111111111")


@pytest.mark.parametrize(
    "secret_id",
    [
        "arn:aws:secretsmanager:eu-west-1:000000000000:secret:a-b1c2d3",
        "arn:aws-cn:secretsmanager:us-east-1:000000000000:secret:a-b1c2d3",
        "arn:aws:secretsmanager:us-east-1:\0:secret:a-b1c2d3",
        "arn:aws:secretsmanager:us-east-1::secret:a",
        "arn:aws:lambda:us-east-1:000000000000:function:a",
        "arn:aws:secretsmanager:us-east-1:000000000000:other:a",
    ],
)
def test_an_arn_of_elsewhere_is_not_found(secret_id: str) -> None:
    with pytest.raises(ResourceNotFoundException):
        secret_reference(secret_id, PLACE)


def test_half_an_arn_is_an_invalid_name() -> None:
    with pytest.raises(ValidationFailed):
        secret_reference("arn:aws:secretsmanager", PLACE)
