"""Functions: execution environments that run Lambda functions through the real awslambdaric."""

from keyturn.runtime.pool import Runtime
from keyturn.runtime.spec import FunctionSpec, Invocation, LogLine, RoleCredentials, RuntimeSettings

__all__ = ["FunctionSpec", "Invocation", "LogLine", "RoleCredentials", "Runtime", "RuntimeSettings"]
