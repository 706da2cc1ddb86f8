"""From a stored function to what the runtime needs to run it."""

from __future__ import annotations

from keyturn.arn import Place
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.logging_config import DEFAULT_LEVEL, logging_of
from keyturn.operations.lambda_.names import UNQUALIFIED, version_text
from keyturn.operations.lambda_.network_plans import plans_for
from keyturn.operations.sealing import open_environment
from keyturn.runtime.spec import FunctionSpec
from keyturn.storage.functions import FunctionRecord


def spec_of(kit: Kit, record: FunctionRecord, qualifier: str = UNQUALIFIED) -> FunctionSpec:
    """Return the function as the runtime runs it, its environment variables opened.

    Args:
        kit: Adapters.
        record: The version that is to run.
        qualifier: By which it was invoked.
    """
    logging = logging_of(record)
    return FunctionSpec(
        arn=record.arn,
        name=record.name,
        version=version_text(record.version),
        qualifier=qualifier,
        handler=record.handler,
        runtime=record.runtime,
        timeout_seconds=record.timeout_seconds,
        memory_mb=record.memory_mb,
        ephemeral_storage_mb=record.ephemeral_storage_mb,
        environment=open_environment(kit, record.arn, record.sealed),
        code_sha256=record.code_sha256,
        revision_id=record.revision_id,
        role_arn=record.role_arn,
        log_group=logging["LogGroup"],
        log_format=logging["LogFormat"],
        application_log_level=logging.get("ApplicationLogLevel", DEFAULT_LEVEL),
        system_log_level=logging.get("SystemLogLevel", DEFAULT_LEVEL),
        reserved_concurrency=record.reserved_concurrency,
        layers=tuple(layer["code_sha256"] for layer in record.layers or ()),
        networks=plans_for(kit, Place.of(record.arn), record.vpc_config),
    )
