"""The session of a pre-flight: its reads are in the trail, and are no accesses."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from keyturn.ids import new_version_id
from keyturn.operations.sessions import NO_TERMS, SessionTerms, issue_session, open_session
from keyturn.storage import roles
from keyturn.storage.roles import RoleRecord
from keyturn.testing.handlers import ALLOW_ALL, PLACE, HandlerBench, open_bench


def _role(bench: HandlerBench) -> RoleRecord:
    made = bench.call("iam", "CreateRole", RoleName="rotate", AssumeRolePolicyDocument=_TRUST)["Role"]
    with bench.kit.state.read() as connection:
        record = roles.load_role_by_arn(connection, made["Arn"])
    assert record is not None
    return record


_TRUST = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},'
    '"Action":"sts:AssumeRole"}]}'
)


@pytest.mark.parametrize(("terms", "is_access"), [(NO_TERMS, True), (SessionTerms(is_preflight=True), False)])
def test_a_read_is_an_access_unless_it_is_a_preflights(tmp_path: Path, terms: SessionTerms, is_access: bool) -> None:
    with open_bench(tmp_path) as bench:
        role = _role(bench)
        bench.call("iam", "PutRolePolicy", RoleName="rotate", PolicyName="all", PolicyDocument=ALLOW_ALL)
        token = new_version_id()
        bench.call("secretsmanager", "CreateSecret", Name="db", SecretString="value", ClientRequestToken=token)
        credentials = issue_session(
            bench.kit.session_tokens, role, "rotate", bench.clock.now(), timedelta(hours=1), terms
        )
        principal = open_session(bench.kit.session_tokens, credentials.session_token.reveal()).principal

        assert (
            bench.call_as(bench.as_(principal), "secretsmanager", "GetSecretValue", SecretId="db")["SecretString"]
            == "value"
        )
        described = bench.call("secretsmanager", "DescribeSecret", SecretId="db")
        assert (described.get("LastAccessedDate") is not None) == is_access
        assert principal.arn == PLACE.assumed_role_arn("rotate", "rotate")
