"""Deleting a secret: recovery windows, and what a secret that waits for its end refuses.

Source: Secrets Manager API Reference, DeleteSecret; texts recorded by localstack, those about the window collected by
moto.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from keyturn.errors.secretsmanager import InvalidParameterException, InvalidRequestException

DEFAULT_RECOVERY_WINDOW_DAYS = 30
_WINDOW_DAYS = range(7, 31)


def deletion_moment(now: datetime, recovery_window_days: int | None, *, force: bool) -> datetime:
    """Return when a secret that is deleted now ends, which is DeleteSecret's DeletionDate.

    Args:
        now: Aware UTC.
        recovery_window_days: As sent; 30 if not.
        force: ForceDeleteWithoutRecovery.

    Raises:
        InvalidParameterException: The window is not 7 to 30 days, or given together with force.
    """
    if force:
        if recovery_window_days is not None:
            raise InvalidParameterException(
                "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."
            )
        return now
    days = DEFAULT_RECOVERY_WINDOW_DAYS if recovery_window_days is None else recovery_window_days
    if days not in _WINDOW_DAYS:
        raise InvalidParameterException("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
    return now + timedelta(days=days)


def is_over(deleted_at: datetime | None, deletion_at: datetime | None, now: datetime) -> bool:
    """Say whether a secret is past its recovery window: nobody finds it any more, whether its rows are gone or not.

    Args:
        deleted_at: When DeleteSecret was called.
        deletion_at: When its recovery window ends. Not later than ``deleted_at`` if there is none, or if its values
            are being erased: that is over by every server's clock.
        now: Aware UTC.
    """
    if deleted_at is None or deletion_at is None:
        return False
    return deletion_at <= max(deleted_at, now)


def check_alive(deletion_at: datetime | None) -> None:
    """Refuse an operation on a secret that is scheduled for deletion.

    Raises:
        InvalidRequestException: It is.
    """
    if deletion_at is not None:
        raise InvalidRequestException(
            "You can't perform this operation on the secret because it was marked for deletion."
        )


def check_name_free(deletion_at: datetime | None) -> None:
    """Refuse to create a secret whose name belongs to one that is scheduled for deletion.

    Raises:
        InvalidRequestException: It does.
    """
    if deletion_at is not None:
        raise InvalidRequestException(
            "You can't create this secret because a secret with this name is already scheduled for deletion."
        )
