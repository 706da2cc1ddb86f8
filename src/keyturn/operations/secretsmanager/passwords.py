"""GetRandomPassword."""

from __future__ import annotations

from keyturn.call import Call
from keyturn.operations.kit import Kit
from keyturn.operations.registry import Runs, no_subject, operation
from keyturn.rules.passwords import PasswordRules, random_password
from keyturn.wire.types.secretsmanager import GetRandomPasswordRequest, GetRandomPasswordResponse


@operation("secretsmanager", "GetRandomPassword", subject=no_subject, runs=Runs.IN_THREAD)
def get_random_password(
    kit: Kit, _call: Call, request: GetRandomPasswordRequest, _subject: None
) -> GetRandomPasswordResponse:
    """Make a password; it is stored nowhere."""
    rules = PasswordRules(
        length=request.get("PasswordLength", 32),
        exclude_characters=request.get("ExcludeCharacters", ""),
        exclude_numbers=request.get("ExcludeNumbers", False),
        exclude_punctuation=request.get("ExcludePunctuation", False),
        exclude_uppercase=request.get("ExcludeUppercase", False),
        exclude_lowercase=request.get("ExcludeLowercase", False),
        include_space=request.get("IncludeSpace", False),
        require_each_included_type=request.get("RequireEachIncludedType", True),
    )
    return {"RandomPassword": random_password(rules, kit.random).reveal()}
