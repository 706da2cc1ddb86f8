"""What a function writes into its log: no password gets out of it, and no line takes long."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.doctor.log import read_runs
from keyturn.doctor.redaction import LONGEST_LINE, readable, redacted

_FORMS = (
    "{'username': 'app', 'password': 'Zq7.hunter2'}",
    '{"username": "app", "password": "Zq7.hunter2"}',
    '{"message": "{\\"username\\": \\"app\\", \\"password\\": \\"Zq7.hunter2\\"}"}',
    '{"m": "{\\"message\\": \\"{\\\\\\"username\\\\\\": \\\\\\"app\\\\\\", \\\\\\"password\\\\\\": \\\\\\"Zq7.hunter2\\\\\\"}\\"}"}',  # noqa: E501 - one line of a log
    "{'SecretString': '{\"password\": \"Zq7.hunter2\"}'}",
    '{"level": "ERROR", "message": "password=\\"Zq7.hunter2\\" refused"}',
    "('password', 'Zq7.hunter2')",
    "password=Zq7.hunter2",
    "password=ab,Zq7.hunter2)x;y",
    "password='Zq7.hunter2'",
    "password='Zq7.hunter2",
    "host=x dbname=y user=app password=Zq7.hunter2",
    "host=x user=app password='Zq7.hunter2' sslmode=require",
    "postgresql://app:Zq7.hunter2@db:5432/x",
    "redis://:Zq7.hunter2@db:6379/0",
    "postgresql://app:a/Zq7.hunter2@db:5432/x",
    "postgresql://app:p@Zq7.hunter2@db:5432/x",
    "Endpoint //app:Zq7.hunter2@db",
    "ALTER USER \"app\" WITH PASSWORD 'Zq7.hunter2'",
    "ALTER ROLE app WITH ENCRYPTED PASSWORD 'Zq7.hunter2'",
    "ALTER USER app PASSWORD E'Zq7.hunter2'",
    "ALTER USER app PASSWORD $$Zq7.hunter2$$",
    "ALTER USER app PASSWORD 'a''Zq7.hunter2'",
    "ALTER USER 'app'@'%' IDENTIFIED BY 'Zq7.hunter2'",
    "ALTER USER 'app'@'%' IDENTIFIED WITH mysql_native_password BY 'Zq7.hunter2'",
    "ALTER USER 'app'@'%' IDENTIFIED WITH mysql_native_password AS 'Zq7.hunter2'",
    "GRANT ALL ON x.* TO 'a'@'b' IDENTIFIED BY PASSWORD 'Zq7.hunter2'",
    "ALTER USER x IDENTIFIED VIA ed25519 USING PASSWORD('Zq7.hunter2')",
    "SET PASSWORD FOR 'app'@'%' = 'Zq7.hunter2'",
    "SET PASSWORD FOR 'app'@'%' = PASSWORD('Zq7.hunter2')",
    "SET PASSWORD = 'Zq7.hunter2'",
    "ALTER USER x IDENTIFIED BY 'a' REPLACE 'Zq7.hunter2'",
    "ALTER LOGIN [app] WITH PASSWORD = 'Zq7.hunter2'",
    "ALTER LOGIN [app] WITH PASSWORD = N'Zq7.hunter2' OLD_PASSWORD = N'Zq7.hunter2'",
    'ALTER USER app IDENTIFIED BY "Zq7.hunter2"',
    "ALTER USER app IDENTIFIED BY Zq7.hunter2",
    '{"updateUser": "app", "pwd": "Zq7.hunter2"}',
    "db.updateUser('app', {pwd: 'Zq7.hunter2'})",
    "ACL SETUSER app on >Zq7.hunter2 ~* +@all",
    "AUTH app Zq7.hunter2",
    "redis.call: b'AUTH' b'Zq7.hunter2'",
    "mysql --password=Zq7.hunter2 -h db",
    "mysql --password Zq7.hunter2 -h db",
    "PGPASSWORD=Zq7.hunter2 psql",
    "MYSQL_PWD=Zq7.hunter2 mysql",
    "REDISCLI_AUTH=Zq7.hunter2 redis-cli",
    "New password: Zq7.hunter2",
    "the new password is Zq7.hunter2",
    "Password for user app: Zq7.hunter2",
    "setting password to Zq7.hunter2",
    "pw=Zq7.hunter2",
    "pass=Zq7.hunter2",
    "MasterUserPassword='Zq7.hunter2'",
    "{'RandomPassword': 'Zq7.hunter2', 'ResponseMetadata': {}}",
    "{'RotationToken': 'Zq7.hunter2'}",
    "{'Step': 'createSecret', 'SecretId': 'arn', 'ClientRequestToken': 'x', 'RotationToken': 'Zq7.hunter2'}",
    "SecretString=Zq7.hunter2",
    "{'SecretBinary': b'Zq7.hunter2'}",
    "Authorization: Basic Zq7.hunter2",
    "Authorization: Bearer Zq7.hunter2",
    "Authorization: Token Zq7.hunter2",
    "{'X-Api-Key': 'Zq7.hunter2'}",
    "<password>Zq7.hunter2</password>",
    "password:\nZq7.hunter2",
    '{"newPassword":"Zq7.hunter2","x":1}',
    "X-Amz-Security-Token: Zq7.hunter2",
    "aws_secret_access_key = Zq7.hunter2",
    "AWS_SECRET_ACCESS_KEY=Zq7.hunter2",
    "environ({'AWS_SESSION_TOKEN': 'Zq7.hunter2'})",
    "connect(host='x', user='app', passwd='Zq7.hunter2')",
    "{'password': 'it\\'sZq7.hunter2'}",
    "{'password': \"it's Zq7.hunter2\"}",
    "password: 'a b Zq7.hunter2'",
    'level=info password="a b Zq7.hunter2"',
    "password => Zq7.hunter2",
    '["password"]=> string(11) "Zq7.hunter2"',
    "{Username:app Password:Zq7.hunter2 Host:x}",
    '&{Username:"app", Password:"Zq7.hunter2"}',
    "Credentials[username=app, password=Zq7.hunter2]",
    '{"secret": "Zq7.hunter2"}',
    '{"token": "Zq7.hunter2"}',
    '{"clientSecret": "Zq7.hunter2"}',
    "-----BEGIN PRIVATE KEY-----\nZq7.hunter2\n-----END PRIVATE KEY-----",
)


@pytest.mark.parametrize("line", _FORMS)
def test_however_a_password_is_written_behind_its_name_it_is_masked(line: str) -> None:
    assert "hunter2" not in redacted(line)
    assert "hunter2" not in readable(json.dumps({"level": "ERROR", "message": line}))
    assert "hunter2" not in readable(json.dumps({"level": "ERROR", "message": json.dumps({"said": line})}))


@pytest.mark.parametrize(
    "line",
    [
        "[INFO]\tfor ARN arn:aws:secretsmanager:eu-west-1:123456789012:secret:svc/db-AbCdEf and version 1.",
        "secret: arn:aws:secretsmanager:eu-west-1:123456789012:secret:svc/db-AbCdEf",
        "Access denied for user 'app'@'10.0.0.1' (using password: YES)",
        "KeyError: 'password key is missing from secret JSON'",
        'password authentication failed for user "app"',
        "called without any password configured",
        'could not connect to "https://secretsmanager.eu-west-1.amazonaws.com:443/"',
    ],
)
def test_what_tells_the_cause_stays(line: str) -> None:
    assert redacted(line) == line


@given(
    st.lists(
        st.sampled_from(
            [
                "password",
                "'",
                '"',
                "\\",
                "=",
                ":",
                " ",
                "{",
                "a",
                "//",
                "@",
                ">",
                "AUTH ",
                "\n",
                "identified by ",
                "token",
            ]
        )
    )
)
def test_whatever_stands_before_a_password_it_is_masked(parts: list[str]) -> None:
    assert "hunter2" not in redacted(f"{''.join(parts)} password='hunter2' {''.join(parts)}")


def test_members_of_json_are_masked_by_their_names_whatever_they_are() -> None:
    told = readable('{"password": 4711, "api_key": ["hunter2"], "nested": {"Pwd": {"a": "hunter2"}}, "user": "app"}')
    assert json.loads(told) == {"password": "***", "api_key": "***", "nested": {"Pwd": "***"}, "user": "app"}


def test_a_long_line_is_cut_where_no_value_loses_its_name() -> None:
    text = f"{'a' * (LONGEST_LINE - 100)} password='{'hunter2' * 500}' and\nthe last line"
    told = readable(text)
    assert "hunter2" not in told
    assert len(told) <= LONGEST_LINE
    assert readable(f"first\n{'b' * 300_000}\nlast").endswith("\nlast")


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "a.",
        "password=",
        'password="',
        "password ",
        "//:",
        '{"a":',
        " >",
        "x\\",
        "identified by ",
        "KeyError: ",
        "[ERROR] ",
    ],
)
def test_no_line_takes_a_time_that_grows_with_its_square(part: str) -> None:
    began = time.process_time()
    line = part * (262_144 // len(part))
    read_runs([{"timestamp": 0, "message": line}, {"timestamp": 1, "message": json.dumps({"message": line})}])
    assert time.process_time() - began < 5


def test_json_that_is_nested_too_deeply_is_a_line_like_others() -> None:
    [run] = read_runs([{"timestamp": 0, "logStreamName": "a", "message": '{"a":' * 20_000}])
    assert run.text.startswith('{"a":')
