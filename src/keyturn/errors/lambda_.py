"""Errors of AWS Lambda: those that the operations on functions, their policies and Invoke list.

Code and HTTP status come from the model. Messages as recorded by localstack.
"""

from __future__ import annotations

from keyturn.errors.base import AwsError


class AliasLimitExceededException(AwsError):
    """The function has no room for more aliases."""


class CodeArtifactUserDeletedException(AwsError):
    """The function's code artifact user is gone."""


class CodeArtifactUserFailedException(AwsError):
    """The function's code artifact user could not be provided."""


class CodeArtifactUserPendingException(AwsError):
    """The function's code artifact user is not ready yet."""


class CodeSigningConfigNotFoundException(AwsError):
    """No such code signing configuration."""


class CodeStorageExceededException(AwsError):
    """The account has no room for more code."""


class CodeVerificationFailedException(AwsError):
    """The code's signature fails the policy that is enforced."""


class DurableExecutionAlreadyStartedException(AwsError):
    """A durable execution by that name has been started."""


class EC2AccessDeniedException(AwsError):
    """The execution role may not set up the function's network."""


class EC2ThrottledException(AwsError):
    """EC2 refused for the moment while the function's network was set up."""


class EC2UnexpectedException(AwsError):
    """EC2 failed while the function's network was set up."""


class EFSIOException(AwsError):
    """A connected file system cannot be read or written."""


class EFSMountConnectivityException(AwsError):
    """A connected file system cannot be reached."""


class EFSMountFailureException(AwsError):
    """A connected file system cannot be mounted for lack of permission or by its configuration."""


class EFSMountTimeoutException(AwsError):
    """Mounting a connected file system took too long."""


class ENILimitReachedException(AwsError):
    """The VPC has no room for another network interface."""


class ENINotReadyException(AwsError):
    """The function's network interface is not ready yet."""


class FunctionVersionsPerCapacityProviderLimitExceededException(AwsError):
    """The capacity provider has no room for another function version."""


class InvalidCodeSignatureException(AwsError):
    """The code's signature is damaged."""


class InvalidParameterValueException(AwsError):
    """A parameter is not valid."""


class InvalidRequestContentException(AwsError):
    """The request's body is not JSON, or one of its headers is not valid."""


class InvalidRuntimeException(AwsError):
    """The runtime is not supported."""


class InvalidSecurityGroupIDException(AwsError):
    """A security group of the function's network is not valid."""


class InvalidSubnetIDException(AwsError):
    """A subnet of the function's network is not valid."""


class InvalidZipFileException(AwsError):
    """The deployment package cannot be unzipped."""


class KMSAccessDeniedException(AwsError):
    """The environment variables' key may not be used."""


class KMSDisabledException(AwsError):
    """The environment variables' key is disabled."""


class KMSInvalidStateException(AwsError):
    """The environment variables' key is in a state that forbids decryption."""


class KMSNotFoundException(AwsError):
    """The environment variables' key does not exist."""


class ModeNotSupportedException(AwsError):
    """The function cannot be invoked in this mode."""


class NoPublishedVersionException(AwsError):
    """The function has no published version."""


class PolicyLengthExceededException(AwsError):
    """The function's policy would exceed 20 KB."""


class PreconditionFailedException(AwsError):
    """The revision id is not the latest one."""

    default_message = (
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve"
        " the latest Revision Id"
    )


class ProvisionedConcurrencyConfigNotFoundException(AwsError):
    """No environments are kept ready for that version or alias."""

    default_message = "No Provisioned Concurrency Config found for this function"


class PublicPolicyException(AwsError):
    """The function's policy would give public access."""


class RecursiveInvocationException(AwsError):
    """The function invokes itself without end."""


class RequestEntityTooLargeException(AwsError):
    """The deployment package is too large. The model lacks it; recorded by localstack with status 413."""

    default_message = "Zipped size must be smaller than 52428800 bytes"


class RequestTooLargeException(AwsError):
    """The invocation's payload is over 6 MB."""


class ResourceConflictException(AwsError):
    """The resource exists already, or another change of it is under way."""


class ResourceNotFoundException(AwsError):
    """No such function, statement or policy."""

    default_message = "The resource you requested does not exist."


class ResourceNotReadyException(AwsError):
    """The function's network connection is not available."""


class RuntimeAliasDeletedException(AwsError):
    """The function's runtime alias is gone."""


class RuntimeVersionDeletedException(AwsError):
    """The function's runtime version is gone."""


class S3FilesMountConnectivityException(AwsError):
    """A connected access point of S3 Files cannot be reached."""


class S3FilesMountFailureException(AwsError):
    """A connected access point of S3 Files cannot be mounted."""


class S3FilesMountTimeoutException(AwsError):
    """Mounting an access point of S3 Files took too long."""


class SerializedRequestEntityTooLargeException(AwsError):
    """The request is too large once serialised."""


class ServiceException(AwsError):
    """Something broke on the server's side."""

    default_message = "An error occurred on the server side."


class ServiceQuotaExceededException(AwsError):
    """The request would exceed a quota of the service."""


class SnapStartException(AwsError):
    """The function's afterRestore hook failed."""


class SnapStartNotReadyException(AwsError):
    """The function's snapshot is not ready yet."""


class SnapStartRegenerationFailureException(AwsError):
    """The function's snapshot could not be made anew."""


class SnapStartTimeoutException(AwsError):
    """The function's snapshot could not be restored in time."""


class SubnetIPAddressLimitReachedException(AwsError):
    """A subnet of the function's network has no address left."""


class TooManyRequestsException(AwsError):
    """Too many calls or executions at once; ``Reason`` says which limit."""

    default_message = "Rate Exceeded."


class UnsupportedMediaTypeException(AwsError):
    """The invocation's payload is not JSON."""
