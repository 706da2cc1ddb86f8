"""Condition keys of the function's calls, as far as they can be known from outside.

Of a key that is not here neither its value nor its absence is known: what hangs on it is not decided.

Sources: IAM User Guide, "AWS global condition context keys"; Service Authorization Reference, AWS Secrets Manager and
AWS KMS; AWS Secrets Manager User Guide, "Secret encryption and decryption in AWS Secrets Manager" (ViaService and the
encryption context).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keyturn.call import Principal
from keyturn.rules.kms_keys import via_service
from keyturn.rules.rotation_permissions import SECRETS_MANAGER

from .case import Case
from .documents import Json

ROTATION_FUNCTION = "secretsmanager:resource/AllowRotationLambdaArn"

Values = tuple[str, ...] | None


class KnownKeys:
    """Condition keys by their names in lower case.

    Args:
        values: Of each key that is known; None if the request has none.
        prefixes: Of keys that the request has none of but those in ``values``: those of tags.
    """

    def __init__(self, values: Mapping[str, Values], prefixes: Iterable[str] = ()) -> None:
        self._values = values
        self._prefixes = tuple(prefixes)

    def get(self, name: str, /) -> Values:
        """Return the values of a key; None if there are none, or if they are not known."""
        return self._values.get(name)

    def knows(self, name: str) -> bool:
        """Whether the key's values, or its absence, are known."""
        return name in self._values or name.startswith(self._prefixes or ("\0",))


def keys_of_call(case: Case, principal: Principal, secret: Json | None) -> KnownKeys:
    """Return the keys of a call of the function.

    Args:
        case: Whose function it is.
        principal: The function's session.
        secret: DescribeSecret's reply for the secret that the call is about; None if it is about none, or unknown.
    """
    values = _of_function(case, principal)
    prefixes = _add_role_tags(case, values)
    if secret is not None:
        function_arn = str(secret.get("RotationLambdaARN") or "")
        values[ROTATION_FUNCTION.lower()] = (function_arn,) if function_arn else None
        values["secretsmanager:secretid"] = (str(secret["ARN"]),)
        for of in ("aws:resourcetag/", "secretsmanager:resourcetag/"):
            prefixes.append(of)
            values |= {f"{of}{name.lower()}": (value,) for name, value in _tags(secret)}
    return KnownKeys(values, prefixes)


def keys_of_key_use(case: Case, principal: Principal, secret: Json, key_account_id: str) -> KnownKeys:
    """Return the keys with which Secrets Manager uses a secret's key in the name of the function."""
    values = _of_function(case, principal)
    prefixes = _add_role_tags(case, values)
    account_id = principal.account_id
    values |= {
        "aws:viaawsservice": ("true",),
        "aws:calledvia": (SECRETS_MANAGER,),
        "aws:calledviafirst": (SECRETS_MANAGER,),
        "aws:calledvialast": (SECRETS_MANAGER,),
        # A service that acts for somebody has no address.
        "aws:sourceip": None,
        "kms:viaservice": (via_service(case.place.region),),
        "kms:calleraccount": (account_id,),
        "kms:encryptioncontext:secretarn": (str(secret["ARN"]),),
        "kms:encryptioncontextkeys": ("SecretARN", "SecretVersionId"),
        "kms:encryptionalgorithm": ("SYMMETRIC_DEFAULT",),
        "kms:keyspec": ("SYMMETRIC_DEFAULT",),
        "kms:keyusage": ("ENCRYPT_DECRYPT",),
        "aws:resourceaccount": (key_account_id,),
    }
    return KnownKeys(values, prefixes)


def _of_function(case: Case, principal: Principal) -> dict[str, Values]:
    endpoint = case.variables.get("SECRETS_MANAGER_ENDPOINT", "")
    return {
        "aws:principalarn": (principal.role_arn,),
        "aws:principalaccount": (principal.account_id,),
        "aws:principaltype": ("AssumedRole",),
        **({"aws:userid": (principal.unique_id,)} if principal.unique_id else {}),
        "aws:username": None,
        "aws:principalisawsservice": ("false",),
        "aws:principalservicename": None,
        "aws:multifactorauthpresent": ("false",),
        "aws:federatedprovider": None,
        "aws:sourceidentity": None,
        "aws:requestedregion": (case.place.region,),
        "aws:securetransport": ("false" if endpoint.startswith("http://") else "true",),
        "aws:currenttime": (f"{case.now:%Y-%m-%dT%H:%M:%SZ}",),
        "aws:epochtime": (str(int(case.now.timestamp())),),
        "aws:viaawsservice": ("false",),
        "aws:calledvia": None,
        "aws:calledviafirst": None,
        "aws:calledvialast": None,
        "aws:resourceaccount": (case.place.account_id,),
        "lambda:sourcefunctionarn": (case.function_arn,),
    }


def _add_role_tags(case: Case, values: dict[str, Values]) -> list[str]:
    """Add the role's tags, and return the prefix of all of them if they may be seen."""
    if not case.role.found:
        return []
    values |= {f"aws:principaltag/{name.lower()}": (value,) for name, value in _tags(case.role.found["Role"])}
    return ["aws:principaltag/"]


def _tags(resource: Json) -> list[tuple[str, str]]:
    return [(str(tag["Key"]), str(tag["Value"])) for tag in resource.get("Tags") or []]
