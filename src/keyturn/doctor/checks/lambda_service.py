"""Does Lambda run the function? Its package, its memory, its state, its concurrency."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from shlex import quote
from typing import Any

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, check
from keyturn.doctor.facts import Answer, Kind
from keyturn.doctor.lines import LineCause, enter, finding_of, newest_said
from keyturn.doctor.model import Cause, Change, Confidence, Evidence, Finding, Fix, Remedy, Role, Section, Topic
from keyturn.doctor.own_functions import meant_handler
from keyturn.doctor.remedies import configure, go_on
from keyturn.doctor.runtimes import DEPRECATED_FROM

_LOG = ("logs:FilterLogEvents",)
_CONFIGURATION = "lambda:GetFunctionConfiguration"
# A name that begins with an underscore is a compiled part of a package, by custom of nearly all of them.
_COMPILED = re.compile(
    r"Runtime\.ImportModuleError: (?P<why>[^\n]*(?:No module named '(?:[\w.]+\.)?_\w+'|\.so\b|ELF header|GLIBC_"
    r"|cpython-\d+|cannot open shared object)[^\n]*)"
)
# The module that the handler names is not there itself, or the folder that it is said to be in.
_NO_MODULE = (
    r"Runtime\.ImportModuleError: (?P<gone>Unable to import module '(?P<module>[^'\n]+?)(?:\.[^'\n]*)?':"
    r" No module named '(?P=module)'[^\n\r]*)"
)
_UPLOAD = "aws lambda update-function-code --function-name {function} --zip-file fileb://function.zip"

HANDLER = LineCause(
    Cause(
        id="lambda-handler-missing",
        section=Section.FUNCTION,
        topic=Topic.BEYOND,
        title="The function's handler does not exist",
        symptoms=(
            "Runtime.HandlerNotFound: Handler 'lambda_handler' missing on module 'lambda_function'",
            "Runtime.MalformedHandlerName: Bad handler",
            "Unable to import module 'lambda_function': No module named 'lambda_function'",
        ),
        evidence=_LOG,
        decision="The newest failed invocation of this secret says that the handler is missing or its name is"
        " none, or that the module is not there which the handler names.",
        remedy="Set the handler to MODULE.NAME: the file at the top of the package, and the function in it. If the"
        " handler is right, upload a package that has the file at its top, not in a folder.",
        tried_by=("function.import",),
    ),
    re.compile(rf"{_NO_MODULE}|Runtime\.(?:HandlerNotFound|MalformedHandlerName): (?P<why>[^\n\r]*)"),
    "the function {function} cannot be started: {gone}{why}",
    "Set the handler to MODULE.NAME: the file at the top of the package, and the function in it; the function's code"
    " has their names. If the handler is right, upload a package that has the file at its top, not in a folder.",
    by_hand=("aws lambda update-function-configuration --function-name {function} --handler MODULE.NAME",),
)


@check(HANDLER.cause)
def lambda_handler_missing(case: Case) -> Iterator[Finding]:
    """Look for a handler that is not there; of a function that Keyturn has made, say which one it is to have."""
    for finding in HANDLER(case):
        yield replace(finding, remedy=with_handler(case, finding.remedy))


def with_handler(case: Case, otherwise: Remedy) -> Remedy:
    """Return what sets the handler that a function of Keyturn's making was to have; what helps otherwise if it has."""
    meant = meant_handler(case)
    text = f"Set the handler to {meant}, with which Keyturn has made this function."
    return Remedy(text, (configure(case, Handler=meant),)) if meant else otherwise


enter(
    LineCause(
        Cause(
            id="lambda-import-error",
            section=Section.FUNCTION,
            topic=Topic.BEYOND,
            title="The function's package lacks a module",
            symptoms=(
                "[ERROR] Runtime.ImportModuleError: Unable to import module 'lambda_function': No module named 'pg'",
                "Unable to import module 'lambda_function': No module named 'psycopg2'",
                "No module named 'pymysql'",
            ),
            evidence=_LOG,
            decision="The newest failed invocation of this secret says Runtime.ImportModuleError.",
            remedy="Build the package with the module in it and upload it. AWS's functions for PostgreSQL import pg and"
            " pgdb from the distribution PyGreSQL; the distribution pg is something else.",
            tried_by=("function.import",),
        ),
        re.compile(r"Runtime\.ImportModuleError: (?P<why>[^\n\r]*)"),
        "the function {function} cannot be loaded: {why}",
        "Put the module into the package, and upload it.",
        unless=re.compile(f"{_COMPILED.pattern.replace('?P<why>', '?:')}|{_NO_MODULE}"),
        by_hand=(_UPLOAD,),
    ),
    LineCause(
        Cause(
            id="lambda-native-module-mismatch",
            section=Section.FUNCTION,
            topic=Topic.BEYOND,
            title="A compiled module of the package was built for another runtime or architecture",
            symptoms=(
                "Unable to import module 'lambda_function': No module named '_pg'",
                "No module named 'pymssql._pymssql'",
                "/var/task/_pg.cpython-37m-x86_64-linux-gnu.so",
                "invalid ELF header",
                "version `GLIBC_2.28' not found",
            ),
            evidence=_LOG,
            decision="The newest failed invocation of this secret cannot import a compiled module. Usually the runtime"
            " was raised after the package had been built.",
            remedy="Build the package for the function's runtime and architecture, or create the function anew from"
            " the template. Until then the former runtime does, if it can still be set.",
            tried_by=("function.import",),
        ),
        _COMPILED,
        "the function {function} has a compiled module that its runtime cannot load: {why}",
        "Build the package for the function's runtime and architecture, and upload it.",
        Confidence.LIKELY,
        by_hand=(_UPLOAD,),
    ),
    LineCause(
        Cause(
            id="lambda-syntax-error",
            section=Section.FUNCTION,
            topic=Topic.BEYOND,
            title="The function's code is no valid Python for its runtime",
            symptoms=(
                (
                    "Runtime.UserCodeSyntaxError: Syntax error in module 'lambda_function': invalid syntax"
                    " (__init__.py, line 3)"
                ),
                "Runtime.UserCodeSyntaxError",
            ),
            evidence=_LOG,
            decision="The newest failed invocation of this secret says Runtime.UserCodeSyntaxError. In"
            " /var/task/pg/__init__.py it is the wrong package: pg instead of PyGreSQL.",
            remedy="Correct the code, or replace the package pg by PyGreSQL, and upload it.",
            tried_by=("function.import",),
        ),
        re.compile(r"Runtime\.UserCodeSyntaxError: (?P<why>[^\n\r]*)"),
        "the function {function} cannot be loaded: {why}",
        "Correct the code (in pg/__init__.py: replace the package pg by PyGreSQL), and upload it.",
        by_hand=(_UPLOAD,),
    ),
    LineCause(
        Cause(
            id="lambda-init-timeout",
            section=Section.FUNCTION,
            topic=Topic.BEYOND,
            title="The function does not get ready in time",
            symptoms=("INIT_REPORT Init Duration: 10000.12 ms Phase: init Status: timeout", "Sandbox.Timedout"),
            evidence=_LOG,
            decision="The newest failed invocation of this secret has an INIT_REPORT with the status timeout: what the"
            " module does while it is imported takes longer than 10 seconds, often a call over the network.",
            remedy="Move calls from the module into the handler, or give the function more memory, which is more"
            " processor as well.",
            outranks=("function-timeout-too-short",),
        ),
        re.compile(r"INIT_REPORT Init Duration: (?P<ms>[\d.]+) ms\s+Phase: \w+\s+Status: timeout"),
        "the function {function} is not ready after {ms} ms: its module takes too long to be imported",
        "Move calls from the module into the handler, or raise the memory.",
        Confidence.LIKELY,
    ),
)


OUT_OF_MEMORY = Cause(
    id="lambda-out-of-memory",
    section=Section.FUNCTION,
    topic=Topic.BEYOND,
    title="The function needs more memory than it has",
    symptoms=("Runtime exited with error: signal: killed", "Runtime.OutOfMemory", "[ERROR] MemoryError"),
    evidence=_LOG,
    decision="The newest failed invocation of this secret was killed, and it had used all of its memory; or it says"
    " itself that memory has run out.",
    remedy="Double the function's memory.",
    fix=Fix.SAFE,
)
_KILLED = re.compile(r"Runtime\.OutOfMemory|signal: killed|\bMemoryError\b|java\.lang\.OutOfMemoryError")
_NEARLY_ALL = 0.95


@check(OUT_OF_MEMORY)
def lambda_out_of_memory(case: Case) -> Iterator[Finding]:
    """Look for a run that was killed with all of its memory in use."""
    said = newest_said(case, _KILLED)
    if said is None:
        return
    size, used = said.run.memory_mb, said.run.max_memory_mb
    is_full = bool(size and used and used >= _NEARLY_ALL * size)
    if not is_full and "signal: killed" in said.match[0] and "Runtime.OutOfMemory" not in said.run.text:
        return
    had = size or int(case.configuration.found.get("MemorySize", 128))
    yield finding_of(
        case,
        said,
        OUT_OF_MEMORY,
        f"the function {case.function_name} has run out of memory: it had {had} MB"
        + (f" and used {used}" if used else ""),
        Remedy("Give it twice as much.", (configure(case, MemorySize=min(2 * had, 10_240)),)),
    )


CONCURRENCY_ZERO = Cause(
    id="lambda-concurrency-zero",
    section=Section.FUNCTION,
    topic=Topic.BEYOND,
    title="The function's reserved concurrency is 0: nobody can invoke it",
    symptoms=(
        "TooManyRequestsException",
        "ReservedFunctionConcurrentInvocationLimitExceeded",
        "ReservedConcurrentExecutions: 0",
    ),
    evidence=("lambda:GetFunctionConcurrency",),
    decision="GetFunctionConcurrency answers ReservedConcurrentExecutions 0: the console's Throttle button sets it.",
    remedy="Take the reservation away.",
    fix=Fix.SAFE,
    outranks=("lambda-throttled",),
)


@check(CONCURRENCY_ZERO)
def lambda_concurrency_zero(case: Case) -> Iterator[Finding]:
    """Look for a reservation of nothing."""
    reserved = _of_function(case, case.concurrency.value).get("ReservedConcurrentExecutions")
    if reserved != 0:
        return
    yield Finding(
        CONCURRENCY_ZERO,
        f"the function {case.function_name} is throttled to nothing: its reserved concurrency is 0",
        (
            Evidence(
                "lambda:GetFunctionConcurrency",
                case.function_name,
                {"ReservedConcurrentExecutions": 0},
            ),
        ),
        Remedy(
            "Take the reservation away.",
            (Change("lambda", "DeleteFunctionConcurrency", {"FunctionName": case.function_id}),),
        ),
        step=case.failed_step,
    )


THROTTLED = Cause(
    id="lambda-throttled",
    section=Section.FUNCTION,
    topic=Topic.BEYOND,
    title="Lambda had no capacity left for the function when it was to rotate",
    symptoms=("Rate Exceeded.", "TooManyRequestsException", "Throttles"),
    evidence=("cloudwatch:GetMetricStatistics", "cloudtrail:LookupEvents"),
    decision="The newest RotationFailed has no line in the log, and the metric AWS/Lambda Throttles is above 0 in"
    " those minutes.",
    remedy="Raise or remove the function's reservation, or ask for a higher quota of concurrent executions; on Keyturn,"
    " raise the settings max_environments and max_environments_per_function.",
    fix=Fix.PRINTED,
)


@check(THROTTLED)
def lambda_throttled(case: Case) -> Iterator[Finding]:
    """Look for throttles at the moment of a failure that has left no line."""
    _ = case.failures, case.log_events.kind is Kind.GONE or case.log_events.value
    failure = case.silent_failure
    if failure is None:
        raise Skip("no failure without a line in the log")
    points = case.metric("Throttles").value.get("Datapoints", [])
    throttled = int(sum(point.get("Sum", 0) for point in points))
    if not throttled:
        return
    concurrency = case.concurrency.found if case.concurrency.kind is Kind.OK else {}
    reserved = concurrency.get("ReservedConcurrentExecutions")
    if reserved:
        title = (
            f"{case.function_name} was throttled when it was to rotate {case.name}: {reserved} of its invocations ran"
        )
        remedy = Remedy(
            f"Take its reservation of {reserved} away, unless it is to protect something; else raise it.",
            (Change("lambda", "DeleteFunctionConcurrency", {"FunctionName": case.function_id}), go_on(case)),
        )
    else:
        title = f"{case.function_name} was throttled when it was to rotate {case.name}: too many functions ran"
        remedy = Remedy(
            "Ask AWS for a higher quota of concurrent executions; on Keyturn, raise the setting max_environments or"
            " max_environments_per_function."
        )
    yield Finding(
        THROTTLED,
        title,
        (
            Evidence("cloudwatch:GetMetricStatistics", case.function_name, {"Throttles": throttled}, failure.at),
            failure.evidence(),
        ),
        remedy,
        confidence=Confidence.LIKELY,
        step=failure.step,
    )


NOT_ACTIVE = Cause(
    id="lambda-state-not-active",
    section=Section.FUNCTION,
    topic=Topic.BEYOND,
    title="The function's state does not let it be invoked",
    symptoms=(
        (
            "ResourceConflictException: The operation cannot be performed at this time. The function is currently in"
            " the following state: Pending"
        ),
        "ResourceNotReadyException",
        "CodeArtifactUserFailedException",
    ),
    evidence=(_CONFIGURATION,),
    decision="GetFunctionConfiguration shows State Failed, or Pending for longer than six minutes. LastUpdateStatus"
    " Failed is a risk: the function still runs as it was before. Inactive is normal: the first call wakes it.",
    remedy="Any change of the configuration takes a function out of Pending; create it anew if it has failed.",
)
# Of these the network tells more.
_OF_NETWORK = frozenset(
    {
        "EniLimitExceeded",
        "SubnetOutOfIPAddresses",
        "InsufficientRolePermissions",
        "InvalidSubnet",
        "InvalidSecurityGroup",
    }
)
_PENDING_FOR = timedelta(minutes=6)


@check(NOT_ACTIVE)
def lambda_state_not_active(case: Case) -> Iterator[Finding]:
    """Look at the function's state."""
    configuration = _of_function(case, case.configuration.value)
    state, update = configuration.get("State", "Active"), configuration.get("LastUpdateStatus", "Successful")
    code = configuration.get("StateReasonCode") or configuration.get("LastUpdateStatusReasonCode") or ""
    changed_at = case.function_changed_at
    is_stuck = state == "Pending" and (changed_at is None or case.now - changed_at > _PENDING_FOR)
    if code in _OF_NETWORK or not (is_stuck or state == "Failed" or update == "Failed"):
        return
    reason = configuration.get("StateReason") or configuration.get("LastUpdateStatusReason") or ""
    is_down = is_stuck or state == "Failed"
    what = f"is in the state {state}" if is_down else "could not be updated"
    seen = {name: configuration[name] for name in _STATES if name in configuration}
    yield Finding(
        NOT_ACTIVE,
        f"the function {case.function_name} {what}" + (f": {str(reason).rstrip('.')}" if reason else ""),
        (Evidence(_CONFIGURATION, case.function_name, seen),),
        Remedy(
            "Change any of its configuration to take it out of Pending; if it has failed, create it anew.",
            by_hand=(f"aws lambda get-function-configuration --function-name {quote(case.function_id)}",),
        ),
        role=Role.CAUSE if is_down else Role.RISK,
        step=case.failed_step,
    )


_STATES = (
    "State",
    "StateReason",
    "StateReasonCode",
    "LastUpdateStatus",
    "LastUpdateStatusReason",
    "LastUpdateStatusReasonCode",
)

ENVIRONMENT_KEY = Cause(
    id="lambda-env-kms-denied",
    section=Section.FUNCTION,
    topic=Topic.BEYOND,
    title="Lambda cannot decrypt the function's environment variables",
    symptoms=(
        (
            "KMSAccessDeniedException: Lambda was unable to decrypt the environment variables because KMS access was"
            " denied. Please check the function's AWS KMS key settings."
        ),
        "KMSDisabledException",
        "KMSNotFoundException",
        "KMSInvalidStateException",
    ),
    evidence=(_CONFIGURATION, "kms:DescribeKey"),
    decision="GetFunctionConfiguration shows Environment.Error, or the key of the variables is not enabled. It happens"
    " when the role was deleted and made again under the same name, too: the key's grant was to the former one.",
    remedy="Enable the key. If it is enabled, give the function another role and its own again, which renews the"
    " grant.",
    fix=Fix.PRINTED,
)


@check(ENVIRONMENT_KEY)
def lambda_env_kms_denied(case: Case) -> Iterator[Finding]:
    """Look whether the variables can be decrypted."""
    configuration = _of_function(case, case.configuration.value)
    error = (configuration.get("Environment") or {}).get("Error") or {}
    # What Lambda answers is enough, whether the key may be looked at or not.
    state = "" if error and not _is_seen(case.function_key) else _key_state(case)
    if not error and state in ("", "Enabled"):
        return
    evidence = []
    if error:
        evidence.append(Evidence(_CONFIGURATION, case.function_name, {"Environment": {"Error": error}}))
    if state not in ("", "Enabled"):
        evidence.append(Evidence("kms:DescribeKey", str(configuration.get("KMSKeyArn")), {"KeyState": state}))
    why = f"its key is {state}" if state not in ("", "Enabled") else str(error.get("ErrorCode", "KMS access denied"))
    enable = Change("kms", "EnableKey", {"KeyId": configuration.get("KMSKeyArn")})
    name = case.function_name
    yield Finding(
        ENVIRONMENT_KEY,
        f"Lambda cannot decrypt the environment variables of {case.function_name}: {why}",
        tuple(evidence),
        Remedy(
            "Enable the key; if it is enabled, set another role and then this one again, which renews the grant.",
            (enable,) if state == "Disabled" else (),
            by_hand=(
                f"aws lambda update-function-configuration --function-name {quote(name)} --role ANOTHER_ROLE_ARN",
                f"aws lambda update-function-configuration --function-name {quote(name)} --role {quote(case.role_arn)}",
            ),
        ),
    )


RUNTIME = Cause(
    id="lambda-runtime-deprecated",
    section=Section.FUNCTION,
    topic=Topic.BEYOND,
    title="AWS has deprecated the function's runtime",
    symptoms=("InvalidRuntimeException", "The runtime parameter is no longer supported for creating or updating"),
    evidence=(_CONFIGURATION,),
    decision="The runtime is past the day that AWS names in its table of runtimes. The function still runs, without"
    " updates; some months later it can be changed no more.",
    remedy="Build the package for a supported runtime and set that. For functions that a template made, set its Runtime"
    " and deploy again.",
    fix=Fix.PRINTED,
)


@check(RUNTIME)
def lambda_runtime_deprecated(case: Case) -> Iterator[Finding]:
    """Compare the runtime with AWS's table."""
    runtime = str(_of_function(case, case.configuration.value).get("Runtime", ""))
    ends = DEPRECATED_FROM.get(runtime)
    if ends is None or case.now.date() < ends:
        return
    yield Finding(
        RUNTIME,
        f"the function {case.function_name} runs on {runtime}, which AWS has deprecated on {ends:%Y-%m-%d}",
        (Evidence(_CONFIGURATION, case.function_name, {"Runtime": runtime}),),
        Remedy("Build the package for a supported runtime, then set that together with the package."),
        role=Role.RISK,
    )


def _of_function(case: Case, reply: Mapping[str, Any]) -> Mapping[str, Any]:
    if not case.function_arn:
        raise Skip("there is no function")
    return reply


def _is_seen(answer: Answer | None) -> bool:
    return answer is not None and answer.kind is Kind.OK


def _key_state(case: Case) -> str:
    key = case.function_key
    return "" if key is None else str(key.value["KeyMetadata"].get("KeyState", ""))
