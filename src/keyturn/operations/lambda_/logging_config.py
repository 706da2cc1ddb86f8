"""How a function logs: to which group, as text or JSON, and from which level on.

Sources: AWS Lambda API Reference, "LoggingConfig"; AWS Lambda Developer Guide, "Configuring JSON and plain text log
formats"; the refusal as quoted in aws-cdk's pull request 28045, and by localstack.
"""

from __future__ import annotations

from keyturn.errors.lambda_ import InvalidParameterValueException
from keyturn.runtime.spec import default_log_group
from keyturn.storage.functions import FunctionRecord, Logging
from keyturn.wire.types.lambda_ import LoggingConfig

DEFAULT_LEVEL = "INFO"
_LEVELS = ("ApplicationLogLevel", "SystemLogLevel")


def logging_of(record: FunctionRecord) -> Logging:
    """Return how a function, or one of its versions, logs."""
    return record.logging or _plain(record.name)


def changed_logging(function_name: str, before: Logging | None, asked: LoggingConfig) -> Logging | None:
    """Return how a function is to log from now on, to be stored; what is not asked for stays as it was.

    Args:
        function_name: Names the default group.
        before: As stored.
        asked: By the request.

    Raises:
        InvalidParameterValueException: Levels are asked for of plain text, which has none.
    """
    was = before or _plain(function_name)
    log_format = asked.get("LogFormat", was["LogFormat"])
    changed: Logging = {"LogFormat": log_format, "LogGroup": asked.get("LogGroup", was["LogGroup"])}
    if log_format == "JSON":
        changed["ApplicationLogLevel"] = asked.get("ApplicationLogLevel", was.get("ApplicationLogLevel", DEFAULT_LEVEL))
        changed["SystemLogLevel"] = asked.get("SystemLogLevel", was.get("SystemLogLevel", DEFAULT_LEVEL))
    elif any(level in asked for level in _LEVELS):
        raise InvalidParameterValueException(
            'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request or change the'
            ' LogFormat to "JSON" and try again.'
        )
    return None if changed == _plain(function_name) else changed


def _plain(function_name: str) -> Logging:
    return {"LogFormat": "Text", "LogGroup": default_log_group(function_name)}
