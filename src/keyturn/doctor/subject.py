"""What one secret's rotation consists of: the secret, its function, the function's role, the key.

Where these may not be seen an :class:`~keyturn.doctor.facts.Answer` is blind; its ``value`` then raises, and the check
that asked is blind, too. What has become of rotations is in ``case.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from keyturn.arn import Arn, InvalidArn

from .cached import cached
from .documents import Json
from .facts import Answer, Facts, Kind, Question
from .value import ValueParts, parts_of, read_parts
from .waiting import Waiting, waiting_in

READ, RANDOM_PASSWORD = "secretsmanager:GetSecretValue", "secretsmanager:GetRandomPassword"
SECRET_ACTIONS = (
    "secretsmanager:DescribeSecret",
    READ,
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
)
"""What a rotation function does with its secret."""
STACK_TAG = "aws:cloudformation:stack-name"


@dataclass(frozen=True, slots=True)
class Options:
    """How a secret is looked at.

    Attributes:
        read_value: Whether its value may be read.
        since: From when on log and trail are read, if the operator says so.
        database_address: Name and port, if the operator gives them in place of the value's.
        is_one_of_many: Whether the trail is asked as for other secrets, too, so that it needs to be asked only once.
        preflight: Whether Keyturn is to look from inside the function's sandbox.
        may_be_keyturn: Whether it is not AWS that is asked, so that the server may know what only Keyturn does.
        is_on_page: Whether it is told on a page, where nobody gives options.
    """

    read_value: bool = False
    since: datetime | None = None
    database_address: tuple[str, int] | None = None
    is_one_of_many: bool = False
    preflight: bool = False
    may_be_keyturn: bool = False
    is_on_page: bool = False

    def told(self, to_command_line: str, on_page: str = "") -> str:
        """Return words that name an option, or those that a page has in their place."""
        return on_page if self.is_on_page else to_command_line

    @property
    def unknown_address(self) -> str:
        """Why what the database's address is needed for was not looked at."""
        return f"the database's address is not known{self.told(': --read-value or --db-host tells it')}"


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """A policy document with what it is called.

    Attributes:
        kind: ``inline``, ``managed`` or ``boundary``.
        name: An inline policy's name, a managed policy's ARN.
        document: As JSON.
        source: The call that showed it.
    """

    kind: str
    name: str
    document: Json
    source: str


@dataclass(frozen=True, slots=True)
class RolePolicies:
    """The policies of a role, as far as they may be seen.

    Attributes:
        policies: Inline and managed ones.
        boundary: The permissions boundary, if there is one.
        unseen: What may not be looked at; with one of these, that nothing allows something is not known.
        unseen_boundary: Of these, what tells of the boundary.
    """

    policies: tuple[NamedPolicy, ...]
    boundary: NamedPolicy | None
    unseen: tuple[Answer, ...] = ()
    unseen_boundary: tuple[Answer, ...] = ()


class Subject:
    """A secret and what its rotation consists of.

    Args:
        facts: Answers.
        secret_id: As the operator named it.
        now: Aware UTC.
        options: How it is looked at.
    """

    def __init__(self, facts: Facts, secret_id: str, now: datetime, options: Options | None = None) -> None:
        self.facts = facts
        self.secret_id = secret_id
        self.now = now
        self.options = options or Options()
        self.endpoint: str | None = None
        """Where it is, as whoever examines it says; None for AWS's own."""

    # The secret.

    @cached
    def described(self) -> Answer:
        """DescribeSecret."""
        return self.facts.ask("secretsmanager", "DescribeSecret", SecretId=self.secret_id)

    @property
    def secret(self) -> Json:
        """DescribeSecret's reply."""
        return self.described.value

    @property
    def arn(self) -> str:
        """Of the secret."""
        return str(self.secret["ARN"])

    @property
    def name(self) -> str:
        """Of the secret."""
        return str(self.secret.get("Name", self.arn))

    @property
    def place(self) -> Arn:
        """The secret's ARN in its parts."""
        return Arn.parse(self.arn)

    @cached
    def labels(self) -> Mapping[str, str]:
        """Staging label to version id."""
        stages = self.secret.get("VersionIdsToStages") or {}
        return {label: version_id for version_id, labels in stages.items() for label in labels}

    @cached
    def versions(self) -> Answer:
        """ListSecretVersionIds, those without labels, too."""
        return self.facts.ask("secretsmanager", "ListSecretVersionIds", SecretId=self.arn, IncludeDeprecated=True)

    @cached
    def resource_policy(self) -> Answer:
        """GetResourcePolicy of the secret."""
        return self.facts.ask("secretsmanager", "GetResourcePolicy", SecretId=self.arn)

    @property
    def pending_version(self) -> str | None:
        """The version that AWSPENDING has been left on: not the current one."""
        pending = self.labels.get("AWSPENDING")
        return None if pending is None or pending == self.labels.get("AWSCURRENT") else pending

    @property
    def pending_is_empty(self) -> bool:
        """Whether :attr:`pending_version` has no value: then it is not listed.

        Raises:
            Unseen: The versions may not be looked at.
        """
        listed = self.versions.value.get("Versions", [])
        return all(version.get("VersionId") != self.pending_version for version in listed)

    @property
    def value_stored_at(self) -> datetime | None:
        """When the current value was stored; None if that is not known."""
        if self.versions.kind is not Kind.OK or self.described.kind is not Kind.OK:
            return None
        stored = [
            utc(version.get("CreatedDate"))
            for version in self.versions.found.get("Versions", [])
            if version.get("VersionId") == self.labels.get("AWSCURRENT")
        ]
        # moto says of each version that it was made this moment, and of the secret when it changed.
        moments = [moment for moment in (*stored, utc(self.secret.get("LastChangedDate"))) if moment]
        return min(moments) if stored and moments else None

    @cached
    def value_answer(self) -> Answer | None:
        """GetSecretValue of AWSCURRENT, with nothing secret in it; None if it is not to be read."""
        return self._value_of(self.arn)

    @property
    def value(self) -> ValueParts | None:
        """What is known of the value; None if it was not to be read."""
        return None if self.value_answer is None else read_parts(self.value_answer.value)

    def _value_of(self, arn: str) -> Answer | None:
        if not self.options.read_value:
            return None
        # Without a stage moto answers with the pending version.
        return self.facts.ask(
            "secretsmanager", "GetSecretValue", keep=parts_of, SecretId=arn, VersionStage="AWSCURRENT"
        )

    @cached
    def preflight(self) -> Answer | None:
        """Keyturn's PreflightRotation: what is found from inside the function's sandbox; None if it is not asked."""
        if not self.options.preflight:
            return None
        return self.facts.ask("keyturn", "PreflightRotation", SecretId=self.arn)

    @property
    def put_off(self) -> str:
        """Why Keyturn cannot look from inside just now; empty if it has, or was not asked."""
        if self.preflight is None or self.preflight.code != "InvalidRequestException":
            return ""
        said = self.preflight.message
        if "is running just now" in said:
            return "a rotation is running; ask again in a moment"
        return "too many pre-flights run; ask again in a moment" if said.startswith("Too many pre-flights") else ""

    @cached
    def last_preflight(self) -> Answer | None:
        """Keyturn's GetRotationPreflight: what was found last; None if it is not asked, or is being looked at now."""
        if not self.options.may_be_keyturn or self.options.preflight:
            return None
        return self.facts.ask("keyturn", "GetRotationPreflight", SecretId=self.arn)

    @cached
    def rotations(self) -> Answer | None:
        """Keyturn's ListRotations, the newest; None if it is not asked."""
        if not self.options.may_be_keyturn:
            return None
        return self.facts.ask("keyturn", "ListRotations", keep=_without_errors, SecretId=self.arn)

    @property
    def waiting(self) -> Waiting | None:
        """The rotation that has not ended; None if there is none, or nobody tells."""
        answer = self.rotations
        return None if answer is None or answer.kind is not Kind.OK else waiting_in(answer.found)

    # The stack.

    @property
    def stack_name(self) -> str:
        """The stack that made the secret, by its tags; empty if none has."""
        tags = {str(tag.get("Key")): str(tag.get("Value")) for tag in self.secret.get("Tags") or []}
        return tags.get(STACK_TAG, "")

    @cached
    def stack_events(self) -> Answer | None:
        """DescribeStackEvents; None unless a stack made the secret and its rotation has never worked."""
        if not self.stack_name or self.last_rotated_at is not None:
            return None
        return self.facts.ask(
            "cloudformation", "DescribeStackEvents", keep=_without_properties, StackName=self.stack_name
        )

    # Time.

    @property
    def last_rotated_at(self) -> datetime | None:
        """When the secret was last rotated."""
        return utc(self.secret.get("LastRotatedDate"))

    @property
    def next_rotation_at(self) -> datetime | None:
        """When the secret is to be rotated next."""
        return utc(self.secret.get("NextRotationDate"))

    # The function.

    @property
    def function_arn(self) -> str:
        """The rotation function, qualifier included; empty if there is none."""
        return str(self.secret.get("RotationLambdaARN") or "")

    @property
    def function_place(self) -> Arn | None:
        """The function's ARN in its parts; None if there is none or it is none."""
        try:
            return Arn.parse(self.function_arn) if self.function_arn else None
        except InvalidArn:
            return None

    @property
    def function_name(self) -> str:
        """The function's name, without a qualifier."""
        return self.function_arn.split(":")[6] if self.function_arn.count(":") >= 6 else self.function_arn

    @property
    def function_id(self) -> str:
        """What calls that change the function name it by: its name, or its ARN if another account or region has it."""
        place = self.function_place
        if place is None or (place.account_id, place.region) == (self.place.account_id, self.place.region):
            return self.function_name
        return self._unqualified_arn

    @cached
    def is_function_elsewhere(self) -> bool:
        """Whether the function is another account's than that in which is looked: names mean something else there."""
        place = self.function_place
        if place is None or place.account_id == self.place.account_id:
            return False
        caller = self.facts.ask("sts", "GetCallerIdentity")
        account_id = caller.found.get("Account") if caller.kind is Kind.OK else None
        return str(account_id or self.place.account_id) != place.account_id

    def _of_function(self, service: str, operation: str, **parameters: Any) -> Answer:
        """Ask about what belongs to the function and has a name only; blind if that is another account's."""
        if self.is_function_elsewhere:
            question = Question(service, operation)
            return Answer(question, Kind.BLIND, code="OtherAccount", message="The function is another account's.")
        return self.facts.ask(service, operation, **parameters)

    @property
    def qualifier(self) -> str:
        """The alias or version in the function's ARN; empty if there is none."""
        return self.function_arn.split(":")[7] if self.function_arn.count(":") == 7 else ""

    @cached
    def configuration(self) -> Answer:
        """GetFunctionConfiguration, of the qualifier that the secret uses; without the values of its variables."""
        return self.facts.ask(
            "lambda", "GetFunctionConfiguration", keep=_without_secret_variables, FunctionName=self.function_arn
        )

    @cached
    def function_policy(self) -> Answer:
        """GetPolicy, of the qualifier that the secret uses."""
        qualifier: Json = {"Qualifier": self.qualifier} if self.qualifier else {}
        return self.facts.ask("lambda", "GetPolicy", FunctionName=self._unqualified_arn, **qualifier)

    @cached
    def unqualified_function_policy(self) -> Answer:
        """GetPolicy of the function itself; the same if the secret uses no qualifier."""
        return self.facts.ask("lambda", "GetPolicy", FunctionName=self._unqualified_arn)

    @cached
    def policies_of_aliases(self) -> tuple[Answer, ...]:
        """GetPolicy of each alias; asked only where the secret's own ARN has no statement for Secrets Manager."""
        aliases = self.facts.ask("lambda", "ListAliases", FunctionName=self._unqualified_arn)
        names = [entry["Name"] for entry in aliases.found.get("Aliases", [])] if aliases.kind is Kind.OK else []
        return tuple(
            self.facts.ask("lambda", "GetPolicy", FunctionName=self._unqualified_arn, Qualifier=name) for name in names
        )

    @cached
    def concurrency(self) -> Answer:
        """GetFunctionConcurrency."""
        return self.facts.ask("lambda", "GetFunctionConcurrency", FunctionName=self._unqualified_arn)

    @property
    def function_changed_at(self) -> datetime | None:
        """When the function's code or configuration last changed; None if that is not known."""
        if self.configuration.kind is not Kind.OK:
            return None
        try:
            return utc(datetime.fromisoformat(str(self.configuration.found.get("LastModified"))))
        except ValueError:
            return None

    @cached
    def function_key(self) -> Answer | None:
        """DescribeKey of the key that the function's variables are under; None if that is the account's own."""
        key_id = str(self.configuration.found.get("KMSKeyArn") or "") if self.configuration.kind is Kind.OK else ""
        return self.facts.ask("kms", "DescribeKey", KeyId=key_id) if key_id else None

    @property
    def _unqualified_arn(self) -> str:
        return ":".join(self.function_arn.split(":")[:7])

    @property
    def variables(self) -> Mapping[str, str]:
        """The function's environment variables: of those that could be secret, the names only."""
        environment = self.configuration.value.get("Environment") or {}
        return environment.get("Variables") or {}

    # The role.

    @property
    def role_arn(self) -> str:
        """The execution role."""
        return str(self.configuration.value.get("Role") or "")

    @property
    def role_name(self) -> str:
        """The execution role's name."""
        return self.role_arn.rpartition("/")[2]

    @cached
    def role(self) -> Answer:
        """GetRole."""
        answer = self._of_function("iam", "GetRole", RoleName=self.role_name)
        if answer.kind is Kind.OK and answer.found["Role"].get("Arn", self.role_arn) != self.role_arn:
            return Answer(answer.question, Kind.BLIND, code="OtherRole", message="A role of this name, another one.")
        return answer

    @cached
    def role_policies(self) -> RolePolicies:
        """The role's policies and its boundary."""
        found: list[NamedPolicy] = []
        unseen: list[Answer] = []
        inline = self._of_function("iam", "ListRolePolicies", RoleName=self.role_name)
        for name in self._listed(inline, "PolicyNames", unseen):
            answer = self.facts.ask("iam", "GetRolePolicy", RoleName=self.role_name, PolicyName=name)
            if answer.kind is Kind.OK:
                found.append(NamedPolicy("inline", name, answer.found["PolicyDocument"], "iam:GetRolePolicy"))
            elif answer.kind is not Kind.GONE:
                unseen.append(answer)
        attached = self._of_function("iam", "ListAttachedRolePolicies", RoleName=self.role_name)
        for entry in self._listed(attached, "AttachedPolicies", unseen):
            policy = self._managed("managed", entry["PolicyArn"], unseen)
            found += [policy] if policy else []
        boundary, dark = None, list[Answer]()
        if self.role.kind is Kind.OK:
            arn = (self.role.found["Role"].get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn")
            boundary = self._managed("boundary", arn, dark) if arn else None
        elif self.role.kind is not Kind.GONE:
            dark.append(self.role)
        return RolePolicies(tuple(found), boundary, (*unseen, *dark), tuple(dark))

    @property
    def simulation_of_rotation(self) -> Answer:
        """SimulatePrincipalPolicy of what a rotation does with the secret."""
        return self._simulation(SECRET_ACTIONS, self.arn, self.function_arn)

    @property
    def simulation_of_passwords(self) -> Answer:
        """SimulatePrincipalPolicy of GetRandomPassword, which is about no resource."""
        return self._simulation((RANDOM_PASSWORD,), "*", "")

    def _simulation(self, actions: tuple[str, ...], resource: str, function_arn: str) -> Answer:
        keys = {"aws:RequestedRegion": self.place.region, "aws:SecureTransport": "true"}
        if function_arn:
            keys["secretsmanager:resource/AllowRotationLambdaArn"] = function_arn
        context = [
            {
                "ContextKeyName": name,
                "ContextKeyValues": [value],
                "ContextKeyType": "boolean" if name == "aws:SecureTransport" else "string",
            }
            for name, value in keys.items()
        ]
        return self.facts.ask(
            "iam",
            "SimulatePrincipalPolicy",
            PolicySourceArn=self.role_arn,
            ActionNames=list(actions),
            ResourceArns=[resource],
            ContextEntries=context,
        )

    def _managed(self, kind: str, arn: str, unseen: list[Answer]) -> NamedPolicy | None:
        policy = self.facts.ask("iam", "GetPolicy", PolicyArn=arn)
        if policy.kind is not Kind.OK:
            unseen.append(policy)
            return None
        version_id = policy.found["Policy"]["DefaultVersionId"]
        version = self.facts.ask("iam", "GetPolicyVersion", PolicyArn=arn, VersionId=version_id)
        if version.kind is not Kind.OK:
            unseen.append(version)
            return None
        return NamedPolicy(kind, arn, version.found["PolicyVersion"]["Document"], "iam:GetPolicyVersion")

    def _listed(self, answer: Answer, member: str, unseen: list[Answer]) -> list[Any]:
        if answer.kind is Kind.OK:
            return list(answer.found.get(member, []))
        if answer.kind is not Kind.GONE:
            unseen.append(answer)
        return []

    # Keys.

    @property
    def key_id(self) -> str:
        """The customer managed key of the secret; empty if it has none."""
        return own_key(self.secret)

    @cached
    def key(self) -> Answer | None:
        """DescribeKey of the secret's customer managed key; None if it has none."""
        return self.facts.ask("kms", "DescribeKey", KeyId=self.key_id) if self.key_id else None

    @cached
    def key_policy(self) -> Answer | None:
        """GetKeyPolicy of it."""
        return self.policy_of_key(self.key_id)

    @cached
    def key_grants(self) -> Answer | None:
        """ListGrants of it."""
        return self.grants_of_key(self.key_id)

    def policy_of_key(self, key_id: str) -> Answer | None:
        """Return GetKeyPolicy of a key; None if there is none."""
        if not key_id:
            return None
        return self.facts.ask("kms", "GetKeyPolicy", KeyId=self.key_arn(key_id), PolicyName="default")

    def grants_of_key(self, key_id: str) -> Answer | None:
        """Return ListGrants of a key; None if there is none."""
        return self.facts.ask("kms", "ListGrants", KeyId=self.key_arn(key_id)) if key_id else None

    def key_arn(self, key_id: str) -> str:
        """Return the ARN of a key, or what it is called if it may not be looked at."""
        # An alias is not taken everywhere, and DescribeKey tells the key behind it.
        described = self.facts.ask("kms", "DescribeKey", KeyId=key_id)
        return str(described.found["KeyMetadata"]["Arn"]) if described.kind is Kind.OK else key_id


def own_key(secret: Json) -> str:
    """Return the customer managed key of a secret; empty if it is under the account's own for Secrets Manager."""
    key_id = str(secret.get("KmsKeyId") or "")
    return "" if key_id.endswith("alias/aws/secretsmanager") else key_id


def utc(value: object) -> datetime | None:
    """Return what a reply holds as a moment, aware UTC; None if it is none."""
    return value.astimezone(UTC) if isinstance(value, datetime) else None


# Of a function's variables the doctor reads these; of the others it keeps the names, for any of them can be a secret.
_READ_VARIABLES = frozenset(
    {
        "SECRETS_MANAGER_ENDPOINT",
        "EXCLUDE_CHARACTERS",
        "PASSWORD_LENGTH",
        "SECRET_ARN",
        "AUTHENTICATION_CREATION_ENABLED",
    }
)


def _without_secret_variables(reply: Json) -> Json:
    environment = reply.get("Environment") or {}
    variables = environment.get("Variables")
    if not variables:
        return reply
    kept = {name: value if name in _READ_VARIABLES else "" for name, value in variables.items()}
    return {**reply, "Environment": {**environment, "Variables": kept}}


def _without_errors(reply: Json) -> Json:
    # What a function says is read from its log, where it is redacted.
    rotations = [
        {name: value for name, value in rotation.items() if name not in ("Error", "LastError")}
        for rotation in reply.get("Rotations", [])
    ]
    return {**reply, "Rotations": rotations}


def _without_properties(reply: Json) -> Json:
    # A template's properties can be passwords, those that are no parameters with NoEcho.
    events = [
        {name: value for name, value in event.items() if name != "ResourceProperties"}
        for event in reply.get("StackEvents", [])
    ]
    return {**reply, "StackEvents": events}
