"""Secrets Manager may not, or cannot, invoke the function; and the Lambda service's own reasons."""

from __future__ import annotations

import json
from typing import Any

from tests.corpus import lines
from tests.corpus.account import (
    ACCOUNT,
    FAILED_AT,
    FUNCTION,
    OTHER_SECRET,
    REGION,
    SECRET,
    Account,
    ago,
    policy,
    refusal,
)
from tests.corpus.cases import AT_RISK, HEALTHY, Family

invoke = Family(
    "invoke", "AWS documentation: Troubleshoot rotation, access denied when configuring; Lambda permissions"
)
service = Family(
    "Lambda service", "AWS documentation: Lambda Developer Guide, Function states; Troubleshoot invocation"
)

ADMIN = f"arn:aws:iam::{ACCOUNT}:user/admin"


def statement(**changes: Any) -> dict[str, Any]:
    return {
        "Sid": "SecretsManagerAccess",
        "Effect": "Allow",
        "Principal": {"Service": "secretsmanager.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": FUNCTION,
        **changes,
    }


@invoke.fault("invoke-permission-missing")
def the_function_has_no_policy(account: Account) -> None:
    account.failing()
    account.function_policy = None


@invoke.fault("invoke-permission-missing")
def another_service_may_invoke_it(account: Account) -> None:
    account.failing()
    account.function_policy = policy(statement(Principal={"Service": "events.amazonaws.com"}))


@invoke.fault(
    "invoke-permission-missing", source="public thread: aws-cdk#26512, a permission made too late or replaced"
)
def it_may_be_read_but_not_invoked(account: Account) -> None:
    account.failing(retries=3)
    account.function_policy = policy(statement(Action="lambda:GetFunction"))


@invoke.fault("invoke-permission-condition")
def of_another_account(account: Account) -> None:
    account.failing()
    account.function_policy = policy(statement(Condition={"StringEquals": {"AWS:SourceAccount": "999988887777"}}))


@invoke.fault("invoke-permission-condition")
def for_another_secret(account: Account) -> None:
    account.failing()
    account.function_policy = policy(statement(Condition={"ArnLike": {"AWS:SourceArn": OTHER_SECRET}}))


@invoke.fault("invoke-permission-condition")
def for_an_organisation_only(account: Account) -> None:
    account.failing()
    account.function_policy = policy(statement(Condition={"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}))


def _policies(by_qualifier: dict[str | None, dict[str, Any] | None]) -> Any:
    def reply(parameters: Any) -> Any:
        found = by_qualifier.get(parameters.get("Qualifier"))
        if found is None:
            return refusal("GetPolicy", "ResourceNotFoundException", "The resource you requested does not exist.")
        return {"Policy": json.dumps(found)}

    return reply


@invoke.fault("invoke-permission-qualifier")
def the_secret_uses_an_alias(account: Account) -> None:
    account.uses(f"{FUNCTION}:live")
    account.failing()
    account.replies["lambda:GetPolicy"] = _policies({None: policy(statement())})


@invoke.fault("invoke-permission-qualifier")
def the_permission_is_on_an_alias(account: Account) -> None:
    account.failing()
    account.replies["lambda:ListAliases"] = {
        "Aliases": [{"Name": "live", "AliasArn": f"{FUNCTION}:live", "FunctionVersion": "7"}]
    }
    account.replies["lambda:GetPolicy"] = _policies({"live": policy(statement(Resource=f"{FUNCTION}:live"))})


@invoke.fault("invoke-permission-missing")
def the_alias_of_the_secret_has_none_anywhere(account: Account) -> None:
    account.uses(f"{FUNCTION}:live")
    account.failing()
    account.function_policy = None


@invoke.nothing(*HEALTHY)
def an_alias_with_its_permission(account: Account) -> None:
    account.uses(f"{FUNCTION}:live")
    account.replies["lambda:GetPolicy"] = _policies({"live": policy(statement(Resource=f"{FUNCTION}:live"))})


@invoke.nothing(*HEALTHY)
def without_a_condition(account: Account) -> None:
    account.function_policy = policy(statement())


@invoke.nothing(*HEALTHY)
def by_a_wildcard_and_among_other_services(account: Account) -> None:
    services = {"Service": ["events.amazonaws.com", "secretsmanager.amazonaws.com"]}
    account.function_policy = policy(
        statement(Sid="other", Principal={"Service": "s3.amazonaws.com"}),
        statement(Principal=services, Action="lambda:*"),
    )


@invoke.nothing(*HEALTHY)
def for_this_secret_only(account: Account) -> None:
    condition = {"StringEquals": {"AWS:SourceAccount": ACCOUNT}, "ArnLike": {"AWS:SourceArn": SECRET}}
    account.function_policy = policy(statement(Condition=condition))


@invoke.nothing(*HEALTHY)
def a_statement_of_another_account_beside_the_right_one(account: Account) -> None:
    account.function_policy = policy(
        statement(Sid="old", Condition={"StringEquals": {"AWS:SourceAccount": "999988887777"}}),
        statement(Condition={"StringEquals": {"aws:sourceaccount": ACCOUNT}}),
    )


@invoke.fault("function-missing")
def the_function_is_gone(account: Account) -> None:
    account.failing()
    account.lose("lambda:GetFunctionConfiguration", message=f"Function not found: {FUNCTION}")
    account.lose("lambda:GetPolicy")
    account.lose("lambda:GetFunctionConcurrency")


@invoke.fault("function-missing")
def the_function_was_deleted_by_a_person(account: Account) -> None:
    the_function_is_gone(account)
    account.call(
        "DeleteFunction20150331",
        by=ADMIN,
        at=ago(days=5),
        parameters={"functionName": "rotate-orders"},
        source="lambda.amazonaws.com",
    )


@invoke.fault("function-wrong-region", also=("function-missing",))
def the_function_is_in_another_region(account: Account) -> None:
    account.uses(FUNCTION.replace(REGION, "us-west-2"))
    account.failing()
    said = f"Functions from 'us-west-2' are not reachable in this region ('{REGION}')"
    for operation in ("GetFunctionConfiguration", "GetPolicy", "GetFunctionConcurrency"):
        account.lose(f"lambda:{operation}", message=said)


# The service.


@service.fault("lambda-concurrency-zero")
def the_consoles_throttle_button(account: Account) -> None:
    account.failing(retries=2)
    account.replies["lambda:GetFunctionConcurrency"] = {"ReservedConcurrentExecutions": 0}


@service.nothing(*HEALTHY)
def some_concurrency_is_reserved(account: Account) -> None:
    account.replies["lambda:GetFunctionConcurrency"] = {"ReservedConcurrentExecutions": 5}


@service.fault("lambda-throttled", source="AWS documentation: Troubleshoot rotation, concurrency-related failures")
def the_account_has_no_concurrency_left(account: Account) -> None:
    account.failing(retries=2)
    account.metrics["Throttles"] = 12


def _state(account: Account, state: str, code: str, reason: str) -> None:
    account.failing()
    account.in_vpc()
    account.configuration |= {"State": state, "StateReasonCode": code, "StateReason": reason}


@service.fault("lambda-eni-unavailable")
def no_address_is_free(account: Account) -> None:
    _state(account, "Inactive", "SubnetOutOfIPAddresses", "The subnet subnet-private-a has no free addresses.")
    assert account.vpc
    account.vpc.subnets[0]["AvailableIpAddressCount"] = 0


@service.fault("lambda-eni-unavailable")
def the_role_may_not_make_interfaces(account: Account) -> None:
    reason = "The function's execution role doesn't have permission to create a network interface."
    _state(account, "Failed", "InsufficientRolePermissions", reason)
    account.role_policies.pop("vpc")


@service.fault("lambda-eni-unavailable")
def the_quota_of_interfaces_is_reached(account: Account) -> None:
    _state(account, "Inactive", "EniLimitExceeded", "The limit of network interfaces was reached.")


@service.fault("lambda-state-not-active")
def the_function_failed(account: Account) -> None:
    account.failing()
    account.configuration |= {
        "State": "Failed",
        "StateReasonCode": "InternalError",
        "StateReason": "There was an error creating the function. Please try again.",
    }


@service.nothing(
    *AT_RISK,
    notes=("lambda-state-not-active",),
    source="AWS documentation: Lambda Developer Guide, Function states; the former version goes on being invoked",
)
def its_last_update_failed(account: Account) -> None:
    account.configuration |= {
        "LastUpdateStatus": "Failed",
        "LastUpdateStatusReason": "The function could not be updated due to an internal error.",
        "LastUpdateStatusReasonCode": "InternalError",
    }


@service.nothing(*HEALTHY)
def it_sleeps_since_it_was_idle(account: Account) -> None:
    account.configuration |= {
        "State": "Inactive",
        "StateReasonCode": "Idle",
        "StateReason": "The function is idle and its resources have been reclaimed.",
    }


@service.fault("lambda-env-kms-denied", source="AWS documentation: re:Post, KMS access denied from Lambda")
def its_variables_cannot_be_decrypted(account: Account) -> None:
    account.failing()
    account.configuration["KMSKeyArn"] = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/99999999-0000-4000-8000-000000000000"
    account.configuration["Environment"] = {
        "Error": {
            "ErrorCode": "AccessDeniedException",
            "Message": "Lambda was unable to decrypt the environment variables because KMS access was denied. Please "
            "check the function's AWS KMS key settings. KMS Exception: AccessDeniedException",
        }
    }


@service.nothing(*AT_RISK, notes=("lambda-runtime-deprecated",))
def its_runtime_has_ended(account: Account) -> None:
    account.configuration["Runtime"] = "python3.7"


@service.nothing(*HEALTHY)
def a_function_of_node(account: Account) -> None:
    account.configuration |= {"Runtime": "nodejs22.x", "Handler": "index.handler"}
    account.configuration["Environment"] = {"Variables": {}}


@service.nothing(*HEALTHY)
def a_function_in_an_image(account: Account) -> None:
    for member in ("Runtime", "Handler"):
        account.configuration.pop(member)
    account.configuration |= {"PackageType": "Image", "Architectures": ["arm64"]}


@service.fault("lambda-out-of-memory")
def killed_for_its_memory(account: Account) -> None:
    account.failing("setSecret")
    account.ran(
        lines.CREDENTIALS,
        lines.info(f"createSecret: Successfully put secret for ARN {SECRET} and version v."),
        lines.Bare("RequestId: {request_id} Error: Runtime exited with error: signal: killed\nRuntime.ExitError\n"),
        memory=(128, 128),
        ms=4210.5,
        status="error",
        error_type="Runtime.ExitError",
    )


@service.fault(
    "lambda-out-of-memory", source="AWS documentation: Lambda Telemetry API event schema, errorType Runtime.OutOfMemory"
)
def killed_for_its_memory_as_json(account: Account) -> None:
    account.json_log = True
    account.configuration["LoggingConfig"]["LogFormat"] = "JSON"
    account.failing("setSecret")
    account.ran(lines.CREDENTIALS, memory=(128, 128), ms=4210.5, status="error", error_type="Runtime.OutOfMemory")


@service.fault("lambda-init-timeout")
def it_takes_too_long_to_load(account: Account) -> None:
    account.failing()

    account.raw(
        "INIT_REPORT Init Duration: 10007.33 ms\tPhase: init\tStatus: timeout\n",
        "INIT_REPORT Init Duration: 30012.00 ms\tPhase: invoke\tStatus: timeout\n",
        "START RequestId: 8f000000-0000-4000-8000-000000000001 Version: $LATEST\n",
        "2026-11-27T10:59:59.100Z 8f000000-0000-4000-8000-000000000001 Task timed out after 30.01 seconds\n\n",
        "END RequestId: 8f000000-0000-4000-8000-000000000001\n",
        "REPORT RequestId: 8f000000-0000-4000-8000-000000000001\tDuration: 30012.00 ms\tBilled Duration: 30000 ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 61 MB\tStatus: timeout\n",
        at=FAILED_AT,
    )
