"""What ``keyturn function create`` is to make: read from the secret, decided before anything is made.

Nothing of a secret's value is ever part of a message: not even what ``engine`` says.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from keyturn.arn import Arn
from keyturn.client.function_code import built
from keyturn.doctor.asking import ClientsByName
from keyturn.errors.base import KeyturnError
from keyturn.rotators import catalogue, package

MASTERARN = "masterarn"
"""The key that names the superuser secret. Source: User Guide, "JSON structure of AWS Secrets Manager secrets"."""

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
"""What a function runs in if nobody says otherwise."""

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
        is_compared: Whether its value was read, and is one for the secret's database.
    """

    arn: str
    kms_key_arn: str | None
    is_named: bool
    is_compared: bool = False


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
        environment: Variables of the function; None if nothing is said about them.
        vpc_config: As Lambda takes it; None for a function in no VPC.
        options: Of the server, each behind a space, for commands that are shown.
    """

    secret: Secret
    superuser: Superuser | None
    code: Code
    name: str
    runtime: str
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    vpc_config: Mapping[str, Sequence[str]] | None = None
    options: str = ""

    @property
    def is_on(self) -> bool:
        """Whether the secret rotates already."""
        return bool(self.secret.described.get("RotationEnabled"))

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
    clients: ClientsByName,
    secret: str,
    superuser: str | None = None,
    *,
    name: str | None = None,
    own: Code | None = None,
    runtime: str,
    strategy: str | None = None,
    environment: Mapping[str, str] | None = None,
    vpc_config: Mapping[str, Sequence[str]] | None = None,
    options: str = "",
) -> Plan:
    """Decide what is to be made for a secret.

    Args:
        clients: Of the server.
        secret: Name or ARN.
        superuser: Name or ARN of the superuser secret, if it is not the one that the value names.
        name: Of function and role.
        own: A function of the user's own, in place of the engine's.
        runtime: Of the function.
        strategy: As the command line spells it; None for the one that suits engine and superuser secret.
        environment: Variables of the function.
        vpc_config: Where it runs, if in a VPC.
        options: Of the server, for commands that are shown.

    Raises:
        KeyturnError: It cannot be made; says what to do about it.
    """
    _refuse_unknown_runtime(clients, runtime)
    _refuse_unfit_name(name)
    loaded = load_secret(clients, secret)
    found = None if _is_for_one_user(strategy, superuser) else find_superuser(clients, loaded, superuser)
    code = own or choose_code(loaded, found, strategy)
    if found is not None and code.engine is not None:
        found = compared(clients, loaded, found, code.engine)
    plan = Plan(loaded, found, code, name or function_name(loaded), runtime, environment, vpc_config, options)
    _refuse_other_rotation(plan)
    return plan


def load_secret(clients: ClientsByName, secret: str) -> Secret:
    """Read the secret and its current value.

    Raises:
        KeyturnError: It is none that a function made here could rotate.
    """
    client = clients["secretsmanager"]
    try:
        described = client.describe_secret(SecretId=secret)
    except client.exceptions.ResourceNotFoundException as error:
        raise KeyturnError(
            f"There is no secret {secret}.", "aws secretsmanager list-secrets shows the secrets there are."
        ) from error
    name, arn = described["Name"], described["ARN"]
    _refuse_unsuitable(name, described, clients["sts"].get_caller_identity()["Account"])
    current = client.get_secret_value(SecretId=arn)
    return Secret(
        name=name,
        arn=arn,
        version_id=current["VersionId"],
        value=_parsed(current.get("SecretString")),
        kms_key_arn=_customer_key(clients, described),
        described=described,
    )


def find_superuser(clients: ClientsByName, secret: Secret, given: str | None) -> Superuser | None:
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


def _described_superuser(clients: ClientsByName, secret: Secret, asked: str, *, is_given: bool) -> Mapping[str, Any]:
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


def compared(clients: ClientsByName, secret: Secret, superuser: Superuser, engine_name: str) -> Superuser:
    """Return the superuser secret, its value compared with the secret's; as it is if the caller may not read it.

    Raises:
        KeyturnError: It is none for the secret's database: rotations would fail.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415 - as boto3, it takes a while to import

    try:
        text = clients["secretsmanager"].get_secret_value(SecretId=superuser.arn).get("SecretString")
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "AccessDeniedException":
            raise
        return superuser
    engine, hint = catalogue.engines()[engine_name], "Name another one with --superuser-secret, or mend its value."
    try:
        login = engine.login(_parsed(text) or {})
        is_same_host = not {*login.addresses}.isdisjoint(engine.login(secret.value or {}).addresses)
    except (KeyError, ValueError) as error:
        raise KeyturnError(
            f"The value of the superuser secret {superuser.arn} does not suit {engine.title}: {error.args[0]}", hint
        ) from error
    if not is_same_host:
        raise KeyturnError(
            f"The value of the superuser secret {superuser.arn} names another host or port than that of {secret.name}.",
            f"{hint} Several hosts, separated by commas, have to have one in common.",
        )
    return replace(superuser, is_compared=True)


def choose_code(secret: Secret, superuser: Superuser | None, strategy: str | None = None) -> Code:
    """Return the engine's rotation function.

    Args:
        secret: Its value names the engine.
        superuser: The superuser secret, if there is one.
        strategy: None for the one that suits both.

    Raises:
        KeyturnError: The value names no engine that there is, or misses something that the function needs.
    """
    if secret.value is None:
        raise _no_json(secret)
    name = catalogue.engine_for(secret.value.get("engine"))
    if name is None:
        raise _no_engine(secret, secret.value.get("engine"))
    engine = catalogue.engines()[name]
    module = module_of(strategy) or catalogue.strategy_for(name, has_superuser=superuser is not None)
    chosen = catalogue.strategies()[module]
    if hasattr(chosen, "engines"):
        raise KeyturnError(
            f"A rotation function for {engine.title} needs an environment that says how the service is used.",
            f"keyturn function package {name} --strategy {_spelt(module)} --file {name}.zip, then this with --zip-file"
            f" {name}.zip --handler {package.handler_name(name, module)} and -e NAME=VALUE for each variable;"
            " docs/rotation.md has them.",
        )
    if chosen.takes_superuser and superuser is None:
        raise KeyturnError(
            f"{engine.title} with the strategy {_spelt(module)} takes a superuser secret, and there is none.",
            f"Name one with --superuser-secret, or in {MASTERARN} of the value.",
        )
    value = secret.value if superuser is None else {**secret.value, MASTERARN: superuser.arn}
    try:
        # Its addresses are worked out when the function connects.
        _ = engine.login(value).addresses
        # The function would refuse the same in its first step.
        chosen.check_value(engine, value)
    except (KeyError, ValueError) as error:
        raise KeyturnError(
            f"The value of {secret.name} does not suit {engine.title}: {error.args[0]}",
            "Store what is missing with aws secretsmanager put-secret-value, and run this again.",
        ) from error
    return Code(
        content=built(name, module),
        handler=package.handler_name(name, module),
        title=engine.title,
        engine=name,
        strategy=_spelt(module),
    )


def module_of(strategy: str | None) -> str | None:
    """Return a strategy's module for what the command line says.

    Raises:
        KeyturnError: There is no such strategy.
    """
    module = strategy and strategy.replace("-", "_")
    if module and module not in catalogue.strategies():
        known = ", ".join(map(_spelt, catalogue.strategies()))
        raise KeyturnError(f"There is no rotation strategy {strategy}.", f"The strategies: {known}.")
    return module


def is_scheduled_so(secret: Secret, rules: Mapping[str, object]) -> bool:
    """Tell whether a secret rotates by these rules."""
    there: Mapping[str, object] = secret.described.get("RotationRules", {})
    # Beside an expression DescribeSecret may have a number of days that it has worked out.
    member = "ScheduleExpression" if "ScheduleExpression" in {*there, *rules} else "AutomaticallyAfterDays"
    return there.get(member) == rules.get(member)


def function_name(secret: Secret) -> str:
    """Return what the function of a secret is called if nobody says otherwise: never the same for two secrets."""
    fitting = _PREFIX + _UNFIT.sub("-", secret.name)
    if fitting == _PREFIX + secret.name and len(fitting) <= _NAME_LIMIT:
        return fitting
    # What had to be changed may be like another one: the end of the ARN is not.
    suffix = secret.arn[-len("-AbCdEf") :]
    return fitting[: _NAME_LIMIT - len(suffix)] + suffix


def _is_for_one_user(strategy: str | None, superuser: str | None) -> bool:
    """Whether there is to be no superuser secret, whatever the value names."""
    module = module_of(strategy)
    if module is None or catalogue.strategies()[module].takes_superuser:
        return False
    if superuser is not None:
        raise KeyturnError(
            f"The strategy {strategy} takes no superuser secret.", "Leave out --superuser-secret, or --strategy."
        )
    return True


def _refuse_unknown_runtime(clients: ClientsByName, runtime: str) -> None:
    known = clients["lambda"].meta.service_model.shape_for("Runtime").enum
    if runtime not in known:
        pythons = ", ".join(name for name in known if name.startswith("python3"))
        raise KeyturnError(f"Lambda has no runtime {runtime}.", f"Of Python it knows {pythons}.")


def _refuse_unfit_name(name: str | None) -> None:
    if name is not None and (not name or len(name) > _NAME_LIMIT or _UNFIT.search(name)):
        raise KeyturnError(
            "--name is none that a function can have.",
            f"It takes 1 to {_NAME_LIMIT} letters (A to Z), digits, hyphens and underscores.",
        )


def _spelt(module: str) -> str:
    return module.replace("_", "-")


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
    rotated_by = plan.secret.described.get("RotationLambdaARN")
    if plan.is_on and rotated_by != plan.function_arn:
        raise KeyturnError(
            f"{plan.secret.name} rotates already, by {rotated_by or 'AWS itself'}.",
            "If this command made that function, give its name with --name.",
            f"To have another one, first: aws secretsmanager cancel-rotate-secret --secret-id {plan.secret.name}"
            f"{plan.options}",
        )


def _parsed(text: str | None) -> Mapping[str, object] | None:
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        # The latter: nested too deeply.
        return None
    return value if isinstance(value, dict) else None


def _customer_key(clients: ClientsByName, described: Mapping[str, Any]) -> str | None:
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
