from __future__ import annotations

import pytest

from keyturn.errors.base import KeyturnError
from keyturn.operations import registry
from keyturn.quotas import AWS_RATES, RateLimit, parse_rate_limits
from keyturn.wire.models import service


def test_awss_own_rates_have_a_name() -> None:
    limits = parse_rate_limits("aws")

    assert limits["GetSecretValue"].per_second == 10_000
    assert limits["UpdateSecret"] == limits["PutSecretValue"] == RateLimit("PutSecretValue", 50)
    assert sum(map(len, AWS_RATES)) == len(limits)


def test_a_limit_of_ones_own_counts_for_all_that_share_it() -> None:
    limits = parse_rate_limits(" UntagResource=7 , GetSecretValue=1,")

    assert limits == {
        "TagResource": RateLimit("TagResource", 7),
        "UntagResource": RateLimit("TagResource", 7),
        "GetSecretValue": RateLimit("GetSecretValue", 1),
    }


def test_nothing_is_limited_unless_said() -> None:
    assert parse_rate_limits("") == {}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("GetSecretValues=1", "Did you mean GetSecretValue?"),
        ("getsecretvalue=1", "Did you mean GetSecretValue?"),
        ("PutSecretValue=5,ListSecretVersions=1", "Did you mean ListSecretVersionIds?"),
        ("AWS", "Did you mean aws?"),
        ("Invoke=1", "These have one: BatchGetSecretValue, CancelRotateSecret, CreateSecret, "),
        ("=5", "These have one: "),
    ],
)
def test_what_is_no_operation_is_refused_with_what_may_be_meant(text: str, hint: str) -> None:
    with pytest.raises(KeyturnError, match=r"rate_limits has .* no operation with a rate is called") as refused:
        parse_rate_limits(text)
    assert refused.value.hints[0].startswith(hint)
    assert "GetSecretValue=1000" in refused.value.hints[1]


@pytest.mark.parametrize("number", ["", "=", "=0", "=-1", "=1.5", "=many", "=²"])
def test_what_is_no_number_of_requests_is_refused_with_an_example(number: str) -> None:
    with pytest.raises(KeyturnError, match=r"rate_limits has .* is not a number of requests a second") as refused:
        parse_rate_limits(f"CreateSecret=1,PutSecretValue{number}")
    assert f"'PutSecretValue{number}'" in refused.value.message
    assert refused.value.hints == ("Write a whole number, at least 1, for instance: PutSecretValue=50.",)


def test_every_operation_of_the_service_with_a_rate_exists() -> None:
    registry.discover()
    named = {name for group in AWS_RATES for name in group}

    assert named <= set(service("secretsmanager").operation_names)
    offered = {operation.name for operation in registry.all_operations() if operation.service == "secretsmanager"}
    # AWS gives no rate for the pair that replicates across accounts.
    assert offered - named <= {"AssociateCrossAccountReplica", "DisassociateCrossAccountReplica"}
