"""The parts around a rotation function, each of which can be looked for and made.

Looking comes first, for all of them: whatever somebody else has made ends the command before anything is changed, and
what is there already is left as it is. So an interrupted command is finished by running it again.

A role and a function are known by a tag, which is there from their first moment on, and trusted only if they are what
would be made: :mod:`.function_trust`.
"""

from __future__ import annotations

import json
import re
import shlex
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from keyturn.client.function_plan import MASTERARN, Plan
from keyturn.client.function_trust import refuse_other_configuration, refuse_other_policies, refuse_other_trust
from keyturn.doctor.asking import ClientsByName
from keyturn.doctor.own_functions import MADE_BY
from keyturn.errors.base import KeyturnError
from keyturn.rotators import package
from keyturn.rules import rotation_permissions as permissions

_TAG = "keyturn:rotates"
# AWS's limit of a tag's value; an ARN is told apart by its end.
_TAG_LIMIT = 256
_TIMEOUT_SECONDS = 30
_MEMORY_MB = 256
# In AWS a new role can be assumed some seconds later, and its policies count.
_ROLE_IS_NEW = re.compile("cannot be assumed by Lambda|does not have permissions to call")
_ROLE_ATTEMPTS = 20
_ROLE_PAUSE_SECONDS = 1
_LABEL = "KeyturnAddsMasterArn"


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of a part.

    Attributes:
        note: What is to be known about one that is there.
        command: That mends it.
    """

    is_there: bool
    note: str = ""
    command: str = ""


class Part(Protocol):
    """One thing to be made.

    Attributes:
        kind: In a word, for programs and for the first column.
        title: What it is, for people.
        document: What is put: a policy, or parameters; None if there is nothing more to be seen.
    """

    kind: str
    title: str
    document: Mapping[str, object] | None

    def look(self) -> Found:
        """Say what there is.

        Raises:
            KeyturnError: There is one that this command did not make, or that was changed since.
        """
        ...

    def make(self) -> None:
        """Make it; only called if it is not there."""
        ...


def parts_of(clients: ClientsByName, plan: Plan, *, grants_superuser_read: bool) -> Sequence[Part]:
    """Return what is to be there before rotation is switched on, in the order in which it is made."""
    secret, superuser = plan.secret, plan.superuser
    policy = permissions.role_policy(
        secret.arn, plan.function_arn, plan.log_group_arn, f"{plan.log_group_arn}:*", secret.kms_key_arn
    )
    role_policies = [RolePolicy(clients, plan, permissions.ROLE_POLICY, policy)]
    if plan.vpc_config is not None:
        role_policies.append(RolePolicy(clients, plan, permissions.NETWORK_POLICY, permissions.network_policy()))
    own_policies = tuple(role_policies)
    if superuser is not None:
        granted = permissions.document(*permissions.superuser_statements(superuser.arn, superuser.kms_key_arn))
        role_policies.append(RolePolicy(clients, plan, permissions.SUPERUSER_POLICY, granted))
    is_granted_now = superuser is not None and grants_superuser_read
    parts: list[Part] = [
        Role(clients, plan, role_policies),
        *(role_policies if is_granted_now else own_policies),
        Function(clients, plan, needs_same_code=is_granted_now),
        InvokePermission(clients, plan),
    ]
    if superuser is not None:
        parts.append(SuperuserInValue(clients, plan))
    return parts


class Role:
    """The execution role.

    Its policies are looked at with it, also one that somebody else has granted: no part is made of that one then.
    """

    kind = "role"

    def __init__(self, clients: ClientsByName, plan: Plan, policies: Sequence[RolePolicy]) -> None:
        self._clients, self._plan, self._policies = clients, plan, policies
        self.title = plan.name
        self._trust = permissions.trust_policy(plan.account_id)
        self.document: Mapping[str, object] | None = self._trust

    def look(self) -> Found:
        """Say what there is."""
        iam = self._clients["iam"]
        try:
            role = iam.get_role(RoleName=self._plan.name)["Role"]
        except iam.exceptions.NoSuchEntityException:
            return Found(is_there=False)
        _refuse_foreign("role", self._plan, {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])})
        refuse_other_trust(self._plan, role["AssumeRolePolicyDocument"], self._trust)
        refuse_other_policies(self._clients, self._plan, [policy.title for policy in self._policies])
        for policy in self._policies:
            policy.look()
        return Found(is_there=True)

    def make(self) -> None:
        """Make it."""
        self._clients["iam"].create_role(
            RoleName=self._plan.name,
            AssumeRolePolicyDocument=json.dumps(self.document),
            Description=f"Execution role of a rotation function; {MADE_BY}.",
            Tags=[{"Key": key, "Value": value} for key, value in _tags(self._plan).items()],
        )


class RolePolicy:
    """An inline policy of the role."""

    kind = "role policy"

    def __init__(self, clients: ClientsByName, plan: Plan, name: str, document: Mapping[str, object]) -> None:
        self._clients, self._plan, self.title = clients, plan, name
        self.document: Mapping[str, object] | None = document

    def look(self) -> Found:
        """Say what there is."""
        iam = self._clients["iam"]
        try:
            found = iam.get_role_policy(RoleName=self._plan.name, PolicyName=self.title)
        except iam.exceptions.NoSuchEntityException:
            return Found(is_there=False)
        if found["PolicyDocument"] != self.document:
            names = f"--role-name {self._plan.name} --policy-name {self.title}"
            raise KeyturnError(
                f"The policy {self.title} of the role {self._plan.name} is another one than this command would put.",
                "--dry-run shows what it would put, with a --name that is free; aws iam get-role-policy what is there.",
                f"To have it put anew, first: aws iam delete-role-policy {names}{self._plan.options}",
            )
        return Found(is_there=True)

    def make(self) -> None:
        """Put it."""
        self._clients["iam"].put_role_policy(
            RoleName=self._plan.name, PolicyName=self.title, PolicyDocument=json.dumps(self.document)
        )


class Function:
    """The rotation function itself; it needs the same code if its role is let read another secret now."""

    kind = "function"

    def __init__(self, clients: ClientsByName, plan: Plan, *, needs_same_code: bool) -> None:
        self._clients, self._plan, self._needs_same_code = clients, plan, needs_same_code
        self.title = plan.name
        environment = {} if plan.environment is None else {"Environment": {"Variables": dict(plan.environment)}}
        vpc = {} if plan.vpc_config is None else {"VpcConfig": dict(plan.vpc_config)}
        self.document: Mapping[str, object] | None = {**environment, **vpc} or None

    def look(self) -> Found:
        """Say what there is."""
        client, plan = self._clients["lambda"], self._plan
        try:
            found = client.get_function(FunctionName=plan.name)
        except client.exceptions.ResourceNotFoundException:
            return Found(is_there=False)
        configuration = found["Configuration"]
        # GetFunction has the tags too, in AWS only for who may list them: then they would seem to be none.
        _refuse_foreign("function", plan, client.list_tags(Resource=configuration["FunctionArn"])["Tags"])
        # One made of an image has none.
        handler = configuration.get("Handler", "of an image")
        if handler != plan.code.handler:
            raise KeyturnError(
                f"The function {plan.name} was made for another handler, {handler}, and would now"
                f" need {plan.code.handler}.",
                "If it was made with --strategy, say the same again. Another strategy has another function: choose a"
                " --name for it, or delete the one that is there.",
            )
        refuse_other_configuration(plan, configuration)
        if configuration["CodeSha256"] == package.sha256_base64(plan.code.content):
            return Found(is_there=True)
        command = self._renewal()
        if self._needs_same_code:
            raise KeyturnError(
                f"The code of the function {plan.name} is not what would be made now, so its role is not let read the"
                " superuser secret.",
                f"To have it renewed, first: {command}",
            )
        return Found(is_there=True, note="its code is not what would be made now:", command=command)

    def _renewal(self) -> str:
        plan = self._plan
        file, make = plan.code.title, ""
        if plan.code.engine is not None:
            file = f"{plan.name}.zip"
            make = f"keyturn function package {plan.code.engine} --strategy {plan.code.strategy} --file {file} && "
        renew = f"aws lambda update-function-code --function-name {plan.name} --zip-file fileb://{shlex.quote(file)}"
        return f"{make}{renew}{plan.options}"

    def make(self) -> None:
        """Make it, as soon as the role can be assumed."""
        client = self._clients["lambda"]
        for attempt in range(_ROLE_ATTEMPTS):
            try:
                client.create_function(**self._parameters())
                break
            except client.exceptions.InvalidParameterValueException as error:
                if not _ROLE_IS_NEW.search(str(error)) or attempt == _ROLE_ATTEMPTS - 1:
                    raise
                time.sleep(_ROLE_PAUSE_SECONDS)
        client.get_waiter("function_active_v2").wait(FunctionName=self._plan.name)

    def _parameters(self) -> dict[str, Any]:
        plan = self._plan
        # Compiled code runs where it was built; anything else runs wherever the account has its functions.
        built_for = package.architecture(plan.code.content)
        return {
            "FunctionName": plan.name,
            "Runtime": plan.runtime,
            "Role": plan.role_arn,
            "Handler": plan.code.handler,
            "Code": {"ZipFile": plan.code.content},
            "Description": f"Rotates a secret; {MADE_BY}.",
            "Timeout": _TIMEOUT_SECONDS,
            "MemorySize": _MEMORY_MB,
            "Tags": _tags(plan),
            **({"Architectures": [built_for]} if built_for else {}),
            **(self.document or {}),
        }


class InvokePermission:
    """The statement in the function's own policy that lets Secrets Manager invoke it for this secret."""

    kind = "permission"
    title = permissions.STATEMENT_ID

    def __init__(self, clients: ClientsByName, plan: Plan) -> None:
        self._clients, self._plan = clients, plan
        self._parameters = permissions.invoke_permission(plan.secret.arn, plan.account_id)
        self.document: Mapping[str, object] | None = self._parameters

    def look(self) -> Found:
        """Say what there is."""
        client = self._clients["lambda"]
        try:
            policy = json.loads(client.get_policy(FunctionName=self._plan.name)["Policy"])
        except client.exceptions.ResourceNotFoundException:
            return Found(is_there=False)
        statements = policy["Statement"]
        for statement in statements:
            if statement["Effect"] == "Allow" and not self._is_ours(statement):
                sid = statement.get("Sid", "")
                names = f"--function-name {self._plan.name} --statement-id {sid}"
                raise KeyturnError(
                    f"The statement {sid} in the policy of the function {self._plan.name} is another one than this"
                    " command would add.",
                    f"To have it taken away, first: aws lambda remove-permission {names}{self._plan.options}",
                )
        return Found(is_there=any(map(self._is_ours, statements)))

    def _is_ours(self, statement: Mapping[str, Any]) -> bool:
        wanted = self._parameters
        return bool(
            statement.get("Effect") == "Allow"
            and statement.get("Action") == wanted["Action"]
            and statement.get("Principal") == {"Service": wanted["Principal"]}
            and statement.get("Condition")
            == {
                "StringEquals": {"AWS:SourceAccount": wanted["SourceAccount"]},
                "ArnLike": {"AWS:SourceArn": wanted["SourceArn"]},
            }
        )

    def make(self) -> None:
        """Add it."""
        self._clients["lambda"].add_permission(FunctionName=self._plan.name, StatementId=self.title, **self._parameters)


class SuperuserInValue:
    """The key of the secret's value that names the superuser secret."""

    kind = "value"
    title = MASTERARN

    def __init__(self, clients: ClientsByName, plan: Plan) -> None:
        self._client, self._plan = clients["secretsmanager"], plan
        self.document: Mapping[str, object] | None = None
        if plan.superuser is not None:
            self.document = {MASTERARN: plan.superuser.arn}

    def look(self) -> Found:
        """Say what there is."""
        return Found(is_there=self._plan.superuser is not None and self._plan.superuser.is_named)

    def make(self) -> None:
        """Store the value with that key, unless somebody has stored another one meanwhile."""
        secret, version_id = self._plan.secret, str(uuid.uuid4())
        self._client.put_secret_value(
            SecretId=secret.arn,
            ClientRequestToken=version_id,
            SecretString=json.dumps({**(secret.value or {}), **(self.document or {})}),
            VersionStages=[_LABEL],
        )
        try:
            # Refused if AWSCURRENT is not on the version any more that was read: no password is put back.
            self._client.update_secret_version_stage(
                SecretId=secret.arn,
                VersionStage="AWSCURRENT",
                MoveToVersionId=version_id,
                RemoveFromVersionId=secret.version_id,
            )
        except self._client.exceptions.InvalidParameterException as error:
            raise KeyturnError(
                f"Somebody has stored another value of {secret.name} meanwhile: that one stays, and {MASTERARN} was not"
                " added to it."
            ) from error
        finally:
            self._client.update_secret_version_stage(
                SecretId=secret.arn, VersionStage=_LABEL, RemoveFromVersionId=version_id
            )


def _tags(plan: Plan) -> dict[str, str]:
    return {_TAG: plan.secret.arn[-_TAG_LIMIT:]}


def _refuse_foreign(kind: str, plan: Plan, tags: Mapping[str, str]) -> None:
    if tags.get(_TAG) == _tags(plan)[_TAG]:
        return
    owner = "another secret" if _TAG in tags else "something else"
    raise KeyturnError(
        f"There is a {kind} {plan.name} already, made for {owner}: it is left alone.",
        "Choose another name for function and role with --name.",
    )
