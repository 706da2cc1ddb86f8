"""One secret's case: everything that was collected about it, under the names by which checks speak of it.

A property that holds an :class:`~keyturn.doctor.facts.Answer` may be blind; its ``value`` then raises, and the check
that asked is blind, too. Nothing here judges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from keyturn.arn import Arn, InvalidArn

from .cached import cached
from .database import Address, Database, address_in
from .facts import Answer, Facts, Kind, Question, Unseen
from .log import LogRun, runs_in
from .network import Network
from .redaction import readable
from .secret_arns import is_namesake
from .trail import TrailEvent, events_in
from .value import ValueParts, parts_of, read_parts
from .waiting import Waiting, waiting_in

Json = Mapping[str, Any]
_Value = TypeVar("_Value")

IN_PROGRESS = timedelta(minutes=15)
"""An attempt that began less long ago is under way: what it has left behind is no fault yet. The threshold is ours: AWS
documents that it tries again, not when."""
_TRAIL_DAYS = timedelta(days=90)
_BEFORE = timedelta(hours=1)
_NEAR = timedelta(minutes=5)
_MOST_CHARACTERS = 2_000_000
TEST_FAILED = "TestRotationFailed"
"""Of RotateSecret without RotateImmediately: the function only logs in with a copy of the current value."""
ROTATION_EVENTS = ("RotationStarted", "RotationSucceeded", "RotationFailed", "RotationAbandoned", TEST_FAILED)
CALLS_ABOUT_SECRETS = (
    "RotateSecret",
    "CancelRotateSecret",
    "PutSecretValue",
    "UpdateSecret",
    "DeleteSecret",
    "PutResourcePolicy",
)
FUNCTION_DELETED = "DeleteFunction20150331"
READ, RANDOM_PASSWORD = "secretsmanager:GetSecretValue", "secretsmanager:GetRandomPassword"
SECRET_ACTIONS = (
    "secretsmanager:DescribeSecret",
    READ,
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
)
"""What a rotation function does with its secret."""
STACK_TAG = "aws:cloudformation:stack-name"
_DENIED_READ = re.compile(r"GetSecretValue on resource: (arn:\S+?)[.,]?(?:\s|$)")
_OF_SUPERUSER = re.compile(r"credentials in (?:master|admin) secret (arn:[^\s:]+(?::[^\s:]+){4}:[\w/+=.@-]+)")


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
    """

    read_value: bool = False
    since: datetime | None = None
    database_address: tuple[str, int] | None = None
    is_one_of_many: bool = False
    preflight: bool = False
    may_be_keyturn: bool = False


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


class Case:
    """What is known of one secret.

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
        self._worked_out: dict[Callable[[Case], Any], Any] = {}
        self._events: dict[str, tuple[TrailEvent, ...]] = {}

    def once(self, work_out: Callable[[Case], _Value]) -> _Value:
        """Return what a function makes of the case, worked out once: what the checks of one family share."""
        if work_out not in self._worked_out:
            self._worked_out[work_out] = work_out(self)
        found: _Value = self._worked_out[work_out]
        return found

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
            _utc(version.get("CreatedDate"))
            for version in self.versions.found.get("Versions", [])
            if version.get("VersionId") == self.labels.get("AWSCURRENT")
        ]
        # moto says of each version that it was made this moment, and of the secret when it changed.
        moments = [moment for moment in (*stored, _utc(self.secret.get("LastChangedDate"))) if moment]
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
        return _utc(self.secret.get("LastRotatedDate"))

    @property
    def next_rotation_at(self) -> datetime | None:
        """When the secret is to be rotated next."""
        return _utc(self.secret.get("NextRotationDate"))

    @cached
    def opens_at(self) -> datetime:
        """Since when lines and events tell of the present fault: behind the last good rotation."""
        moments = [moment for moment in (self.last_rotated_at, self._last_succeeded_at) if moment]
        moments.append(self.options.since or self.now - _TRAIL_DAYS)
        return max(moments)

    @property
    def _last_succeeded_at(self) -> datetime | None:
        events = self.events_if_seen("RotationSucceeded")
        return events[-1].at if events else None

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
            return _utc(datetime.fromisoformat(str(self.configuration.found.get("LastModified"))))
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

    @property
    def simulation_of_superuser(self) -> Answer | None:
        """SimulatePrincipalPolicy of reading the superuser secret; None if none is known."""
        if not self.superuser_arn:
            return None
        found = self.superuser.found if self.superuser is not None else {}
        return self._simulation((READ,), self.superuser_arn, str(found.get("RotationLambdaARN") or ""))

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

    # The superuser secret, which AWS's guide calls the "master" secret.

    @cached
    def superuser_arn(self) -> str:
        """The superuser secret, by the value, the log, a denied call or the role's policies; empty if none is known."""
        return self._named_superuser or self._denied_superuser or self._superuser_in_policies

    @property
    def _named_superuser(self) -> str:
        if self.value_answer is None or self.value_answer.kind is not Kind.OK:
            return ""
        return read_parts(self.value_answer.found).text("masterarn")

    @property
    def _denied_superuser(self) -> str:
        for run in reversed(self.facts.once(runs_in, self.log_events)):
            for line in reversed(run.lines):
                match = _DENIED_READ.search(line.text) or _OF_SUPERUSER.search(line.text)
                if not match or is_namesake(match[1], self.arn):
                    continue
                # The run speaks of this secret as well, or is one of its attempts by its time.
                if self.arn in run.text or self.is_near_failure(run.ended_at):
                    return match[1]
        if self.function_arn:
            for event in reversed(self.facts.once(events_in, self.calls_of_function)):
                match = _DENIED_READ.search(event.error_message)
                if match and not is_namesake(match[1], self.arn) and self.is_near_failure(event.at):
                    return match[1]
        return ""

    @property
    def _superuser_in_policies(self) -> str:
        if self.configuration.kind is not Kind.OK:
            return ""
        for policy in self.role_policies.policies:
            for statement in statements_of(policy.document):
                resources = texts(statement.get("Resource"))
                is_read = texts(statement.get("Action")) == ["secretsmanager:GetSecretValue"]
                if is_read and statement.get("Effect") == "Allow" and len(resources) == 1:
                    arn = resources[0]
                    is_one = arn.startswith("arn:") and ":secret:" in arn and "*" not in arn
                    # What was meant to be this secret itself is no superuser secret.
                    if is_one and not is_namesake(arn, self.arn):
                        return arn
        return ""

    @cached
    def superuser(self) -> Answer | None:
        """DescribeSecret of the superuser secret; None if none is known."""
        return (
            self.facts.ask("secretsmanager", "DescribeSecret", SecretId=self.superuser_arn)
            if self.superuser_arn
            else None
        )

    @cached
    def superuser_policy(self) -> Answer | None:
        """GetResourcePolicy of the superuser secret."""
        if not self.superuser_arn:
            return None
        return self.facts.ask("secretsmanager", "GetResourcePolicy", SecretId=self.superuser_arn)

    @property
    def superuser_key_id(self) -> str:
        """The customer managed key of the superuser secret; empty if it has none, or if that is not known."""
        seen = self.superuser
        return own_key(seen.found) if seen is not None and seen.kind is Kind.OK else ""

    @property
    def superuser_is_named_by_value(self) -> bool:
        """Whether the value names it, and not the words of a function alone, which may say anything."""
        return bool(self.superuser_arn) and self.superuser_arn == self._named_superuser

    @property
    def superuser_is_certain(self) -> bool:
        """Whether the superuser secret is named by the value or a denied call, and not by the role's policies alone."""
        return bool(self.superuser_arn) and self.superuser_arn in (self._named_superuser, self._denied_superuser)

    @property
    def superuser_key(self) -> Answer | None:
        """DescribeKey of it; None if it has none."""
        return self.facts.ask("kms", "DescribeKey", KeyId=self.superuser_key_id) if self.superuser_key_id else None

    # The network and the database.

    @cached
    def database(self) -> Database | None:
        """The database by its address (``--db-host``, else the value's); None if none is given and none is read.

        ``database.instance``, ``.cluster`` and ``.proxy`` are RDS' answers, as far as the host's name calls for them;
        ``database.kind`` says what the name stands for.

        Raises:
            Unseen: The value was to be read, and may not be.
        """
        if self.options.database_address is not None:
            return Database(self.facts, Address(*self.options.database_address), self.place.region)
        address = None if self.value is None else address_in(self.value)
        return None if address is None else Database(self.facts, address, self.place.region)

    @cached
    def network(self) -> Network:
        """The function's network: EC2 is asked only if the function is in a VPC, or its database has a known address.

        ``network.may_stop_login`` says whether the network may be what stops a login: say nothing of credentials then.

        Raises:
            Unseen: The function's configuration may not be looked at.
        """
        try:
            database = self.database
        except Unseen:
            database = None
        return Network(self.facts, self.configuration.value, self.place.region, database)

    # The log.

    @property
    def log_group(self) -> str:
        """Where the function writes."""
        logging: Json = {}
        if self.configuration.kind is Kind.OK:
            logging = self.configuration.found.get("LoggingConfig") or {}
        return str(logging.get("LogGroup") or f"/aws/lambda/{self.function_name}")

    @cached
    def log_groups(self) -> Answer:
        """DescribeLogGroups."""
        return self._of_function("logs", "DescribeLogGroups", logGroupNamePrefix=self.log_group)

    @cached
    def log_events(self) -> Answer:
        """FilterLogEvents since the window opened, with the end of the last good rotation: whether that was logged.

        Texts are matched here, for endpoints differ in their filters.
        """
        begin = int((self.opens_at - _NEAR).timestamp() * 1000)
        # The interval is open at its end for some and closed for others.
        end = int(self.now.timestamp() * 1000) + 1
        return self._of_function(
            "logs", "FilterLogEvents", keep=_redacted_events, logGroupName=self.log_group, startTime=begin, endTime=end
        )

    @cached
    def runs(self) -> tuple[LogRun, ...]:
        """This secret's invocations in the window, oldest first.

        Raises:
            Unseen: The log may not be looked at.
        """
        if self.log_events.kind is Kind.GONE:
            return ()
        if self.log_events.kind is not Kind.OK:
            raise Unseen(self.log_events)
        found = [run for run in self.facts.once(runs_in, self.log_events) if run.ended_at >= self.opens_at]
        others = {arn for run in found for arn in run.secret_arns} - self._own_arns
        return tuple(run for run in found if self._is_own(run, is_shared=bool(others)))

    @property
    def _own_arns(self) -> set[str]:
        return {arn for arn in (self.arn, self.superuser_arn) if arn}

    def _is_own(self, run: LogRun, *, is_shared: bool) -> bool:
        """Say whether an invocation was about this secret; one function often serves many."""
        if self.arn in run.secret_arns:
            return True
        if run.secret_arns - self._own_arns:
            return False
        # It names nobody, or the superuser only.
        closest = self._closest_failure(run.ended_at)
        return not is_shared if closest is None else self.is_about(closest)

    def is_near_failure(self, moment: datetime) -> bool:
        """Whether of all rotations by the function it is one of this secret that failed at that moment."""
        closest = self._closest_failure(moment)
        return closest is not None and self.is_about(closest)

    def _closest_failure(self, moment: datetime) -> TrailEvent | None:
        everybodys = [
            event for name in ("RotationFailed", TEST_FAILED) for event in self.facts.once(events_in, self.trail(name))
        ]
        near = [event for event in everybodys if abs(event.at - moment) <= _NEAR and self._is_of_function(event)]
        return min(near, key=lambda event: abs(event.at - moment), default=None)

    def _is_of_function(self, event: TrailEvent) -> bool:
        arn = event.function_arn
        return arn is None or arn.split(":")[6:7] == [self.function_name]

    @cached
    def step_runs(self) -> tuple[LogRun, ...]:
        """Those of :attr:`runs` that are steps; Keyturn's rotation functions are asked about their database as well."""
        return tuple(run for run in self.runs if "probeSecret:" not in run.text)

    def is_test(self, run: LogRun) -> bool:
        """Whether a failed invocation was one that tests the function, by the trail: nothing was to be rotated."""
        closest = self._closest_failure(run.ended_at)
        return closest is not None and closest.name == TEST_FAILED and self.is_about(closest)

    @cached
    def failed_runs(self) -> tuple[LogRun, ...]:
        """Those of :attr:`step_runs` that failed: behind them no run has finished the rotation."""
        return tuple(run for run in self.step_runs if run.has_failed)

    @cached
    def silent_failure(self) -> TrailEvent | None:
        """The newest RotationFailed if the log has no line of it; None if it has one, or if either may not be seen."""
        if not self.failures_if_seen or self.log_events.kind not in (Kind.OK, Kind.GONE):
            return None
        newest = self.failures_if_seen[-1]
        is_told = any(abs(newest.at - run.ended_at) <= _NEAR for run in self.step_runs)
        return None if is_told else newest

    def metric(self, name: str) -> Answer:
        """GetMetricStatistics of the function, by the minute around :attr:`silent_failure`; of the last day without."""
        around = self.silent_failure
        begin, end = (around.at - _NEAR, around.at + _NEAR) if around else (self.now - timedelta(days=1), self.now)
        return self._of_function(
            "cloudwatch",
            "GetMetricStatistics",
            Namespace="AWS/Lambda",
            MetricName=name,
            Dimensions=[{"Name": "FunctionName", "Value": self.function_name}],
            StartTime=begin.replace(second=0, microsecond=0),
            EndTime=end.replace(second=0, microsecond=0),
            Period=60,
            Statistics=["Sum"],
        )

    # The trail.

    def trail(self, event_name: str) -> Answer:
        """LookupEvents by the name of an event."""
        return self.facts.ask(
            "cloudtrail",
            "LookupEvents",
            LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": event_name}],
            StartTime=self._trail_since,
        )

    @property
    def function_deletions(self) -> list[TrailEvent]:
        """Who has deleted functions, as far as that may be seen; asked only of a function that is gone."""
        return self.facts.once(events_in, self.trail(FUNCTION_DELETED))

    @cached
    def calls_of_function(self) -> Answer:
        """LookupEvents by the name of the function's session, which is the function's."""
        return self.facts.ask(
            "cloudtrail",
            "LookupEvents",
            LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": self.function_name}],
            StartTime=self._trail_since,
        )

    @property
    def _trail_since(self) -> datetime:
        """Since when events are asked for: the service answers two calls a second, so that fewer pages count."""
        begin = self.options.since or self.now - _TRAIL_DAYS
        if self.last_rotated_at is not None and not self.options.is_one_of_many:
            begin = max(begin, self.last_rotated_at - _BEFORE)
        # A whole hour: what many secrets ask is the same.
        return begin.replace(minute=0, second=0, microsecond=0)

    def events(self, event_name: str) -> tuple[TrailEvent, ...]:
        """This secret's events of a name, oldest first.

        Raises:
            Unseen: The trail may not be looked at.
        """
        answer = self.trail(event_name)
        if answer.kind is not Kind.OK:
            raise Unseen(answer)
        if event_name not in self._events:
            self._events[event_name] = tuple(filter(self.is_about, self.facts.once(events_in, answer)))
        return self._events[event_name]

    def events_if_seen(self, event_name: str) -> tuple[TrailEvent, ...]:
        """The same, empty if the trail may not be looked at."""
        return self.events(event_name) if self.trail(event_name).kind is Kind.OK else ()

    def is_about(self, event: TrailEvent) -> bool:
        """Say whether an event is about this secret, however it names it."""
        if event.secret_id not in self._names:
            return False
        # Under its name there may have been another secret before.
        return event.secret_id == self.arn or event.at >= self._began_at

    @cached
    def _began_at(self) -> datetime:
        created_at = self.secret.get("CreatedDate")
        return _floor(created_at) if isinstance(created_at, datetime) else datetime.min.replace(tzinfo=UTC)

    @cached
    def _names(self) -> frozenset[str]:
        """What events may call the secret: its ARN, that without the last six characters, its name."""
        return frozenset((self.arn, self.arn.rpartition("-")[0], self.name, self.secret_id)) - {""}

    @cached
    def failures(self) -> tuple[TrailEvent, ...]:
        """This secret's RotationFailed events in the window, oldest first.

        Raises:
            Unseen: The trail may not be looked at.
        """
        return tuple(event for event in self.events("RotationFailed") if self.is_in_window(event))

    def is_in_window(self, event: TrailEvent) -> bool:
        """Whether an event tells of the present fault."""
        # Events have whole seconds. One of the second in which the window opened belongs into it if it left something.
        begin = self.opens_at.replace(microsecond=0)
        return event.at > begin or (event.at == begin and self.pending_version is not None)

    @property
    def failures_if_seen(self) -> tuple[TrailEvent, ...]:
        """The same, empty if the trail may not be looked at."""
        return self.failures if self.trail("RotationFailed").kind is Kind.OK else ()

    @property
    def failed_step(self) -> str | None:
        """The step in which the newest attempt failed, by the trail, else by the log."""
        if self.failures_if_seen and self.failures_if_seen[-1].step:
            return self.failures_if_seen[-1].step
        try:
            failed = self.failed_runs
        except Unseen:
            return None
        return failed[-1].step if failed else None

    @property
    def attempt_began_at(self) -> datetime | None:
        """When the newest attempt in the window began, by the trail, or by its version."""
        started = [event.at for event in self.events_if_seen("RotationStarted") if self.is_in_window(event)]
        if started:
            return started[-1]
        if self.pending_version and self.versions.kind is Kind.OK:
            for version in self.versions.found.get("Versions", []):
                if version.get("VersionId") == self.pending_version:
                    return _utc(version.get("CreatedDate"))
        return None

    @property
    def is_in_progress(self) -> bool:
        """Whether an attempt is so young that it may still be running, and nothing says that it failed."""
        # One that waits for a place has no RotationStarted yet, and its call has set the label. And while this was
        # collected it may have ended well: then its beginning lies before the window now.
        begun = [*self.events_if_seen("RotationStarted"), *self.events_if_seen("RotateSecret")]
        moments = [self.attempt_began_at, *(event.at for event in begun if not event.error_code)]
        began_at = max(filter(None, moments), default=None)
        if began_at is None or self.now - began_at >= IN_PROGRESS:
            return False
        return not any(event.at >= began_at for event in self.failures_if_seen)

    @property
    def has_failed(self) -> bool:
        """Whether anything that may be seen says that rotation has failed since it last went well."""
        if self.failures_if_seen:
            return True
        try:
            return bool(self.failed_runs)
        except Unseen:
            return False


def own_key(secret: Json) -> str:
    """Return the customer managed key of a secret; empty if it is under the account's own for Secrets Manager."""
    key_id = str(secret.get("KmsKeyId") or "")
    return "" if key_id.endswith("alias/aws/secretsmanager") else key_id


def statements_of(document: Json) -> list[Json]:
    """Return the statements of a policy, whether there are several or one."""
    found = document.get("Statement", [])
    return [found] if isinstance(found, Mapping) else [each for each in found if isinstance(each, Mapping)]


def texts(value: object) -> list[str]:
    """Return what may be a text or a list of texts as a list."""
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, (list, tuple)) else []


def _floor(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _utc(value: object) -> datetime | None:
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


def _redacted_events(reply: Json) -> Json:
    """Return the newest events, each as it is kept, as many as can be read in some seconds."""
    events: list[Json] = []
    left = _MOST_CHARACTERS
    for event in sorted(reply.get("events", []), key=lambda each: each.get("timestamp", 0), reverse=True):
        message = readable(str(event.get("message", "")))
        left -= len(message)
        if left < 0:
            break
        events.append({**event, "message": message})
    return {**reply, "events": events[::-1]}


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
