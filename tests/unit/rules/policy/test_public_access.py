from __future__ import annotations

from typing import Any

import pytest

from keyturn.rules.policy.document import parse_resource_policy
from keyturn.rules.policy.public_access import grants_broad_access

from .callers import ACCOUNT, ROLE_ARN, SECRET, USER_ARN, document, statement

ORGANISATION = "o-a1b2c3d4e5"
EVERYBODY: dict[str, Any] = statement(Principal="*")


def when(operator: str, key: str, *values: str) -> dict[str, Any]:
    """An Allow for everybody under one condition."""
    return {**EVERYBODY, "Condition": {operator: {key: list(values)}}}


def deny(**elements: Any) -> dict[str, Any]:
    return statement("Deny", **{"Principal": "*", "Action": "secretsmanager:*", **elements})


def denied_unless(operator: str, key: str, *values: str) -> dict[str, Any]:
    return deny(Condition={operator: {key: list(values)}})


# All of the internet, in pieces that are narrow each.
SLICES = [f"{first}.0.0.0/8" for first in range(256)]

BROAD: dict[str, list[dict[str, Any]]] = {
    "everybody": [EVERYBODY],
    "everybody, as AWS": [statement(Principal={"AWS": "*"})],
    "everybody among others": [statement(Principal={"AWS": [USER_ARN, "*"]})],
    "everybody and a service": [statement(Principal={"AWS": "*", "Service": "lambda.amazonaws.com"})],
    "everybody but one": [statement(NotPrincipal={"AWS": USER_ARN})],
    "an action that is none yet": [{**EVERYBODY, "Action": "secretsmanager:NoSuchAction"}],
    "one statement of several": [statement(Principal={"AWS": USER_ARN}), EVERYBODY],
    "another secret": [{**EVERYBODY, "Resource": SECRET}],
    "a wildcard in a VPC": [when("StringLike", "aws:SourceVpc", "vpc-*")],
    "any VPC": [when("StringLike", "aws:SourceVpc", "*")],
    "one fixed VPC and any other": [when("StringLike", "aws:SourceVpc", "vpc-91237329", "vpc-?1237329")],
    "a variable": [when("StringEquals", "aws:SourceAccount", "${aws:PrincipalAccount}")],
    "a star that is meant as a star": [when("StringEquals", "aws:SourceVpce", "vpce-*")],
    "nothing": [when("StringEquals", "aws:SourceVpce", "")],
    "also without the key": [when("StringEqualsIfExists", "aws:PrincipalOrgID", ORGANISATION)],
    "all of none": [when("ForAllValues:StringEquals", "aws:PrincipalOrgPaths", f"{ORGANISATION}/r-1/")],
    "all but one VPC": [when("StringNotEquals", "aws:SourceVpc", "vpc-91237329")],
    "everywhere but in one network": [when("NotIpAddress", "aws:SourceIp", "192.0.2.0/24")],
    "no account": [when("Null", "aws:SourceAccount", "false")],
    "ARNs of any account": [when("ArnLike", "aws:SourceArn", "arn:aws:s3:*:*:bucket")],
    "buckets without account": [when("ArnLike", "aws:SourceArn", "arn:aws:s3:::bucket-*")],
    "an account that a wildcard can reach over": [
        when("StringLike", "aws:PrincipalArn", f"arn:*:iam::{ACCOUNT}:role/app")
    ],
    "no ARN": [when("ArnLike", "aws:SourceArn", "*")],
    "an account with a wildcard": [when("ArnLike", "aws:PrincipalArn", "arn:aws:iam::00000000000?:root")],
    "half of the internet": [when("IpAddress", "aws:SourceIp", "0.0.0.0/1")],
    "all of the internet": [when("IpAddress", "aws:SourceIp", "0.0.0.0/0")],
    "a narrow network and a wide one": [when("IpAddress", "aws:SourceIp", "192.0.2.0/24", "64.0.0.0/7")],
    "a wide network of the new kind": [when("IpAddress", "aws:SourceIp", "2001::/16")],
    "all of the internet in narrow pieces": [when("IpAddress", "aws:SourceIp", *SLICES)],
    "two neighbouring networks": [when("IpAddress", "aws:SourceIp", "12.0.0.0/8", "13.0.0.0/8")],
    "networks far apart": [when("IpAddress", "aws:SourceIp", "12.0.0.0/9", "40.0.0.0/9", "192.0.2.7")],
    "networks of the new kind, together": [when("IpAddress", "aws:SourceIp", "2001:db8::/32", "2001:db9::/48")],
    "a network of both kinds, one wide": [when("IpAddress", "aws:SourceIp", "192.0.2.0/24", "2001::/16")],
    "a Deny outside of the internet in narrow pieces": [
        EVERYBODY,
        denied_unless("NotIpAddress", "aws:SourceIp", *SLICES),
    ],
    "a network that is compared as text": [when("StringEquals", "aws:SourceIp", "192.0.2.7")],
    "organisations": [when("StringLike", "aws:PrincipalOrgID", "o-*")],
    "paths of any organisation": [when("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", "o-*/r-1/*")],
    "a tag that anybody can wear": [when("StringEquals", "aws:PrincipalTag/team", "db")],
    "a name that any account can give": [when("StringEquals", "aws:username", "alice")],
    "a stage": [when("StringEquals", "secretsmanager:VersionStage", "AWSCURRENT")],
    "TLS": [when("Bool", "aws:SecureTransport", "true")],
    "a time": [when("DateLessThan", "aws:CurrentTime", "2030-01-01T00:00:00Z")],
    "a Deny of something else": [EVERYBODY, deny(Action="secretsmanager:DeleteSecret")],
    "a Deny of one secret": [EVERYBODY, deny(Resource=SECRET)],
    "a Deny for one user": [EVERYBODY, deny(Principal={"AWS": USER_ARN})],
    "a Deny outside of a network, within an organisation": [
        EVERYBODY,
        deny(
            Condition={
                "StringNotEquals": {"aws:PrincipalOrgID": ORGANISATION},
                "NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"},
            }
        ),
    ],
    "a Deny in a network": [EVERYBODY, denied_unless("IpAddress", "aws:SourceIp", "192.0.2.0/24")],
    "a Deny outside of a wide network": [EVERYBODY, denied_unless("NotIpAddress", "aws:SourceIp", "0.0.0.0/2")],
    "a Deny that absence escapes": [
        EVERYBODY,
        denied_unless("ForAnyValue:StringNotEquals", "aws:PrincipalOrgID", ORGANISATION),
    ],
    "a Deny of one action of two": [
        {**EVERYBODY, "Action": ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]},
        deny(Action="secretsmanager:GetSecretValue"),
    ],
    "a Deny of one action of all others": [
        {"Effect": "Allow", "Principal": "*", "NotAction": "secretsmanager:PutSecretValue", "Resource": "*"},
        deny(Action="secretsmanager:GetSecretValue"),
    ],
    "a Deny of all other actions": [
        EVERYBODY,
        {"Effect": "Deny", "Principal": "*", "NotAction": "secretsmanager:PutSecretValue", "Resource": "*"},
    ],
}
NARROW: dict[str, list[dict[str, Any]]] = {
    "a user": [statement(Principal={"AWS": USER_ARN})],
    "a role of another account": [statement(Principal={"AWS": "arn:aws:iam::111111111111:role/app"})],
    "accounts": [statement(Principal={"AWS": [ACCOUNT, "arn:aws:iam::111111111111:root"]})],
    "a service": [statement(Principal={"Service": "lambda.amazonaws.com"})],
    "nobody": [statement(NotPrincipal="*")],
    "a Deny for everybody": [deny()],
    "a Deny for all but one": [statement("Deny", NotPrincipal={"AWS": USER_ARN})],
    "a VPC": [when("StringEquals", "aws:SourceVpc", "vpc-91237329")],
    "a VPC, like": [when("StringLike", "aws:sourceVpc", "vpc-91237329")],
    "VPC endpoints": [when("StringEquals", "aws:SourceVpce", "vpce-1", "vpce-2")],
    "a source account": [when("StringEquals", "aws:SourceAccount", ACCOUNT)],
    "a source account whatever its case": [when("StringEqualsIgnoreCase", "AWS:SOURCEACCOUNT", ACCOUNT)],
    "an account": [when("StringEquals", "aws:PrincipalAccount", ACCOUNT)],
    "an organisation": [when("StringEquals", "aws:PrincipalOrgID", ORGANISATION)],
    "a path of an organisation": [
        when("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", f"{ORGANISATION}/r-1/ou-1/*")
    ],
    "a role": [when("ArnEquals", "aws:PrincipalArn", ROLE_ARN)],
    "roles of an account": [when("ArnLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:role/*")],
    "roles of an account in any partition": [when("ArnLike", "aws:PrincipalArn", f"arn:*:iam::{ACCOUNT}:role/*")],
    "roles of an account, as text": [when("StringLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:role/*")],
    "a bucket": [when("ArnEquals", "aws:SourceArn", "arn:aws:s3:::bucket")],
    "what an account has in a service": [when("ArnLike", "aws:sourceArn", f"arn:aws:s3::{ACCOUNT}:*")],
    "a caller's unique id": [when("StringEquals", "aws:userid", "AIDAALICEALICEALICE0")],
    "a network": [when("IpAddress", "aws:SourceIp", "192.0.2.0/24")],
    "an address": [when("IpAddress", "aws:SourceIp", "192.0.2.7")],
    "private networks": [when("IpAddress", "aws:SourceIp", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")],
    "private networks in pieces": [
        when("IpAddress", "aws:SourceIp", "10.0.0.0/9", "10.128.0.0/9", "172.16.0.0/12", "192.0.2.7")
    ],
    "networks within networks": [when("IpAddress", "aws:SourceIp", "12.0.0.0/8", "12.1.0.0/16", "12.0.0.0/8")],
    "two halves of what may stand alone": [when("IpAddress", "aws:SourceIp", "12.0.0.0/9", "12.128.0.0/9")],
    "networks of both kinds": [when("IpAddress", "aws:SourceIp", "12.0.0.0/8", "2001:db8::/32")],
    "a network of the new kind": [when("IpAddress", "aws:SourceIp", "2001:db8::/32")],
    "one narrow condition of two": [
        {
            **EVERYBODY,
            "Condition": {
                "Bool": {"aws:SecureTransport": "true"},
                "StringEquals": {"aws:PrincipalOrgID": ORGANISATION},
            },
        }
    ],
    "all denied": [EVERYBODY, deny()],
    "denied outside of an organisation": [
        EVERYBODY,
        denied_unless("StringNotEquals", "aws:PrincipalOrgID", ORGANISATION),
    ],
    "denied outside of an account, with or without key": [
        {**EVERYBODY, "Action": "*"},
        denied_unless("StringNotEqualsIfExists", "aws:PrincipalAccount", ACCOUNT),
    ],
    "denied outside of a network": [EVERYBODY, denied_unless("NotIpAddress", "aws:SourceIp", "192.0.2.0/24")],
    "this one action denied outside of a VPC": [
        EVERYBODY,
        {
            **denied_unless("StringNotEquals", "aws:SourceVpc", "vpc-91237329"),
            "Action": ["secretsmanager:Get*", "secretsmanager:PutSecretValue"],
        },
    ],
    "denied to all but roles of an account": [
        EVERYBODY,
        denied_unless("ArnNotLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:role/*"),
    ],
    "denied to all but a user": [EVERYBODY, statement("Deny", NotPrincipal={"AWS": USER_ARN})],
}


@pytest.mark.parametrize("statements", BROAD.values(), ids=BROAD.keys())
def test_access_is_broad_for(statements: list[dict[str, Any]]) -> None:
    assert grants_broad_access(parse_resource_policy(document(*statements)))


@pytest.mark.parametrize("statements", NARROW.values(), ids=NARROW.keys())
def test_access_is_not_broad_for(statements: list[dict[str, Any]]) -> None:
    assert not grants_broad_access(parse_resource_policy(document(*statements)))


def test_what_is_no_variable_before_2012_is_not_trusted_as_a_constant() -> None:
    text = document(when("StringEquals", "aws:SourceVpc", "${aws:SourceVpc}"), version="2008-10-17")

    assert grants_broad_access(parse_resource_policy(text))
