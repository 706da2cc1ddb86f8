"""What the command says of a policy is what the server says of it; what it corrects, the server takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import ServerProcess, run_keyturn

GUIDE = Path(__file__).parents[1] / "vectors" / "guide"
SINGLE = GUIDE / "rotation-function-single-secret.json"
MASTER = GUIDE / "rotation-function-master-secret.json"


@pytest.fixture(scope="module")
def iam(server: ServerProcess) -> Any:
    client = server.client("iam")
    client.create_user(UserName="checked")
    return client


def put(iam: Any, text: str) -> str:
    """Put a policy, and return what IAM says against it."""
    try:
        iam.put_user_policy(UserName="checked", PolicyName="checked", PolicyDocument=text)
    except ClientError as error:
        return str(error.response["Error"]["Message"])
    return ""


@pytest.mark.parametrize("path", [SINGLE, MASTER], ids=lambda path: path.stem)
def test_the_guide_s_policies_are_refused_with_iam_s_words(iam: Any, path: Path, tmp_path: Path) -> None:
    checked = run_keyturn("policy", "check", str(path), "--output", "json", home=tmp_path, check=False)

    assert checked.returncode == 1
    assert json.loads(checked.stdout)["answer"] == put(iam, path.read_text()) == "Syntax errors in policy."


def test_the_corrected_text_is_taken(iam: Any, tmp_path: Path) -> None:
    fixed = run_keyturn("policy", "check", "--fix", str(SINGLE), home=tmp_path)

    assert put(iam, fixed.stdout) == ""
    stored = iam.get_user_policy(UserName="checked", PolicyName="checked")["PolicyDocument"]
    assert stored == json.loads(fixed.stdout)


def test_a_placeholder_is_left_to_the_reader(iam: Any, tmp_path: Path) -> None:
    fixed = run_keyturn("policy", "check", "--fix", str(MASTER), home=tmp_path, check=False)

    assert fixed.returncode == 1
    assert '20:25: error: "<arn_of_master_secret>" is a placeholder' in fixed.stderr
    assert put(iam, fixed.stdout) == 'Resource <arn_of_master_secret> must be in ARN format or "*".'
    master = "arn:aws:secretsmanager:us-east-1:000000000000:secret:master-a1b2c3"
    assert put(iam, fixed.stdout.replace("<arn_of_master_secret>", master)) == ""
