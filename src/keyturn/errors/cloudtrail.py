"""Errors of AWS CloudTrail's LookupEvents."""

from __future__ import annotations

from keyturn.errors.base import AwsError


class InvalidEventCategoryException(AwsError):
    """No such event category."""


class InvalidLookupAttributesException(AwsError):
    """The lookup attribute is not valid, or there are several."""


class InvalidMaxResultsException(AwsError):
    """The page size is not valid."""


class InvalidNextTokenException(AwsError):
    """The page token is not one this server gave for this question."""


class InvalidTimeRangeException(AwsError):
    """The start lies after the end, or the range is out of bounds."""


class OperationNotPermittedException(AwsError):
    """The request is not permitted."""


class UnsupportedOperationException(AwsError):
    """The request is not supported."""
