"""Findings. Run: cd keyturn && .venv/bin/python -m pytest -p no:cacheprovider -q --rootdir=. --import-mode=importlib ... see run.sh"""
import sys, json
from datetime import timedelta
from dataclasses import replace
import pytest
sys.path.insert(0, "/tmp/kt/attack5/keyturn/tests/unit")
from scheduler.test_planned_rotations import Desk as D, DAY, START, NIGHTLY
from scheduler.test_rotations import FUNCTION_ARN, LIMITS
from keyturn.testing.handlers import open_bench, user, PLACE
from keyturn.ids import new_version_id
from keyturn.rules.lanes import Limits
from keyturn.scheduler.worker import Scheduler
from keyturn.scheduler.rotations import drive, begin_due
from keyturn.storage import secrets, rotations
from keyturn.errors.secretsmanager import InvalidRequestException
from keyturn.call import Principal, PrincipalKind

@pytest.fixture
def desk(tmp_path):
    with open_bench(tmp_path) as bench:
        yield D(bench)

from scheduler.test_rotations import FakeRuntime
FakeRuntime.discard = lambda self, arn: None
def days(desk): desk.configured({"AutomaticallyAfterDays": 30})

def next_window(desk):
    desk.set_clock(desk.call("DescribeSecret", SecretId="db")["NextRotationDate"] - timedelta(seconds=1))

# --- F1: foreign pending value adopted by the schedule
def test_foreign_value_put_between_rotations_is_not_set(desk):
    days(desk)
    evil = new_version_id()
    desk.call("PutSecretValue", SecretId="db", ClientRequestToken=evil, SecretString="evil", VersionStages=["AWSPENDING"])
    next_window(desk)
    print(desk.history()[0].status, desk.history()[0].value_from_elsewhere, desk.runtime.steps)
    assert desk.runtime.database != "evil"

def test_foreign_value_slipped_in_during_a_parked_rotation_then_resolved(desk):
    desk.runtime.offers_probe = True
    days(desk)
    tok = desk.rotate()
    desk.call("PutSecretValue", SecretId="db", ClientRequestToken=tok, SecretString="evil", VersionStages=["AWSPENDING"])
    desk.work()
    assert desk.history()[0].cause == "PendingFromElsewhere"
    assert desk.history()[0].status == "parked"
    # somebody resolves, database does not answer/other says all refused -> or: delete + restore
    desk.call("DeleteSecret", SecretId="db"); desk.call("RestoreSecret", SecretId="db")
    desk.turn()
    print(desk.history()[0], desk.runtime.steps, desk.runtime.database)
    assert desk.runtime.database != "evil"

def test_foreign_value_by_moving_awspending_mid_rotation(desk):
    days(desk)
    tok = desk.rotate()
    evil = new_version_id()
    desk.call("PutSecretValue", SecretId="db", ClientRequestToken=evil, SecretString="evil", VersionStages=["AWSPENDING"])
    desk.turn()
    print([r.status for r in desk.history()])
    next_window(desk)
    print(desk.history()[0].status, desk.runtime.steps, desk.runtime.database)
    assert desk.runtime.database != "evil"

# --- F2: lone surrogate poison
def test_lone_surrogate_in_a_value_does_not_poison(desk):
    days(desk)
    desk.call("PutSecretValue", SecretId="db", ClientRequestToken=new_version_id(), SecretString=json.dumps({"password": "\ud800abcd"}))
    desk.rotate(); desk.runtime.fails_in = "createSecret"
    for _ in range(8):
        for r in desk.claim():
            try: drive(desk.kit, r, __import__("threading").Event())
            except Exception as e: print("drive died:", type(e).__name__, e)
        desk.bench.clock.advance(timedelta(minutes=10))
    r = desk.history()[0]; print(r.status, r.attempt, r.error, len(desk.runtime.steps), desk.told())
    assert r.cause == "ValueError"

def test_get_rotation_with_surrogate(desk):
    days(desk)
    desk.call("PutSecretValue", SecretId="db", ClientRequestToken=new_version_id(), SecretString=json.dumps({"password": "\ud800abcd"}))
    desk.bench.call("keyturn", "GetRotation", SecretId="db")

# --- F3: resolution that is never answered blocks everything
def test_unanswered_resolution_blocks_schedule(desk):
    desk.runtime.offers_probe = True
    days(desk)
    desk.runtime.answers_nothing = True
    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")
    desk.turn()
    before = len(desk.history())
    for _ in range(40):
        desk.set_clock(desk.bench.clock.now() + timedelta(days=2))
    print([(r.kind, r.status, r.attempt) for r in desk.history()], desk.call("DescribeSecret", SecretId="db").get("NextRotationDate"), desk.bench.clock.now())
    print(set(desk.runtime.steps))
    with pytest.raises(InvalidRequestException):
        desk.rotate()
    desk.call("CancelRotateSecret", SecretId="db")
    print([(r.kind, r.status, r.attempt) for r in desk.history()])
    try: desk.rotate(); print("rotate ok")
    except InvalidRequestException as e: print("rotate refused", e.message)
    assert "createSecret" in desk.runtime.steps

def test_resolution_of_deleted_function_blocks_change_of_function(desk):
    desk.runtime.offers_probe = True
    days(desk)
    from keyturn.storage import functions
    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")
    import sqlalchemy as sa
    from keyturn.storage import schema
    with desk.kit.state.write() as t:
        f = functions.load_function(t.connection, FUNCTION_ARN) if hasattr(functions,"load_function") else None
        t.connection.execute(sa.text("delete from function_statements")) if False else None
        other = FUNCTION_ARN + "2"
        functions.insert_function(t, replace(f, arn=other, name="rotate2"))
        st={"Sid":"s","Effect":"Allow","Principal":{"Service":"secretsmanager.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":other}
        functions.put_statement(t, other, "", "s", json.dumps(st))
    desk.bench.call("lambda", "DeleteFunction", FunctionName="rotate")
    desk.call("DescribeSecret", SecretId="db")
    for _ in range(5):
        desk.set_clock(desk.bench.clock.now() + timedelta(hours=2))
    print([(r.kind, r.status, r.attempt, r.error) for r in desk.history()])
    desk.call("RotateSecret", SecretId="db", RotationLambdaARN=FUNCTION_ARN+"2", ClientRequestToken=new_version_id())

# --- F4: AWSPENDING taken off after setSecret
def test_pending_taken_off_after_set(desk):
    desk.runtime.offers_probe = True
    days(desk)
    tok = desk.rotate()
    desk.runtime.fails_in = "testSecret"; desk.runtime.answers_nothing = True
    desk.work()
    print(desk.history()[0].step, desk.runtime.database == f"new-{tok}")
    desk.call("UpdateSecretVersionStage", SecretId="db", VersionStage="AWSPENDING", RemoveFromVersionId=tok)
    desk.runtime.fails_in = ""; desk.runtime.answers_nothing = False
    desk.turn()
    print([(r.kind, r.status) for r in desk.history()], desk.stages())
    cur = desk.call("GetSecretValue", SecretId="db")["SecretString"]
    desk.bench.call("keyturn", "ResolveRotation", SecretId="db"); desk.turn()
    print([(r.kind, r.status, r.cause) for r in desk.history()], desk.stages())
    assert desk.call("GetSecretValue", SecretId="db")["SecretString"] == desk.runtime.database

def test_manual_current_after_set(desk):
    desk.runtime.offers_probe = True
    days(desk)
    tok = desk.rotate()
    desk.runtime.fails_in = "testSecret"; desk.runtime.answers_nothing = True
    desk.work()
    desk.call("PutSecretValue", SecretId="db", ClientRequestToken=new_version_id(), SecretString="typo")
    desk.runtime.fails_in = ""; desk.runtime.answers_nothing = False
    desk.turn()
    print([(r.kind, r.status) for r in desk.history()], desk.stages())
    assert desk.call("GetSecretValue", SecretId="db")["SecretString"] == desk.runtime.database

# --- F5: test pending + ResolveRotation
def test_resolve_with_test_pending(desk):
    desk.runtime.offers_probe = True
    days(desk)
    tok = new_version_id()
    desk.call("RotateSecret", SecretId="db", RotationLambdaARN=FUNCTION_ARN, ClientRequestToken=tok, RotateImmediately=False)
    cur = desk.call("GetSecretValue", SecretId="db")["VersionId"]
    before = desk.call("DescribeSecret", SecretId="db").get("LastRotatedDate")
    desk.bench.clock.advance(timedelta(days=3))
    desk.bench.call("keyturn", "ResolveRotation", SecretId="db")
    desk.turn()
    d = desk.call("DescribeSecret", SecretId="db")
    print(d, before)
    assert desk.call("GetSecretValue", SecretId="db")["VersionId"] == cur

# --- F6
def test_update_secret_fills_pending_unnoticed(desk):
    days(desk)
    tok = desk.rotate()
    desk.call("UpdateSecret", SecretId="db", ClientRequestToken=tok, SecretString="evil")
    print(desk.stages())
    desk.turn()
    print(desk.history()[0].status, desk.history()[0].value_from_elsewhere, desk.runtime.steps, desk.runtime.database)
    assert desk.runtime.database != "evil"

# --- F7
def test_put_current_under_pending_token_blocks_schedule(desk):
    days(desk)
    tok = desk.rotate()
    desk.call("PutSecretValue", SecretId="db", ClientRequestToken=tok, SecretString="mine")
    print(desk.stages())
    desk.turn()
    for _ in range(5):
        next_window(desk)
        print(desk.bench.clock.now(), desk.history()[0].version_id == tok, desk.history()[0].status, desk.history()[0].cause)
    assert desk.history()[0].version_id != tok

# --- F8
def test_rotation_token_in_error_is_masked(desk):
    days(desk)
    tok = desk.rotate()
    from keyturn.operations.secretsmanager.rotation_marks import rotation_token
    arn = desk.call("DescribeSecret", SecretId="db")["ARN"]
    t = rotation_token(desk.kit, arn, tok).reveal()
    desk.runtime.fails_in, desk.runtime.says = "createSecret", f"bad event {{'RotationToken': '{t}'}}"
    desk.work()
    err = desk.bench.call("keyturn", "GetRotation", SecretId="db")["Rotation"]["Error"]
    print(err)
    assert t not in err

def test_error_type_deep(desk):
    days(desk)
    tok = desk.rotate()
    from keyturn.runtime.spec import Invocation
    for depth in (200, 600, 800, 900, 920, 940, 960, 980):
        desk.runtime.invoke = lambda *a, **k: Invocation(('{"errorType":' + '['*depth + ']'*depth + '}').encode(), "Unhandled", b"", "$LATEST", 1.0)
        desk.bench.clock.advance(timedelta(minutes=10))
        for r in desk.claim():
            drive(desk.kit, r, __import__("threading").Event())

def test_probe_odd_answers(desk):
    desk.runtime.offers_probe = True
    days(desk)
    for answer in ({"accepted": {"a": 1}, "refused": 5}, {"accepted": [[["x"]]], "refused": [None, 1, {}]}, {"accepted": ["x"*1000000]*3}, {"accepted": ["\ud800", "a\0b"]}):
        desk.runtime.probeSecret = lambda s, t, a=answer: {"rotator": "keyturn.rotator/1", **a}
        desk.bench.call("keyturn", "ResolveRotation", SecretId="db")
        desk.turn()
    other = desk.call("CreateSecret", Name="other", SecretString="o", ClientRequestToken=new_version_id())
    desk.runtime.probeSecret = lambda s, t: {"rotator": "keyturn.rotator/1", "accepted": [other["VersionId"]], "refused": [v for v in desk.stages()]}
    desk.bench.clock.advance(timedelta(minutes=6))
    desk.turn(); print(desk.history()[0].status, desk.stages(), desk.history()[0].attempt)
    assert "AWSCURRENT" in str(desk.stages())

def test_key_disabled_and_destroyed(desk):
    key = desk.bench.call("kms", "CreateKey")["KeyMetadata"]["KeyId"]
    desk.call("CreateSecret", Name="k", SecretString='{"host":"h","password":"abcdef"}', KmsKeyId=key, ClientRequestToken=new_version_id())
    desk.call("RotateSecret", SecretId="k", RotationLambdaARN=FUNCTION_ARN, ClientRequestToken=new_version_id(), RotationRules={"AutomaticallyAfterDays": 1})
    desk.work()
    desk.bench.call("kms", "DisableKey", KeyId=key)
    def fail(*a): raise AssertionError
    o = desk.runtime.invoke
    def inv(spec, payload, **k):
        from keyturn.errors.base import AwsError
        from keyturn.runtime.spec import Invocation
        try: return o(spec, payload, **k)
        except AwsError as e: return Invocation(json.dumps({"errorType": type(e).__name__, "errorMessage": e.message}).encode(), "Unhandled", b"", "$LATEST", 1.0)
    desk.runtime.invoke = inv
    for _ in range(12): desk.set_clock(desk.bench.clock.now()+timedelta(hours=6))
    d = desk.call("DescribeSecret", SecretId="k"); print(d.get("NextRotationDate"), d.get("LastRotatedDate"), desk.bench.clock.now())
    desk.bench.call("kms", "ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
    from keyturn.scheduler import key_deletions
    desk.bench.clock.advance(timedelta(days=8)); key_deletions.destroy_due_keys(desk.kit, desk.bench.clock.now())
    for _ in range(12): desk.set_clock(desk.bench.clock.now()+timedelta(hours=6))
    d = desk.call("DescribeSecret", SecretId="k"); print(d.get("NextRotationDate"), d.get("LastRotatedDate"), desk.bench.clock.now())
    assert d["NextRotationDate"] > desk.bench.clock.now()

# --- F9: a resolution that DeleteSecret abandons is never asked again
def test_restore_asks_again_after_cancel(desk):
    desk.runtime.offers_probe = True
    days(desk)
    desk.rotate()
    desk.runtime.fails_in, desk.runtime.answers_nothing = "testSecret", True   # database goes away after setSecret
    desk.work()
    desk.call("CancelRotateSecret", SecretId="db"); desk.work()
    assert (desk.history()[0].kind, desk.history()[0].status) == ("resolution", "pending")
    desk.call("DeleteSecret", SecretId="db"); desk.call("RestoreSecret", SecretId="db")
    desk.runtime.fails_in, desk.runtime.answers_nothing = "", False            # and is back
    for _ in range(10): desk.set_clock(desk.bench.clock.now() + timedelta(hours=6))
    print([(r.kind, r.status) for r in desk.history()], desk.stages())
    assert desk.call("GetSecretValue", SecretId="db")["SecretString"] == desk.runtime.database

# --- control: the same without delete + restore holds
def test_control_cancel_only(desk):
    desk.runtime.offers_probe = True
    days(desk)
    desk.rotate()
    desk.runtime.fails_in, desk.runtime.answers_nothing = "testSecret", True
    desk.work()
    desk.call("CancelRotateSecret", SecretId="db"); desk.work()
    desk.runtime.fails_in, desk.runtime.answers_nothing = "", False
    for _ in range(3): desk.set_clock(desk.bench.clock.now() + timedelta(hours=6))
    assert desk.call("GetSecretValue", SecretId="db")["SecretString"] == desk.runtime.database

def test_non_ascii_rotation_token(desk):
    days(desk)
    tok = desk.rotate()
    desk.call("PutSecretValue", SecretId="db", ClientRequestToken=tok, SecretString="x", RotationToken="ä"*36, VersionStages=["AWSPENDING"])

# --- F1d: flag lost by ResolveRotation whose answer is "none accepted"
def test_flag_lost_by_resolve(desk):
    desk.runtime.offers_probe = True
    days(desk)
    tok = desk.rotate()
    desk.call("PutSecretValue", SecretId="db", ClientRequestToken=tok, SecretString="evil", VersionStages=["AWSPENDING"])
    desk.work(); assert desk.history()[0].status == "parked"
    good, desk.runtime.database = desk.runtime.database, "somebody else's"
    desk.bench.call("keyturn", "ResolveRotation", SecretId="db"); desk.turn()
    desk.runtime.database = good
    next_window(desk)
    assert desk.runtime.database != "evil"

def test_label_quota_and_forward(desk):
    desk.runtime.offers_probe = True
    days(desk)
    cur = desk.call("GetSecretValue", SecretId="db")["VersionId"]
    n = 0
    try:
        while True:
            desk.call("UpdateSecretVersionStage", SecretId="db", VersionStage=f"l{n}", MoveToVersionId=cur); n += 1
    except Exception as e: print(n, e)
    desk.rotate(); desk.runtime.fails_in = "testSecret"; desk.work()
    assert desk.call("GetSecretValue", SecretId="db")["SecretString"] == desk.runtime.database

@pytest.mark.parametrize("rules", [{"ScheduleExpression": "rate(4 hours)"}, {"ScheduleExpression": "rate(4 hours)", "Duration": "4h"}, {"ScheduleExpression": "cron(0 1 * * ? *)", "Duration": "23h"}, {"ScheduleExpression": "cron(0 23 L * ? *)"}, {"ScheduleExpression": "cron(0 0 31 * ? *)"}, {"ScheduleExpression": "cron(0 0/4 ? * SUN#5 *)"}])
def test_windows(desk, rules):
    desk.configured(rules)
    last = None
    for _ in range(12):
        with desk.kit.state.read() as c:
            from keyturn.storage.secrets import next_planned
            at = next_planned(c)
        assert at > desk.bench.clock.now()
        n = len(desk.history())
        desk.set_clock(at)
        assert len(desk.history()) == n + 1 and desk.history()[0].status == "succeeded"
    print(at, desk.call("DescribeSecret", SecretId="db")["NextRotationDate"])
