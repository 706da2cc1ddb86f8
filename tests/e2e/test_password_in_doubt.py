"""A function without probeSecret that fails behind setSecret: who operates it is told what the database may have."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

from .conftest import DEADLINE_SECONDS, ServerProcess, wait_until
from .rotation_function import create_rotation_function
from .test_audit_explain import AWS

FAILS_IN_TEST = """
import boto3

def lambda_handler(event, context):
    client, secret, token = boto3.client("secretsmanager"), event["SecretId"], event["ClientRequestToken"]
    if event["Step"] == "createSecret":
        client.put_secret_value(
            SecretId=secret, ClientRequestToken=token, SecretString="rotated", VersionStages=["AWSPENDING"]
        )
    if event["Step"] == "testSecret":
        raise ValueError("no")
"""


def keyturn(server: ServerProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "keyturn.cli.main", *arguments],
        env={**server.environ(), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS * 2,
    )


def test_who_reads_of_a_failure_behind_set_secret_finds_the_password(server: ServerProcess) -> None:
    function = create_rotation_function(server, "doubtful", FAILS_IN_TEST)
    secrets = server.client("secretsmanager")
    before = secrets.create_secret(Name="doubtful", SecretString="first")["VersionId"]
    secrets.rotate_secret(SecretId="doubtful", RotationLambdaARN=function, RotateImmediately=False)
    client = server.client("keyturn")
    wait_until(
        lambda: client.get_rotation(SecretId="doubtful")["Rotation"]["Status"] == "failed", "the first look", server
    )

    rotated = keyturn(server, "rotate", "doubtful")

    assert rotated.returncode == 1, rotated.stderr
    assert f"\nAWSCURRENT is version {before}, as before.\n" in rotated.stdout
    (after,) = re.findall(r"\nPassword: may be that of version (\S+) \(AWSPENDING\): setSecret ran", rotated.stdout)
    assert "\nNow pending: attempt 2 of 5 begins at" in rotated.stdout

    # As AWS advises for a rotation that is stuck.
    secrets.update_secret_version_stage(SecretId="doubtful", VersionStage="AWSPENDING", RemoveFromVersionId=after)
    text = keyturn(server, "rotation", "show", "doubtful").stdout

    assert f"\n  password  may be that of version {after} (no label): setSecret ran for it at" in text
    assert re.search(rf"\n  version   {after}  no label, made [\d: -]+ UTC, setSecret ran at", text)
    assert f"\n  aws secretsmanager get-secret-value --secret-id doubtful --version-id {after}\n" in text
    refused = keyturn(server, "rotation", "resolve", "doubtful", "--yes")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "has not offered to ask the database" in refused.stderr

    (move,) = re.findall(r"\n  aws (secretsmanager update-secret-version-stage .*)\n", text)
    subprocess.run([str(AWS), *shlex.split(move)], env=server.environ(), check=True, timeout=DEADLINE_SECONDS)

    assert secrets.get_secret_value(SecretId="doubtful")["SecretString"] == "rotated"
    assert f"version {after} (AWSCURRENT)" in keyturn(server, "rotation", "show", "doubtful").stdout


def test_a_rotation_that_is_cancelled_while_it_is_watched_says_what_is_known(server: ServerProcess) -> None:
    function = create_rotation_function(server, "hanging", FAILS_IN_TEST.replace("    if", HANGS, 1))
    secrets = server.client("secretsmanager")
    before = secrets.create_secret(Name="hanging", SecretString="first")["VersionId"]
    secrets.rotate_secret(SecretId="hanging", RotationLambdaARN=function, RotateImmediately=False)
    client = server.client("keyturn")
    wait_until(
        lambda: client.get_rotation(SecretId="hanging")["Rotation"]["Status"] == "failed", "the first look", server
    )
    command = [sys.executable, "-m", "keyturn.cli.main", "rotate", "hanging"]
    watching = subprocess.Popen(command, env=server.environ(), stdout=subprocess.PIPE, text=True)
    wait_until(lambda: client.get_rotation(SecretId="hanging")["Rotation"]["Step"] == "setSecret", "a step", server)

    secrets.cancel_rotate_secret(SecretId="hanging")
    output, _ = watching.communicate(timeout=DEADLINE_SECONDS)

    assert watching.returncode == 1, output
    assert "Not rotated: Rotation of this secret is off: it was cancelled.\n" in output
    assert f"\nAWSCURRENT is version {before}, as before.\nPassword: may be that of version " in output
    assert "\nNow cancelled by user/administrator at " in output
    text = keyturn(server, "rotation", "show", "hanging").stdout
    assert "keyturn rotation retry" not in text
    assert "\n  keyturn rotate hanging\n      switch rotation on again, and rotate\n" in text


HANGS = """    if event["Step"] == "setSecret":
        import time
        time.sleep(20)
    if"""
