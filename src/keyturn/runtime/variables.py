"""The environment variables of a function, as Lambda sets them.

Source: AWS Lambda Developer Guide, "Defined runtime environment variables". A function's own variables win over the
presets and lose against the reserved ones, which the Lambda API refuses to set in the first place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from keyturn.runtime.spec import FunctionSpec, RoleCredentials, RuntimeSettings

RESERVED = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "AWS_LAMBDA_METADATA_API",
        "AWS_LAMBDA_METADATA_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)


def function_environment(
    spec: FunctionSpec,
    settings: RuntimeSettings,
    credentials: RoleCredentials,
    *,
    log_stream: str,
    runtime_api: str,
    task_root: Path,
    layers: Path,
    runtime_directory: Path,
    temporary: Path,
    ca_bundle: Path | None,
    endpoints: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """All variables of a function's process; secret ones included, so the result is shown to nobody.

    Args:
        spec: The function.
        settings: Where this server is.
        credentials: Session of the execution role.
        log_stream: Name of the environment's log stream.
        runtime_api: ``host:port`` of the environment's Runtime API.
        task_root: Where the process sees the function's code.
        layers: Where it sees its layers, laid over each other.
        runtime_directory: Where it sees awslambdaric and boto3.
        temporary: Where it may write.
        ca_bundle: Certificates it needs for this server, as it sees them; None if the usual ones do.
        endpoints: Where this server is in the function's own network; None if it has the machine's.
    """
    if endpoints is None:
        # AWS's own rotation functions read the second one.
        endpoints = {"AWS_ENDPOINT_URL": settings.endpoint_url, "SECRETS_MANAGER_ENDPOINT": settings.endpoint_url}
    own = {name: value for name, value in spec.environment.items() if name not in RESERVED}
    python_path = [own.pop("PYTHONPATH", "")]
    if spec.layers:
        python_path += [f"{layers}/python/lib/{spec.runtime}/site-packages", f"{layers}/python"]
    # awslambdaric must be found whatever the function asks for.
    python_path.append(str(runtime_directory))
    return {
        **endpoints,
        **_presets(task_root, layers, runtime_directory, temporary, ca_bundle),
        **_logging(spec),
        **own,
        "PYTHONPATH": ":".join(filter(None, python_path)),
        "_HANDLER": spec.handler,
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key.reveal(),
        "AWS_SESSION_TOKEN": credentials.session_token.reveal(),
        "AWS_DEFAULT_REGION": spec.place.region,
        "AWS_REGION": spec.place.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{spec.runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": spec.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": spec.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "LAMBDA_RUNTIME_DIR": str(runtime_directory),
        "LAMBDA_TASK_ROOT": str(task_root),
    }


def _logging(spec: FunctionSpec) -> dict[str, str]:
    """What awslambdaric is told of the function's LoggingConfig."""
    if spec.log_format != "JSON":
        return {}
    return {"AWS_LAMBDA_LOG_FORMAT": spec.log_format, "AWS_LAMBDA_LOG_LEVEL": spec.application_log_level}


def _presets(
    task_root: Path,
    layers: Path,
    runtime_directory: Path,
    temporary: Path,
    ca_bundle: Path | None,
) -> dict[str, str]:
    presets = {
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": f"/lib64:/usr/lib64:{runtime_directory}:{task_root}:{task_root}/lib:{layers}/lib",
        "PATH": f"/usr/local/bin:/usr/bin/:/bin:{layers}/bin",
        "TZ": ":UTC",
    }
    if temporary != Path("/tmp"):  # noqa: S108 - the function's own /tmp, which Lambda promises
        presets["TMPDIR"] = str(temporary)
    if ca_bundle is not None:
        presets["AWS_CA_BUNDLE"] = str(ca_bundle)
    return presets
