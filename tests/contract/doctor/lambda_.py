"""Does Lambda run the function?"""

from __future__ import annotations

from .world import KEY, World, ago

NO_DRIVER = "Unable to import module 'lambda_function': No module named 'pg'"


def lambda_import_error(world: World) -> None:
    world.fail()
    world.run(f"[ERROR] Runtime.ImportModuleError: {NO_DRIVER}\nTraceback (most recent call last):", secret=None)


def lambda_native_module_mismatch(world: World) -> None:
    world.fail()
    said = "Unable to import module 'lambda_function': No module named '_pg'"
    world.run(f"[ERROR] Runtime.ImportModuleError: {said}\nTraceback (most recent call last):", secret=None)


def lambda_syntax_error(world: World) -> None:
    world.fail()
    said = "Syntax error in module 'lambda_function': invalid syntax (__init__.py, line 3)"
    world.run(f"[ERROR] Runtime.UserCodeSyntaxError: {said}\nTraceback (most recent call last):", secret=None)


def lambda_handler_missing(world: World) -> None:
    world.fail()
    said = "Handler 'lambda_handler' missing on module 'lambda_function'"
    world.run(f"[ERROR] Runtime.HandlerNotFound: {said}\nTraceback (most recent call last):", secret=None)


def lambda_out_of_memory(world: World) -> None:
    world.fail("setSecret")
    world.run(
        "RequestId: 00000000-0000-0000-0000-0000000003e8 Error: Runtime exited with error: signal: killed\n"
        "Runtime.ExitError",
        memory=(128, 128),
    )


def lambda_init_timeout(world: World) -> None:
    world.fail()
    world.run("INIT_REPORT Init Duration: 10000.12 ms\tPhase: init\tStatus: timeout", secret=None, timed_out=30)


def lambda_concurrency_zero(world: World) -> None:
    world.fail()
    world.replies["lambda:GetFunctionConcurrency"] = {"ReservedConcurrentExecutions": 0}


def lambda_throttled(world: World) -> None:
    world.fail()
    world.replies["cloudwatch:GetMetricStatistics"] = {"Datapoints": [{"Sum": 3.0, "Timestamp": ago(hours=1)}]}


def lambda_state_not_active(world: World) -> None:
    world.configuration.update(State="Failed", StateReason="The image is gone.", StateReasonCode="ImageDeleted")
    world.fail()


def lambda_env_kms_denied(world: World) -> None:
    world.configuration["KMSKeyArn"] = KEY
    error = {"ErrorCode": "KMSDisabledException", "Message": "Lambda was unable to decrypt the variables."}
    world.configuration["Environment"] = {"Error": error}
    world.replies["kms:DescribeKey"] = {"KeyMetadata": {"Arn": KEY, "KeyState": "Disabled"}}
    world.fail()


def lambda_runtime_deprecated(world: World) -> None:
    world.configuration["Runtime"] = "python3.7"
