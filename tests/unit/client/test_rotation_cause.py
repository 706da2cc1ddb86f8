"""Causes in words."""

from __future__ import annotations

import pytest

from keyturn.client.rotation_cause import _WORDS, cause_in_words, preflight_cause_in_words
from keyturn.doctor.catalogue import all_checks
from keyturn.rules.rotation_cause import KNOWN, refused_call

REFUSED = (
    "An error occurred (AccessDeniedException) when calling the PutSecretValue operation: User:"
    " arn:aws:sts::000000000000:assumed-role/rotates/f is not authorized to perform: secretsmanager:PutSecretValue on"
    " resource: arn:aws:secretsmanager:us-east-1:000000000000:secret:a-AbCdEf"
)
# What Python raises in anybody's function says what it is about as well as words would.
OF_ANYBODY = {
    *("AttributeError", "DatabaseError", "Exception", "IndexError", "NameError", "OSError", "OperationalError"),
    *("PermissionError", "RuntimeError", "TimeoutError", "TypeError", "ValueError", "ResourceNotFoundException"),
}


def test_a_cause_is_put_into_words_where_it_is_known() -> None:
    assert cause_in_words("notInvoked") == "Secrets Manager could not invoke the function"
    assert cause_in_words("timeout") == "the function ran out of time"
    assert "lacks a key" in cause_in_words("KeyError")
    assert "KMS key" in cause_in_words("DecryptionFailure")


def test_what_a_function_makes_up_stays_as_it_is() -> None:
    assert cause_in_words("TheirOwnError") == "TheirOwnError"


def test_every_cause_that_is_counted_has_words_and_no_words_are_kept_for_what_is_no_cause() -> None:
    assert _WORDS.keys() - KNOWN == {"AllRefused", "PendingWasCurrent", "internal"}
    assert KNOWN - _WORDS.keys() == OF_ANYBODY


def test_a_refused_call_names_what_was_refused() -> None:
    action = refused_call("ClientError", REFUSED)
    assert cause_in_words("ClientError", action) == "the function may not call secretsmanager:PutSecretValue"


def test_what_secrets_manager_may_not_do_is_not_said_of_the_function() -> None:
    assert refused_call("notInvoked", "… is not authorized to perform: lambda:InvokeFunction on …") == ""
    assert refused_call("ClientError", "An error occurred (Throttled)") == ""
    assert refused_call(None, None) == ""


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("drift:CurrentRefused", "the database refuses AWSCURRENT"),
        ("doctor:invoke-permission-missing", "Secrets Manager may not invoke the function"),
        ("doctor:function-missing", "the rotation function is gone"),
        ("doctor:no-such-entry", "no-such-entry"),
        ("database.resolve:HostNotFound", "the name of the database's host: the database's host has no address"),
        ("endpoint.resolve:HostNotFound", "the address of Secrets Manager: no address is found"),
        ("function.invoke:notInvoked", "Secrets Manager could not invoke the function"),
        ("login.current:NotReached", "logging in with AWSCURRENT: not looked at, because the way there fails"),
        ("of.another:Kind", "of.another:Kind"),
    ],
)
def test_what_a_preflight_has_found_is_put_into_words(cause: str, words: str) -> None:
    assert preflight_cause_in_words(cause) == words


def test_no_entry_of_the_catalogue_is_told_by_its_name() -> None:
    assert all(preflight_cause_in_words(f"doctor:{check.cause.id}") != check.cause.id for check in all_checks())
