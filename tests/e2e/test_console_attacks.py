"""What programs send to the console, and no browser would: none of it is a fault of the server, nor lets them in."""

from __future__ import annotations

import json
import re
from urllib.parse import urlencode

import pytest
import urllib3

from keyturn.testing.functions import zip_package

from .conftest import DEADLINE_SECONDS, Credentials, ServerProcess, wait_until
from .console_session import ConsoleSession
from .raw_http import Wire, ask

_PART = '--x\r\ncontent-disposition: form-data; name="csrf_token"\r\n\r\n\\ud800\r\n--x--\r\n'


@pytest.fixture(scope="module")
def session(server: ServerProcess) -> ConsoleSession:
    return ConsoleSession(server)


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=y",
        "multipart/form-data; boundary=\xff",
        "multipart/form-data; boundary=x; charset=undefined; a=utf-8",
        "multipart/form-data; boundary=x; charset=unicode_escape; a=utf-8",
        "application/x-www-form-urlencoded; charset=utf-7",
        "text/plain",
    ],
)
def test_a_form_that_cannot_be_read_is_none(server: ServerProcess, session: ConsoleSession, kind: str) -> None:
    nobody = ConsoleSession(server, is_signed_in=False)

    assert nobody.ask("POST", "sign-in", {"content-type": kind}, _PART).status == 403
    assert session.ask("POST", "secrets/new", {"content-type": kind}, _PART).status == 403


def test_nobody_is_signed_in_by_a_form_that_was_not_asked_for(server: ServerProcess) -> None:
    for token in ("", "-"):
        nobody = ConsoleSession(server, is_signed_in=False)
        nobody.csrf_token = token
        answered = nobody.post(
            "sign-in",
            access_key_id=server.admin.access_key_id,
            secret_access_key=server.admin.secret_access_key,
        )
        assert answered.status == 403
        assert "keyturn-session" not in nobody.cookies


@pytest.mark.parametrize("origin", ["http://[", "null", "", "http://evil.example", "http://localhost:1"])
def test_what_another_origin_sends_is_refused(server: ServerProcess, session: ConsoleSession, origin: str) -> None:
    nobody = ConsoleSession(server, is_signed_in=False)
    nobody.open_sign_in()

    for each in (nobody, session):
        body = urlencode({"csrf_token": each.csrf_token})
        headers = {"origin": origin, "content-type": "application/x-www-form-urlencoded"}
        assert each.ask("POST", "secrets/new" if each is session else "sign-in", headers, body).status == 403


@pytest.mark.parametrize("wanted", ["http://[", "//[x", "/console/\r\nset-cookie: a=b", "/console/\\evil.example"])
def test_a_page_to_go_to_that_is_no_address_is_left_out(server: ServerProcess, wanted: str) -> None:
    answered = ConsoleSession(server, is_signed_in=False).get("sign-in", next=wanted)

    assert answered.status == 200
    assert b'action="/console/sign-in?next=%2Fconsole%2F"' in answered.data


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"static/", 404),
        (b"static/nothing.js", 404),
        (b"static/%00", 404),
        (b"static/%ff", 404),
        (b"static/" + b"a" * 5000, 404),
        (b"static/..%2fsession.py", 404),
        (b"secrets?%ff=%00", 303),
        (b"%0d%0aset-cookie:%20a=b", 404),
    ],
)
def test_every_answer_keeps_others_out_whatever_was_asked_for(
    server: ServerProcess, target: bytes, status: int
) -> None:
    answered = ask(server, b"GET /console/" + target + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")

    assert answered.status == status
    assert b"default-src 'none'" in answered.headers["content-security-policy"].encode()
    assert answered.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["-x.example", "a" * 64, f"{'a.' * 200}example"])
def test_a_host_name_that_is_none_is_refused(session: ConsoleSession, host: str) -> None:
    assert session.ask("GET", "secrets", {"host": host}).status == 400


def test_a_form_of_thousands_of_fields_is_none(session: ConsoleSession) -> None:
    assert session.post("secrets/new", [("key", "a")] * 5000).status == 403


def test_a_secret_that_may_not_be_looked_at_has_a_doctors_page_nevertheless(server: ServerProcess) -> None:
    made = server.client("secretsmanager").create_secret(Name="not-for-everybody", SecretString="x")
    iam = server.client("iam")
    iam.create_user(UserName="stranger")
    key = iam.create_access_key(UserName="stranger")["AccessKey"]
    stranger = ConsoleSession(server, Credentials(key["AccessKeyId"], key["SecretAccessKey"]))

    for secret_id in (made["ARN"], "not-for-everybody", "a,b=c;{}", "x" * 3000, ""):
        assert stranger.get("secret/doctor", id=secret_id).status < 500
        assert stranger.post("secret/doctor/preflight", id=secret_id).status < 500


def test_a_tag_whose_new_name_is_refused_keeps_the_old_one(server: ServerProcess, session: ConsoleSession) -> None:
    secrets = server.client("secretsmanager")
    secrets.create_secret(Name="tagged", SecretString="x", Tags=[{"Key": "team", "Value": "blue"}])
    was = [("was_key", "team"), ("was_value", "blue")]

    answered = session.post("secret/tags?id=tagged", [*was, ("tag_key", "x" * 200), ("tag_value", "blue")])

    assert answered.status == 400
    assert secrets.describe_secret(SecretId="tagged")["Tags"] == [{"Key": "team", "Value": "blue"}]


@pytest.mark.parametrize(("alias", "made"), [("taken", 0), ("no name", 1), ("aws/own", 1)])
def test_a_key_whose_alias_is_refused_is_not_said_to_be_none(
    server: ServerProcess, session: ConsoleSession, alias: str, made: int
) -> None:
    kms = server.client("kms")
    if alias == "taken":
        kms.create_alias(AliasName="alias/taken", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    before = len(kms.list_keys()["Keys"])

    answered = session.post("key/create", alias=alias)

    assert len(kms.list_keys()["Keys"]) == before + made
    assert answered.status == (303 if made else 400)


def _hidden(page: bytes, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page.decode())
    assert found
    return found.group(1)


def _policy(effect: str) -> str:
    statement = {"Effect": effect, "Action": "s3:GetObject", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


@pytest.mark.parametrize("does_check", [False, True])
def test_what_somebody_else_has_put_meanwhile_is_not_overwritten(
    server: ServerProcess, session: ConsoleSession, does_check: bool
) -> None:
    iam = server.client("iam")
    iam.create_group(GroupName=f"overtaken-{does_check}")
    which = {"GroupName": f"overtaken-{does_check}", "PolicyName": "p"}
    iam.put_group_policy(**which, PolicyDocument=_policy("Allow"))
    there = f"access/edit?of=inline&kind=group&name=overtaken-{does_check}&policy=p"
    before = _hidden(session.get(there).data, "before")
    iam.put_group_policy(**which, PolicyDocument=_policy("Deny"))
    mine = {"document": _policy("Allow")}

    if does_check:
        before = _hidden(session.post(there, (), do="check", before=before, **mine).data, "before")
    refused = session.post(there, (), do="put", before=before, **mine)

    assert refused.status == 400
    assert b"Somebody has put another policy" in refused.data
    assert iam.get_group_policy(**which)["PolicyDocument"]["Statement"]["Effect"] == "Deny"
    assert session.post(there, (), do="put", before=_hidden(refused.data, "before"), **mine).status == 303
    # A new one does not take the place of one that is there either.
    assert session.post(there.removesuffix("&policy=p"), (), do="put", policy_name="p", **mine).status == 400


def test_who_may_not_look_at_a_secret_overwrites_nobody_either(server: ServerProcess) -> None:
    iam, secrets = server.client("iam"), server.client("secretsmanager")
    iam.create_user(UserName="editor")
    actions = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": actions, "Resource": "*"}}
    iam.put_user_policy(UserName="editor", PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="editor")["AccessKey"]
    editor = ConsoleSession(server, Credentials(key["AccessKeyId"], key["SecretAccessKey"]))
    secrets.create_secret(Name="edited", SecretString="mine")
    base = _hidden(editor.post("secret/edit?id=edited").data, "base")
    twice = [("key", "a"), ("value", "1"), ("key", "a"), ("value", "2"), ("base", base)]

    assert b"Somebody has stored another value" not in editor.post("secret/value?id=edited", twice).data
    secrets.put_secret_value(SecretId="edited", SecretString="theirs")
    refused = editor.post("secret/value?id=edited", [("as", "text")], text="mine", base=base)

    assert refused.status == 400
    assert b"Somebody has stored another value" in refused.data
    assert secrets.get_secret_value(SecretId="edited")["SecretString"] == "theirs"
    again = [("as", "text"), ("base", _hidden(refused.data, "base"))]
    assert editor.post("secret/value?id=edited", again, text="mine").status == 303


def test_a_value_with_more_keys_than_a_form_can_send_is_edited_as_text(
    server: ServerProcess, session: ConsoleSession
) -> None:
    value = json.dumps({f"key{number}": "x" for number in range(300)})
    server.client("secretsmanager").create_secret(Name="many-keys", SecretString=value)

    assert b'<textarea name="text"' in session.post("secret/edit?id=many-keys").data


def test_a_description_that_was_not_changed_keeps_its_line_ends(server: ServerProcess, session: ConsoleSession) -> None:
    secrets = server.client("secretsmanager")
    secrets.create_secret(Name="described", SecretString="x", Description="one\ntwo")
    # What a browser makes of a line end in a field of one line, and in a hidden one.
    sent = {"description": "onetwo", "description_before": "one\r\ntwo"}

    assert session.post("secret/settings?id=described", (), kms_key_id="", kms_key_id_before="", **sent).status == 303
    assert secrets.describe_secret(SecretId="described")["Description"] == "one\ntwo"


def test_a_check_does_not_make_a_policy_overwrite_another(server: ServerProcess, session: ConsoleSession) -> None:
    secrets = server.client("secretsmanager")
    arn = secrets.create_secret(Name="checked", SecretString="x")["ARN"]

    def allowing(action: str) -> str:
        principal = {"AWS": f"arn:aws:iam::{server.account_id}:root"}
        statement = {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*"}
        return json.dumps({"Version": "2012-10-17", "Statement": statement})

    before = _hidden(session.get("secret/access", id=arn).data, "before")
    secrets.put_resource_policy(SecretId=arn, ResourcePolicy=allowing("secretsmanager:DescribeSecret"))
    mine = {"policy": allowing("secretsmanager:GetSecretValue"), "doubts": "1"}
    before = _hidden(session.post(f"secret/policy?id={arn}", (), check="1", before=before, **mine).data, "before")

    assert session.post(f"secret/policy?id={arn}", (), before=before, **mine).status == 400
    assert "DescribeSecret" in secrets.get_resource_policy(SecretId=arn)["ResourcePolicy"]


_LONG = "9" * 5000
_NUMBERS = [
    ("function/concurrency", "reserved"),
    ("function/settings", "timeout"),
    ("function/test", "event"),
    ("logs/group/retain", "days"),
    ("key/delete", "days"),
    ("secret/delete", "days"),
    ("secrets/new", "length"),
    ("secrets/new", "port"),
]


@pytest.mark.parametrize(("path", "name"), _NUMBERS)
def test_a_number_of_thousands_of_digits_is_none(
    server: ServerProcess, session: ConsoleSession, path: str, name: str
) -> None:
    if path == "secret/delete":
        server.client("secretsmanager").create_secret(Name="k", SecretString="x")
    database = {"kind": "database", "engine": "postgres", "host": "h", "username": "u", "password": "p", "name": "n"}
    pressed = {"generate": "1"} if name == "length" else {}

    answered = session.post(
        path, (), **{**database, "group": "g", "memory": "128", "id": "k", "confirmed": "k", **pressed, name: _LONG}
    )

    assert answered.status in (400, 404)


def test_nothing_more_is_seen_live_after_signing_out(server: ServerProcess) -> None:
    logs = server.client("logs")
    logs.create_log_group(logGroupName="/watched")
    session = ConsoleSession(server)
    cookie = f"keyturn-session={session.cookies['keyturn-session']}"
    with urllib3.PoolManager(timeout=DEADLINE_SECONDS) as pool:
        watched = pool.request(
            "GET",
            f"{server.endpoint_url}/console/log/live?group=/watched",
            headers={"cookie": cookie},
            preload_content=False,
        )
        assert watched.status == 200
        assert session.post("sign-out").status == 303

        # It ends, which it does not as long as somebody may watch.
        assert b"The session has ended." in watched.read()
        assert session.ask("GET", "secrets", {"cookie": cookie}).status == 303


def test_a_form_whose_last_byte_is_too_much_is_answered(server: ServerProcess, session: ConsoleSession) -> None:
    with Wire(server) as wire:
        head = f"host: localhost\r\ncookie: keyturn-session={session.cookies['keyturn-session']}\r\n"
        wire.send(f"POST /console/look HTTP/1.1\r\n{head}content-length: {2**20 + 1}\r\n".encode())
        wire.send(b"content-type: application/x-www-form-urlencoded\r\n\r\n")
        wire.send(b"x" * (2**20 + 1))

        assert wire.reply().status == 413


def test_one_key_sends_one_package_at_a_time(server: ServerProcess, session: ConsoleSession) -> None:
    head = (
        f"HTTP/1.1\r\nhost: localhost\r\ncookie: keyturn-session={session.cookies['keyturn-session']}\r\n"
        "content-type: multipart/form-data; boundary=x\r\n"
    )
    first = f"POST /console/function/code {head}content-length: 40000000\r\n\r\n--x\r\n".encode()
    other = ConsoleSession(server, server.create_account("patient").admin)

    def is_refused_beside_another() -> bool:
        with Wire(server) as wire:
            wire.send(first)
            # Its head may come behind the next one, which then has the place.
            if session.post("functions/new").status != 503:
                return False
            assert other.post("functions/new").status == 400
            assert session.get("secrets").status == 200
            return True

    wait_until(is_refused_beside_another, "a second package is refused", server)
    wait_until(lambda: session.post("functions/new").status != 503, "the place is free again", server)


@pytest.fixture(scope="module")
def function(server: ServerProcess) -> str:
    """A function that is there."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    role = server.client("iam").create_role(RoleName="runs", AssumeRolePolicyDocument=document)["Role"]
    code = {"ZipFile": zip_package({"m.py": "def handler(event, context): pass"})}
    server.client("lambda").create_function(
        FunctionName="shared", Runtime="python3.11", Handler="m.handler", Role=role["Arn"], Code=code
    )
    return "shared"


def test_what_is_told_of_a_long_name_is_short(session: ConsoleSession, function: str) -> None:

    answered = session.post("function/variable/remove", name=function, variable="x" * 100_000)

    assert answered.status == 303
    assert len(answered.headers["set-cookie"]) < 4096


def test_settings_that_somebody_else_has_changed_are_not_put_back(
    server: ServerProcess, session: ConsoleSession, function: str
) -> None:
    revision = _hidden(session.get("function", name=function, tab="configuration").data, "revision")
    settings = {"name": function, "handler": "m.handler", "timeout": "60", "memory": "128", "revision": revision}

    assert session.post("function/settings", (), **settings).status == 303
    assert session.post("function/settings", (), **{**settings, "timeout": "3", "memory": "256"}).status == 400

    kept = server.client("lambda").get_function_configuration(FunctionName=function)
    assert (kept["Timeout"], kept["MemorySize"]) == (60, 128)


def test_the_simulator_leaves_no_action_out_in_silence(session: ConsoleSession) -> None:
    asked = {"principal": "", "policy": '{"Version": "2012-10-17", "Statement": []}', "context": ""}
    actions = "\n".join(f"secretsmanager:Action{number}" for number in range(101))

    told = session.post("access/simulator", (), actions=actions, resources="", **asked)

    assert told.status == 400
    assert b"101 decisions are more than the 100" in told.data
