"""What ``keyturn function create`` is to make: read from the secret, decided before anything is made.

Nothing of a secret's value is ever part of a message: not even what ``engine`` says.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keyturn.arn import Arn
from keyturn.cli.clients import Clients
from keyturn.cli.function_package import built
from keyturn.errors.base import KeyturnError
from keyturn.rotators import catalogue, package

MASTERARN = "masterarn"
"""The key that names the superuser secret. Source: User Guide, "JSON structure of AWS Secrets Manager secrets"."""

# What AWS's own are called, and what its examples of policies for people allow (function:SecretsManager*).
_PREFIX = "SecretsManager-"
# Of a function's and of a role's name.
_NAME_LIMIT = 64
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_OWN_KEY = "alias/aws/secretsmanager"
_OWN_FUNCTION = (
    "For anything else bring a function of your own: keyturn function new begins one, and --zip-file FILE --handler"
    " NAME makes everything around it."
)


@dataclass(frozen=True, slots=True)
class Secret:
    """The secret that is to rotate.

    Attributes:
        version_id: The version that was current when it was read.
        value: That version's JSON; None if it is none.
        kms_key_arn: Its customer managed key, None under the default key.
        described: What DescribeSecret says.
    """

    name: str
    arn: str
    version_id: str
    value: Mapping[str, object] | None = field(repr=False)
    kms_key_arn: str | None
    described: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Superuser:
    """The superuser secret.

    Attributes:
        is_named: Whether the secret's value names it already.
    """

    arn: str
    kms_key_arn: str | None
    is_named: bool


@dataclass(frozen=True, slots=True)
class Code:
    """What the function runs.

    Attributes:
        title: For people: the engine's, or the file's name.
        engine: The engine's module; None for a function of one's own.
        strategy: As the command line spells it; None likewise.
    """

    content: bytes = field(repr=False)
    handler: str
    title: str
    engine: str | None = None
    strategy: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is to be there in the end.

    Attributes:
        name: Of the function, and of its role.
    """

    secret: Secret
    superuser: Superuser | None
    code: Code
    name: str
    runtime: str

    @property
    def account_id(self) -> str:
        """The account of all of it."""
        return Arn.parse(self.secret.arn).account_id

    @property
    def function_arn(self) -> str:
        """The function's ARN."""
        return self._arn("lambda", f"function:{self.name}")

    @property
    def role_arn(self) -> str:
        """The role's ARN."""
        place = Arn.parse(self.secret.arn)
        return str(Arn(place.partition, "iam", "", place.account_id, f"role/{self.name}"))

    @property
    def log_group_arn(self) -> str:
        """The ARN of the function's log group."""
        return self._arn("logs", f"log-group:/aws/lambda/{self.name}")

    def _arn(self, service: str, resource: str) -> str:
        place = Arn.parse(self.secret.arn)
        return str(Arn(place.partition, service, place.region, place.account_id, resource))


def make_plan(
    clients: Clients,
    secret: str,
    superuser: str | None = None,
    *,
    name: str | None = None,
    own: Code | None = None,
    runtime: str,
) -> Plan:
    """Decide what is to be made for a secret.

    Args:
        clients: Of the server.
        secret: Name or ARN.
        superuser: Name or ARN of the superuser secret, if it is not the one that the value names.
        name: Of function and role.
        own: A function of the user's own, in place of the engine's.
        runtime: Of the function.

    Raises:
        KeyturnError: It cannot be made; says what to do about it.
    """
    loaded = load_secret(clients, secret)
    found = find_superuser(clients, loaded, superuser)
    plan = Plan(loaded, found, own or choose_code(loaded, found), name or function_name(loaded), runtime)
    _refuse_other_rotation(plan)
    return plan


def load_secret(clients: Clients, secret: str) -> Secret:
    """Read the secret and its current value.

    Raises:
        KeyturnError: It is none that a function made here could rotate.
    """
    described = clients["secretsmanager"].describe_secret(SecretId=secret)
    name, arn = described["Name"], described["ARN"]
    _refuse_unsuitable(name, described, clients["sts"].get_caller_identity()["Account"])
    current = clients["secretsmanager"].get_secret_value(SecretId=arn)
    return Secret(
        name=name,
        arn=arn,
        version_id=current["VersionId"],
        value=_parsed(current.get("SecretString")),
        kms_key_arn=_customer_key(clients, described),
        described=described,
    )


def find_superuser(clients: Clients, secret: Secret, given: str | None) -> Superuser | None:
    """Return the superuser secret that is given, or that the secret's value names; None if there is none.

    Raises:
        KeyturnError: Both are there and differ, or the value cannot name one.
    """
    named = (secret.value or {}).get(MASTERARN)
    asked = given or named
    # The function itself takes nothing but text for a name.
    if not isinstance(asked, str) or not asked:
        return None
    if secret.value is None:
        raise _no_json(secret)
    described = _described_superuser(clients, secret, asked, is_given=bool(given))
    arn = described["ARN"]
    if arn == secret.arn:
        raise KeyturnError(
            f"{secret.name} cannot be its own superuser secret.",
            "Store the superuser's login in a secret of its own, and name that one with --superuser-secret.",
        )
    if named and named != arn:
        raise KeyturnError(
            f"The value of {secret.name} names another superuser secret in {MASTERARN} than --superuser-secret does.",
            "Leave the option out to use the one that is named; or change the value first.",
        )
    return Superuser(arn, _customer_key(clients, described), is_named=bool(named))


def _described_superuser(clients: Clients, secret: Secret, asked: str, *, is_given: bool) -> Mapping[str, Any]:
    client = clients["secretsmanager"]
    try:
        described: Mapping[str, Any] = client.describe_secret(SecretId=asked)
    except client.exceptions.ResourceNotFoundException as error:
        named_by = "--superuser-secret" if is_given else f"{MASTERARN} in the value of {secret.name}"
        raise KeyturnError(
            f"There is no superuser secret of the name or ARN that {named_by} says.",
            "aws secretsmanager list-secrets shows the secrets there are.",
        ) from error
    return described


def choose_code(secret: Secret, superuser: Superuser | None) -> Code:
    """Return the engine's rotation function, for the strategy that the superuser secret decides.

    Raises:
        KeyturnError: The value names no engine that there is, or misses something that the function needs.
    """
    if secret.value is None:
        raise _no_json(secret)
    name = catalogue.engine_for(secret.value.get("engine"))
    if name is None:
        raise _no_engine(secret, secret.value.get("engine"))
    engine = catalogue.engines()[name]
    if hasattr(engine, "strategies"):
        raise KeyturnError(
            f"A rotation function for {engine.title} needs an environment that says how the service is used.",
            f"keyturn function package {name} --strategy new-key writes it; docs/rotation.md has the variables.",
        )
    strategy = catalogue.strategy_for(name, has_superuser=superuser is not None)
    value = secret.value if superuser is None else {**secret.value, MASTERARN: superuser.arn}
    try:
        engine.login(value)
        # The function would refuse the same in its first step.
        catalogue.strategies()[strategy].check_value(engine, value)
    except (KeyError, ValueError) as error:
        raise KeyturnError(
            f"The value of {secret.name} does not suit {engine.title}: {error.args[0]}",
            "Store what is missing with aws secretsmanager put-secret-value, and run this again.",
        ) from error
    return Code(
        content=built(name, strategy),
        handler=package.handler_name(name, strategy),
        title=engine.title,
        engine=name,
        strategy=strategy.replace("_", "-"),
    )


def function_name(secret: Secret) -> str:
    """Return what the function of a secret is called if nobody says otherwise: never the same for two secrets."""
    fitting = _PREFIX + _UNFIT.sub("-", secret.name)
    if fitting == _PREFIX + secret.name and len(fitting) <= _NAME_LIMIT:
        return fitting
    # What had to be changed may be like another one: the end of the ARN is not.
    suffix = secret.arn[-len("-AbCdEf") :]
    return fitting[: _NAME_LIMIT - len(suffix)] + suffix


def _refuse_unsuitable(name: str, described: Mapping[str, Any], account_id: str) -> None:
    place = Arn.parse(described["ARN"])
    primary = described.get("PrimaryRegion", place.region)
    if place.account_id != account_id:
        raise KeyturnError(
            f"{name} belongs to account {place.account_id}, and this access key to {account_id}.",
            "A function is made in the account of its secret: choose a key of that one with --profile.",
        )
    if primary != place.region:
        raise KeyturnError(
            f"{name} is a replica here; its primary in {primary} rotates for all of them.", f"Add --region {primary}."
        )
    if "DeletedDate" in described:
        raise KeyturnError(
            f"{name} is marked for deletion.", f"aws secretsmanager restore-secret --secret-id {name} takes that back."
        )
    if "OwningService" in described:
        raise KeyturnError(f"{name} is managed by {described['OwningService']}, which rotates it itself.")


def _refuse_other_rotation(plan: Plan) -> None:
    described = plan.secret.described
    rotated_by = described.get("RotationLambdaARN")
    if described.get("RotationEnabled") and rotated_by != plan.function_arn:
        raise KeyturnError(
            f"{plan.secret.name} rotates already, by {rotated_by or 'AWS itself'}.",
            "If this command made that function, give its name with --name.",
            f"To have another one: aws secretsmanager cancel-rotate-secret --secret-id {plan.secret.name}, then this.",
        )


def _parsed(text: str | None) -> Mapping[str, object] | None:
    try:
        value = json.loads(text or "")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _customer_key(clients: Clients, described: Mapping[str, Any]) -> str | None:
    """Return the ARN of a secret's customer managed key; None under the default key."""
    key: str | None = described.get("KmsKeyId")
    if key is None or key.endswith(_OWN_KEY):
        return None
    if ":key/" in key:
        return key
    # By an alias or an id; a policy takes the ARN only.
    arn: str = clients["kms"].describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    return arn


def _no_json(secret: Secret) -> KeyturnError:
    return KeyturnError(
        f"The value of {secret.name} is no JSON object, as which Keyturn's rotation functions read and write it.",
        'Store one with aws secretsmanager put-secret-value: {"engine": …, "host": …, "username": …, "password": …};'
        " docs/rotation.md has the keys.",
        _OWN_FUNCTION,
    )


def _no_engine(secret: Secret, said: object) -> KeyturnError:
    known = catalogue.engine_names()
    [*near] = difflib.get_close_matches(str(said), known, n=1)
    what = "names no engine" if said is None else "names an engine that Keyturn has no rotation function for"
    return KeyturnError(
        f"The value of {secret.name} {what}.",
        f"The key engine may be: {', '.join(known)}." + (f" Is {near[0]} meant?" if near else ""),
        _OWN_FUNCTION,
    )
