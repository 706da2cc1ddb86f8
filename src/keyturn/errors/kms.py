"""Errors of the AWS Key Management Service, for symmetric keys and aliases."""

from __future__ import annotations

from keyturn.errors.base import AwsError


class AlreadyExistsException(AwsError):
    """An alias by that name exists already."""


class CloudHsmClusterInvalidConfigurationException(AwsError):
    """The key store's cluster does not meet its requirements."""


class ConflictException(AwsError):
    """The key is about to be rotated by itself."""


class CustomKeyStoreInvalidStateException(AwsError):
    """The custom key store is not in a state to do this."""


class CustomKeyStoreNotFoundException(AwsError):
    """No such custom key store."""


class DependencyTimeoutException(AwsError):
    """Something the server needs did not answer in time."""


class DisabledException(AwsError):
    """The key is disabled."""


class DryRunOperationException(AwsError):
    """The request was a dry run and would have succeeded."""


class IncorrectKeyException(AwsError):
    """The ciphertext belongs to another key."""

    default_message = "The key ID in the request does not identify a CMK that can perform this operation."


class InvalidAliasNameException(AwsError):
    """The alias is not well-formed or is reserved."""


class InvalidArnException(AwsError):
    """An ARN is not valid."""


class InvalidCiphertextException(AwsError):
    """The ciphertext is damaged, or its encryption context is another. AWS gives no message."""


class InvalidGrantIdException(AwsError):
    """The grant id is not valid."""


class InvalidGrantTokenException(AwsError):
    """The grant token is not valid."""

    default_message = "The grant token is not valid."


class InvalidKeyUsageException(AwsError):
    """The key is not meant for this operation."""


class InvalidMarkerException(AwsError):
    """The page marker is not one this server gave."""


class KMSInternalException(AwsError):
    """Something broke on the server's side."""

    default_message = "An error occurred on the server side."


class KMSInvalidStateException(AwsError):
    """The key's state forbids this."""


class KeyUnavailableException(AwsError):
    """The key is not available now."""


class LimitExceededException(AwsError):
    """The request would exceed a quota."""


class MalformedPolicyDocumentException(AwsError):
    """The key policy is not well-formed."""


class NotAuthorizedException(AwsError):
    """The alias belongs to a service. The model lacks it; collected by moto, without a message."""


class NotFoundException(AwsError):
    """No such key or alias."""


class TagException(AwsError):
    """A tag is not valid."""


class UnsupportedOperationException(AwsError):
    """The key or the parameters do not support this operation."""


class XksKeyAlreadyInUseException(AwsError):
    """The external key belongs to another KMS key."""


class XksKeyInvalidConfigurationException(AwsError):
    """The external key does not meet its requirements."""


class XksKeyNotFoundException(AwsError):
    """No such external key."""
