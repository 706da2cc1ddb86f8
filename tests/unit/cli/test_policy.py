from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from keyturn.cli.main import app, register_commands
from keyturn.rules.policy.document import parse_identity_policy

register_commands()

GUIDE = Path(__file__).parents[2] / "vectors" / "guide"
SINGLE, MASTER = GUIDE / "rotation-function-single-secret.json", GUIDE / "rotation-function-master-secret.json"
FINE = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}}'
TRUST = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*"}}'


def check(*words: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["policy", "check", *words], input=given)


def test_the_policy_of_the_guide_is_shown_with_place_answer_and_corrected_text() -> None:
    result = check(str(SINGLE))

    corrected = SINGLE.read_text().replace('Stage",', 'Stage"')
    assert result.exit_code == 1
    assert result.stdout == (
        f"{SINGLE}:11:58: error: There is a comma behind the last entry of a list: JSON has commas only between"
        " entries. (trailing-comma)\n"
        '  11 |                 "secretsmanager:UpdateSecretVersionStage",\n'
        "     |                                                          ^\n"
        "refused as an inline policy of a user, group or role (guessed; say it with --kind): IAM answers Syntax errors"
        " in policy.\n"
        "\n"
        "The text put right; --fix prints it alone:\n"
        "\n"
        f"{corrected}"
    )
    assert result.stderr == ""


def test_the_corrected_text_goes_to_standard_output_alone() -> None:
    result = check("--fix", str(SINGLE))

    assert result.exit_code == 0
    assert result.stderr == ""
    parse_identity_policy(result.stdout)
    assert check("-", given=result.stdout).exit_code == 0


def test_what_is_left_to_do_goes_to_standard_error() -> None:
    result = check("--fix", str(MASTER))

    assert result.exit_code == 1
    assert json.loads(result.stdout)["Statement"][1]["Resource"] == "<arn_of_master_secret>"
    assert result.stderr.startswith('corrected:20:25: error: "<arn_of_master_secret>" is a placeholder')
    assert "but for 1 of its faults" in check(str(MASTER)).stdout


def test_what_cannot_be_put_right_is_not_printed_as_if_it_had_been() -> None:
    result = check("--fix", "-", given=FINE.replace('"Allow"', '"Perhaps"'))

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith('(stdin):1:51: error: Effect is "Allow" or "Deny". (effect)\n')


def test_a_policy_that_is_fine_is_said_to_be_and_kept_as_it_is() -> None:
    result = check("-", given=FINE)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "accepted as an inline policy of a user, group or role (guessed; say it with --kind)\n"
    assert check("--fix", "-", given=FINE).stdout == f"{FINE}\n"


def test_the_kind_is_guessed_and_said_or_given() -> None:
    assert (
        "refused as a role's trust policy (guessed; say it with --kind): IAM answers" in check("-", given=TRUST).stdout
    )
    assert "refused as a session policy: STS answers" in check("--kind", "session", "-", given=TRUST).stdout
    assert "accepted as a managed policy\n" in check("-", "--kind", "managed", given=FINE).stdout
    assert (
        "refused as a resource policy: Secrets Manager answers" in check("-", "--kind", "resource", given=FINE).stdout
    )
    assert "refused as a key policy: KMS answers" in check("-", "--kind", "key", given=FINE).stdout


def test_a_warning_is_shown_and_changes_nothing() -> None:
    result = check("-", given=FINE.replace("Decrypt", "Decrpt"))

    assert result.exit_code == 0
    assert "(stdin):1:70: warning: kms has no action Decrpt. Was kms:Decrypt meant? (unknown-action)\n" in result.stdout


def test_programs_get_everything_in_one_document() -> None:
    result = check(str(MASTER), "--output", "json")

    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert document["kind"] == "identity"
    assert document["kind_is_guessed"] is True
    assert document["accepted"] is False
    assert document["answer"] == "Syntax errors in policy."
    assert [fault["code"] for fault in document["faults"]] == ["trailing-comma", "resource-format"]
    assert document["faults"][0] == {
        "severity": "error",
        "code": "trailing-comma",
        "line": 12,
        "column": 58,
        "path": "",
        "message": "There is a comma behind the last entry of a list: JSON has commas only between entries.",
        "excerpt": '                "secretsmanager:UpdateSecretVersionStage",',
        "caret": 57,
        "is_mended": True,
    }
    assert json.loads(document["corrected"])["Version"] == "2012-10-17"
    assert [fault["code"] for fault in document["remaining"]] == ["resource-format"]
    fine = json.loads(check("-", "--output", "json", "--kind", "identity", given=FINE).stdout)
    assert (fine["accepted"], fine["answer"], fine["kind_is_guessed"], fine["corrected"]) == (True, None, False, None)


def test_what_is_shown_does_not_move_the_cursor(tmp_path: Path) -> None:
    path = tmp_path / "[bold]policy.json"
    path.write_text('{"Version": "2012-10-17", "[red]\x1b[2J\x9b2J": 1}')

    result = check(str(path))

    assert result.exit_code == 1
    assert "\x1b" not in result.stdout
    assert "\x9b" not in result.stdout
    assert f"{path}:1:33: error: No policy may have the character U+001B" in result.stdout
    assert '"[red]\ufffd[2J' in result.stdout


def test_names_and_texts_are_shown_harmlessly(tmp_path: Path) -> None:
    path = tmp_path / "\x1b]0;owned\x07\n\x9b\u202epolicy.json"
    path.write_text(FINE.replace("*", "\x9b2J")[:-1] + ",}")

    for result in (check(str(path)), check("--fix", str(path)), check(str(tmp_path / "\x9bnone"))):
        assert not set(result.stdout + result.stderr) & set("\x1b\x07\x9b\u202e")
    assert f"{tmp_path}/\\x1b]0;owned\\x07\\x0a\\x9b\\u202epolicy.json:1:" in check(str(path)).stdout
    fixed = check("--fix", str(path)).stdout
    assert json.loads(fixed)["Statement"]["Resource"] == "\x9b2J"


def test_a_file_is_named_as_the_aws_cli_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text("{}")

    assert check(f"file://{path}").stdout.startswith(f"{path}:1:")


@pytest.mark.parametrize("before", [0, 30, 60, 500])
@pytest.mark.parametrize("behind", [0, 30, 500])
@pytest.mark.parametrize("filling", ["x", "秘"])
def test_the_caret_is_under_its_character_on_a_screen_of_80_columns(before: int, behind: int, filling: str) -> None:
    text = f'{{"Id": "{filling * before}", "Effect": ?, "Other": "{filling * behind}"}}'

    lines = check("-", given=text).stdout.splitlines()

    shown = [(line, below.index("^")) for line, below in pairwise(lines) if below.strip(" |") == "^"]
    assert all(cell_len(excerpt) <= 80 for excerpt, _ in shown)
    assert any(cell_len(excerpt.partition("?")[0]) == column for excerpt, column in shown if "?" in excerpt)


@pytest.mark.parametrize(
    ("words", "given", "told"),
    [
        (["no/such/file"], None, "no/such/file cannot be read: No such file or directory."),
        (["."], None, ". cannot be read: Is a directory."),
        (["-"], b'{\n"\xff\xfe"}', "(stdin) is not UTF-8: see line 2."),
        (["-"], b" " * 1_000_001, "(stdin) is much longer than any policy may be."),
        (["--fix", "-", "--output", "json"], b"{}", "JSON has the corrected text anyway"),
        (["--kind", "boundary", "-"], b"{}", "'boundary' is not one of"),
    ],
)
def test_what_cannot_be_read_is_wrong_usage(words: list[str], given: bytes | None, told: str) -> None:
    result = check(*words, given=given)

    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())
