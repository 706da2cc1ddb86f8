"""What an ARN names has its page, and what has none is no link."""

from __future__ import annotations

import pytest

from keyturn.console.arn_places import place_of, section_of
from keyturn.console.routing import discover

ACCOUNT = "000000000000"


@pytest.mark.parametrize(
    ("arn", "place"),
    [
        (
            f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:a/b-AbCdEf",
            f"secret?id=arn%3Aaws%3Asecretsmanager%3Aus-east-1%3A{ACCOUNT}%3Asecret%3Aa%2Fb-AbCdEf",
        ),
        (f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:rotate:live", "function?name=rotate"),
        (f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/lambda/f:*", "logs/group?group=%2Faws%2Flambda%2Ff"),
        (f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1-2", "key?id=1-2"),
        (f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/orders", "key?id=alias%2Forders"),
        (f"arn:aws:iam::{ACCOUNT}:user/team/ada", "access/user?name=ada"),
        (f"arn:aws:iam::{ACCOUNT}:group/operators", "access/group?name=operators"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/rotation/f", "access/role?name=rotation"),
        (
            "arn:aws:iam::aws:policy/ReadOnlyAccess",
            "access/policy?arn=arn%3Aaws%3Aiam%3A%3Aaws%3Apolicy%2FReadOnlyAccess",
        ),
        (f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/vpc-1", "network?id=vpc-1"),
    ],
)
def test_it_leads_to_its_page(arn: str, place: str) -> None:
    assert place_of(arn) == f"/console/{place}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "secretsmanager.amazonaws.com",
        "javascript:alert(1)",
        f"arn:aws:s3:::{ACCOUNT}",
        f"arn:aws:iam::{ACCOUNT}:root",
        f"arn:aws:sts::{ACCOUNT}:assumed-role",
        f"arn:aws:ec2:us-east-1:{ACCOUNT}:subnet/subnet-1",
    ],
)
def test_what_has_no_page_is_no_link(text: str) -> None:
    assert place_of(text) == ""


def test_a_name_cannot_lead_elsewhere() -> None:
    place = place_of(f'arn:aws:iam::{ACCOUNT}:user/"><script>&next=//evil.example')

    assert place.startswith("/console/access/user?name=")
    assert not set('"<>') & set(place)


@pytest.mark.parametrize("service", ["secretsmanager", "lambda", "logs", "kms", "iam", "ec2"])
def test_every_page_belongs_to_one_of_the_navigation(service: str) -> None:
    resources = {
        "secretsmanager": "secret:a-AbCdEf", "lambda": "function:f", "logs": "log-group:g", "kms": "key/k",
        "iam": "user/u", "ec2": "vpc/vpc-1",
    }  # fmt: skip
    place = place_of(f"arn:aws:{service}:us-east-1:000000000000:{resources[service]}")

    assert section_of(place) in {known.path for known in discover().places if known.path}


def test_what_is_in_another_account_has_no_page_but_a_secret() -> None:
    role, secret = "arn:aws:iam::111111111111:role/r", "arn:aws:secretsmanager:us-east-1:111111111111:secret:s-AbCdEf"

    assert place_of(role, ACCOUNT) == ""
    assert place_of("arn:aws:kms:us-east-1:111111111111:alias/k", ACCOUNT) == ""
    assert place_of(role, "111111111111")
    assert place_of(secret, ACCOUNT)
    assert place_of("arn:aws:iam::aws:policy/ReadOnlyAccess", ACCOUNT)
