"""A function's configuration: what may be asked for, and how it is shown.

Sources: AWS Lambda API Reference, "FunctionConfiguration"; AWS Lambda Developer Guide, "Lambda quotas" and "Using
Lambda environment variables"; texts as recorded by localstack.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from keyturn.arn import Place
from keyturn.errors.lambda_ import InvalidParameterValueException
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.logging_config import logging_of
from keyturn.operations.lambda_.names import version_text
from keyturn.operations.sealing import open_environment
from keyturn.runtime.variables import RESERVED
from keyturn.storage.functions import FunctionRecord
from keyturn.wire.types.lambda_ import FunctionConfiguration

DEFAULT_TIMEOUT_SECONDS = 3
DEFAULT_MEMORY_MB = 128
DEFAULT_EPHEMERAL_STORAGE_MB = 512
ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
_ENVIRONMENT_LIMIT_BYTES = 4096

# Members that Keyturn cannot honour yet, with those of their values that ask for nothing: deployment tools send many
# of them always. Whatever asks for something is refused: a function without what it needs is not what was meant.
_ASKS_FOR_NOTHING: Mapping[str, Callable[[Any], bool]] = {
    "PackageType": lambda value: value == "Zip",
    "Architectures": lambda value: value == [ARCHITECTURE],
    "DeadLetterConfig": lambda value: not any(value.values()),
    "TracingConfig": lambda value: value.get("Mode", "PassThrough") == "PassThrough",
    "SnapStart": lambda value: value.get("ApplyOn", "None") == "None",
    "ImageConfig": lambda value: not any(value.values()),
    "KMSKeyArn": lambda value: not value,
    "SourceKMSKeyArn": lambda value: not value,
    "FileSystemConfigs": lambda value: not value,
    "CodeSigningConfigArn": lambda value: not value,
    "PublishTo": lambda value: not value,
    "TenancyConfig": lambda value: not value,
    "CapacityProviderConfig": lambda value: not value,
    "DurableConfig": lambda value: not value,
    "RuntimeConfig": lambda value: not value,
    "AcceleratorConfig": lambda value: not value,
}


def refuse_what_is_not_offered(request: Mapping[str, Any]) -> None:
    """Return if Keyturn can do everything that the request asks for.

    Raises:
        InvalidParameterValueException: It cannot; the message names the member.
    """
    for member, asks_for_nothing in _ASKS_FOR_NOTHING.items():
        if member in request and not asks_for_nothing(request[member]):
            hint = f" This server runs {ARCHITECTURE} functions." if member == "Architectures" else ""
            raise InvalidParameterValueException(f"Keyturn does not offer this value of {member}.{hint}")


def zip_file_of(code: Mapping[str, Any], what: str = "a function's code") -> bytes:
    """Return the deployment package from ``Code``, or from an UpdateFunctionCode request, which has the same members.

    Args:
        code: Where it lies.
        what: It is, for a refusal.

    Raises:
        InvalidParameterValueException: There is none, or it lies somewhere else.
    """
    elsewhere = [member for member in ("S3Bucket", "S3Key", "S3ObjectVersion", "ImageUri") if code.get(member)]
    if elsewhere:
        raise InvalidParameterValueException(f"Keyturn takes {what} as ZipFile only; it does not offer {elsewhere[0]}.")
    package: bytes = code.get("ZipFile", b"")
    if not package:
        raise InvalidParameterValueException("Please provide a source for function code.")
    return package


def check_environment(variables: Mapping[str, str]) -> None:
    """Return if a function may have these variables.

    Raises:
        InvalidParameterValueException: They are too large or some are reserved.
    """
    refused = "Lambda was unable to configure your environment variables because the environment variables you have"
    reserved = [name for name in variables if name in RESERVED]
    if reserved:
        raise InvalidParameterValueException(
            f"{refused} provided contains reserved keys that are currently not supported for modification."
            f" Reserved keys used in this request: {', '.join(reserved)}"
        )
    # Lambda measures compact JSON, and repeats all of it in the message. The values stay out of ours: errors are kept
    # in audit events, and people put passwords into environment variables.
    size_bytes = len(json.dumps(dict(variables), separators=(",", ":"), ensure_ascii=False).encode())
    if size_bytes > _ENVIRONMENT_LIMIT_BYTES:
        raise InvalidParameterValueException(
            f"{refused} provided exceeded the 4KB limit. String measured: {size_bytes} bytes"
        )


def configuration_of(kit: Kit, record: FunctionRecord, arn: str = "") -> FunctionConfiguration:
    """Return a function's configuration as Lambda shows it.

    Args:
        kit: Adapters.
        record: The function, or one of its versions.
        arn: How the caller named it if with a qualifier; the function's unqualified ARN if empty.
    """
    place = Place.of(record.arn)
    configuration: FunctionConfiguration = {
        "FunctionName": record.name,
        "FunctionArn": arn or record.arn,
        "Runtime": record.runtime,
        "Role": record.role_arn,
        "Handler": record.handler,
        "CodeSize": record.code_size_bytes,
        "Description": record.description,
        "Timeout": record.timeout_seconds,
        "MemorySize": record.memory_mb,
        "LastModified": shown_moment(record.last_modified_at),
        "CodeSha256": record.code_sha256,
        "Version": version_text(record.version),
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": record.revision_id,
        # A function can be invoked as soon as it is stored; there is nothing to wait for.
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": [ARCHITECTURE],
        "EphemeralStorage": {"Size": record.ephemeral_storage_mb},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "RuntimeVersionConfig": {
            "RuntimeVersionArn": f"arn:{place.partition}:lambda:{place.region}::runtime:{record.runtime}"
        },
        "LoggingConfig": logging_of(record),
    }
    variables = open_environment(kit, record.arn, record.sealed)
    if variables:
        configuration["Environment"] = {"Variables": variables}
    if record.vpc_config is not None:
        configuration["VpcConfig"] = {**record.vpc_config}
    if record.layers:
        configuration["Layers"] = [
            {"Arn": layer["arn"], "CodeSize": layer["code_size_bytes"]} for layer in record.layers
        ]
    return configuration


def shown_moment(at: datetime) -> str:
    """Return a moment as Lambda writes it."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}+0000"
