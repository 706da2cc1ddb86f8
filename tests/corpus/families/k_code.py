"""The function's own code, and what nobody can name."""

from __future__ import annotations

from datetime import timedelta

from tests.corpus import lines
from tests.corpus.account import CURRENT, FAILED_AT, PENDING, PREVIOUS, SECRET, Account, ago
from tests.corpus.cases import HEALTHY, INCONCLUSIVE, Family

code = Family("code", "AWS samples: lambda_handler of the rotation functions, February 2025")


@code.fault("function-not-implemented", source="AWS samples: SecretsManagerRotationTemplate, attached unchanged")
def the_template_as_it_comes(account: Account) -> None:
    account.failing("setSecret")
    account.ran(
        lines.CREDENTIALS,
        lines.info(f"createSecret: Successfully put secret for ARN {SECRET} and version {PENDING}."),
        at=FAILED_AT - timedelta(seconds=5),
    )
    account.ran(
        lines.Raised("NotImplementedError", "", "set_secret"),
    )


@code.fault("function-not-implemented")
def a_step_raises_and_names_itself_in_the_trace_only(account: Account) -> None:
    account.failing("testSecret")
    account.ran(
        lines.Bare(
            '[ERROR] NotImplementedError\nTraceback (most recent call last):\n\u00a0\u00a0File "/var/task/lambda_function.py", line 68, in '
            'lambda_handler\n\u00a0\u00a0\u00a0\u00a0test_secret(service_client, arn, token)\n\u00a0\u00a0File "/var/task/lambda_function.py", line 143, in '
            "test_secret\n\u00a0\u00a0\u00a0\u00a0raise NotImplementedError"
        )
    )


@code.fault("function-token-mishandled", source="public thread: aws-secrets-manager-rotation-lambdas#16")
def the_version_is_not_pending(account: Account) -> None:
    account.failing("createSecret")
    said = f"Secret version {PREVIOUS} not set as AWSPENDING for rotation of secret {SECRET}."
    account.ran(lines.CREDENTIALS, lines.error(said), lines.Raised("ValueError", said, "lambda_handler"))


@code.fault("function-token-mishandled", source="public thread: floci#1519; AWS samples")
def the_version_has_no_stage(account: Account) -> None:
    account.failing("createSecret")
    said = f"Secret version 8b1c0000-0000-4000-8000-00000000abcd has no stage for rotation of secret {SECRET}."
    account.ran(lines.CREDENTIALS, lines.error(said), lines.Raised("ValueError", said, "lambda_handler"))


@code.nothing(*INCONCLUSIVE, also=("pending-stuck",), notes=("function-not-enabled-check",))
def it_is_told_to_rotate_what_is_not_enabled(account: Account) -> None:
    account.failing("createSecret")
    said = f"Secret {SECRET} is not enabled for rotation"
    account.ran(lines.CREDENTIALS, lines.error(said), lines.Raised("ValueError", said, "lambda_handler"))


@code.fault("function-bound-to-other-secret", source="AWS samples: SecretsManagerElasticacheUserRotation")
def it_serves_another_secret(account: Account) -> None:
    account.failing("createSecret")
    said = f"Secret {SECRET} is not allowed to use this Lambda function for rotation"
    account.ran(lines.CREDENTIALS, lines.error(said), lines.Raised("ValueError", said, "lambda_handler"))


@code.fault("function-bound-to-other-secret", source="AWS samples: SecretsManagerElasticacheUserRotation")
def it_serves_another_user(account: Account) -> None:
    account.failing("createSecret")
    account.template("User orders is not allowed to use this Lambda function for rotation", step="createSecret")


@code.fault("function-step-unknown")
def it_is_called_with_another_event(account: Account) -> None:
    account.failing("createSecret")
    said = f"lambda_handler: Invalid step parameter None for secret {SECRET}"
    account.ran(
        lines.CREDENTIALS, lines.error(said), lines.Raised("ValueError", said.partition(": ")[2], "lambda_handler")
    )


@code.fault("function-leaves-pending", source="AWS documentation: Rotation function, finishSecret moves AWSCURRENT")
def it_finishes_and_moves_nothing(account: Account) -> None:
    account.due()
    account.service_event("RotationStarted", at=ago(minutes=61))
    account.pending(since=ago(minutes=61))
    for number, said in enumerate(
        (
            f"createSecret: Successfully put secret for ARN {SECRET} and version {PENDING}.",
            f"setSecret: Successfully set password for orders in PostgreSQL DB for secret arn {SECRET}.",
            f"testSecret: Successfully signed into PostgreSQL DB with AWSPENDING secret in {SECRET}.",
            f"finishSecret: Successfully set AWSCURRENT stage to version {PENDING} for secret {SECRET}.",
        )
    ):
        account.ran(lines.info(said), at=ago(minutes=60, seconds=-3 * number))


@code.fault("function-unhandled-error", source="public thread: aws-secrets-manager-rotation-lambdas#79")
def oracle_wants_the_old_password(account: Account) -> None:
    account.failing("setSecret")
    account.raised("DatabaseError", "ORA-28221: REPLACE not specified", function="set_secret")


@code.fault("function-unhandled-error", source="form of words: a function that rotates a Cloudflare token")
def another_service_refuses(account: Account) -> None:
    account.failing("createSecret")
    account.raised(
        "RuntimeError", 'Cloudflare API error during new token creation: {"success":false,"errors":[{"code":9109}]}'
    )


@code.fault("function-unhandled-error", source="form of words: JavaScript errors as Node.js's runtime logs them")
def a_type_error_in_node(account: Account) -> None:
    account.failing("setSecret")
    account.configuration |= {"Runtime": "nodejs22.x", "Handler": "index.handler"}
    request_id = "9d000000-0000-4000-8000-000000000009"
    account.raw(
        f"START RequestId: {request_id} Version: $LATEST\n",
        f"2026-11-27T10:59:58.001Z\t{request_id}\tINFO\trotating {SECRET}\n",
        lines.node_error(
            request_id, FAILED_AT, "TypeError", "Cannot read properties of undefined (reading 'SecretString')"
        ),
        f"END RequestId: {request_id}\n",
        f"REPORT RequestId: {request_id}\tDuration: 81.11 ms\tBilled Duration: 82 ms\tMemory Size: 256 MB\tMax Memory Used: 101 MB\t\n",
        at=FAILED_AT,
    )


@code.nothing(*HEALTHY, source="AWS documentation: Secrets Manager, clients that cache")
def the_application_holds_an_old_password(account: Account) -> None:
    account.trail.clear()
    account.succeeded(at=ago(hours=2))
    account.secret |= {
        "LastRotatedDate": ago(hours=2),
        "LastChangedDate": ago(hours=2),
        "LastAccessedDate": ago(hours=12),
    }
    account.secret["NextRotationDate"] = ago(days=-30)
    account.secret["VersionIdsToStages"] = {CURRENT: ["AWSCURRENT"], PREVIOUS: ["AWSPREVIOUS"]}
