"""The policy vectors of ``tests/vectors/policies``, read strictly, and how each form of them is answered.

Four forms, told apart by their members: what a document is refused with, whether a condition holds, whether a statement
applies, and who decides what. A member that no form has is an error, so that nothing is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from keyturn.call import Principal, PrincipalKind
from keyturn.errors.base import AwsError
from keyturn.rules.policy import document
from keyturn.rules.policy.document import PolicyDocument
from keyturn.rules.policy.evaluate import Policy, PolicySet, PolicyType, RequestContext, condition_keys, evaluate

FOLDER = Path(__file__).parents[3] / "vectors" / "policies"
ACCOUNT, STRANGERS = "111122223333", "444455556666"

Vector = Mapping[str, Any]

PARSERS: Mapping[str, Callable[[str], PolicyDocument]] = {
    "identity": document.parse_identity_policy,
    "managed": document.parse_managed_policy,
    "session": document.parse_session_policy,
    "trust": document.parse_trust_policy,
    "resource": document.parse_resource_policy,
    "key": document.parse_key_policy,
}
# How errors are spelled in IAM's own protocol.
CODES = {"MalformedPolicyDocument": "MalformedPolicyDocumentException", "LimitExceeded": "LimitExceededException"}


def _user(account_id: str, name: str) -> Principal:
    return Principal(PrincipalKind.USER, f"arn:aws:iam::{account_id}:user/{name}", "AIDA", account_id, name)


def _session(account_id: str, role: str) -> Principal:
    return Principal(
        PrincipalKind.ASSUMED_ROLE,
        f"arn:aws:sts::{account_id}:assumed-role/{role}/one",
        "AROA:one",
        account_id,
        role,
        role_arn=f"arn:aws:iam::{account_id}:role/{role}",
        session_name="one",
    )


def _service(name: str) -> Principal:
    return Principal(PrincipalKind.SERVICE, name, "", ACCOUNT, name)


CALLERS: Mapping[str, Principal] = {
    "user": _user(ACCOUNT, "alice"),
    "session": _session(ACCOUNT, "app"),
    "stranger": _user(STRANGERS, "bob"),
    "demo": _session(STRANGERS, "Demo"),
    "service": _service("secretsmanager.amazonaws.com"),
    "lambda": _service("lambda.amazonaws.com"),
}

COMMON = {"id", "source"}
FORMS: Mapping[str, set[str]] = {
    "refused": {"parses", "policy", "text", "error"},
    "holds": {"condition", "request", "version"},
    "applies": {"statement", "action", "resource", "request"},
    "decision": {"caller", "action", "resource", "request", "policies", "by", "statement"},
}


def load() -> dict[str, Vector]:
    """Every vector by its file and id."""
    vectors: dict[str, Vector] = {}
    for path in sorted(FOLDER.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert content.keys() == {"subject", "vectors"}
        for vector in content["vectors"]:
            name = f"{path.stem}/{vector['id']}"
            assert name not in vectors, f"two vectors are called {name}"
            vectors[name] = vector
    return vectors


def form_of(vector: Vector) -> str:
    """Which form a vector has."""
    (form,) = FORMS.keys() & vector.keys()
    return form


def expected(vector: Vector) -> object:
    """What a vector's source says."""
    form = form_of(vector)
    if form == "refused":
        return None if vector["refused"] is None else (CODES.get(vector["error"], vector["error"]), vector["refused"])
    if form == "decision":
        return vector["decision"], vector["by"], vector.get("statement")
    return vector[form]


def answered(vector: Vector) -> object:
    """What Keyturn says, in the same form."""
    return _ANSWERS[form_of(vector)](vector)


def text_of(vector: Vector) -> str:
    """The document that a vector is about, if it is about one."""
    return str(vector["text"]) if "text" in vector else json.dumps(vector["policy"])


def _refusal(vector: Vector) -> object:
    try:
        PARSERS[vector["parses"]](text_of(vector))
    except AwsError as error:
        return error.shape_name(), error.message
    return None


def _request(vector: Vector) -> dict[str, tuple[str, ...]]:
    return condition_keys({name: tuple(values) for name, values in vector["request"].items()})


def _text(statements: object, version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": statements})


def _holds(vector: Vector) -> object:
    # In a resource-based policy variables may stand before 2012, too: as text.
    entry = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "*",
        "Resource": "*",
        "Condition": vector["condition"],
    }
    parsed = document.parse_resource_policy(_text(entry, vector.get("version", "2012-10-17")))
    return all(condition.holds(_request(vector)) for condition in parsed.statements[0].conditions)


def _applies(vector: Vector) -> object:
    parsed = document.parse_identity_policy(_text({"Effect": "Allow", **vector["statement"]}))
    context = RequestContext(CALLERS["user"], vector["action"], vector["resource"], _request(vector))
    return evaluate(context, PolicySet(identity=(Policy("identity", parsed),))).allowed


def _decision(vector: Vector) -> object:
    given = vector["policies"]
    assert given.keys() <= {"identity", "resource", "boundary", "session", "trust", "key"}

    def one(name: str, parser: str) -> Policy | None:
        return Policy(name, PARSERS[parser](_text(given[name]))) if name in given else None

    identity, session = one("identity", "identity"), one("session", "session")
    must_allow = vector["action"] == "sts:AssumeRole" or vector["action"].startswith("kms:")
    policies = PolicySet(
        identity=(identity,) if identity else (),
        resource=one("resource", "resource") or one("trust", "trust") or one("key", "key"),
        boundary=one("boundary", "managed"),
        session=(session,) if session else (),
        resource_must_allow=must_allow,
        resource_type=PolicyType.TRUST if vector["action"] == "sts:AssumeRole" else PolicyType.RESOURCE,
    )
    context = RequestContext(CALLERS[vector["caller"]], vector["action"], vector["resource"], _request(vector))
    decision = evaluate(context, policies)
    statement = decision.statement_index if "statement" in vector else None
    return decision.outcome.value, decision.policy_type.value, statement


_ANSWERS: Mapping[str, Callable[[Vector], object]] = {
    "refused": _refusal,
    "holds": _holds,
    "applies": _applies,
    "decision": _decision,
}
