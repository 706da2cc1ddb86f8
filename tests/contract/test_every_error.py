"""Each error that Secrets Manager's model lists for an operation is reached, or it is said why it cannot be.

The model's table of operations and errors is filled from three places, and a cell that none of them fills fails:
``scenarios.py`` (how to reach it), ``NEVER`` (why nobody can), and operations that are not offered at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from botocore.exceptions import ClientError
from tests.e2e.conftest import ServerProcess

from keyturn.operations import registry

from .scenarios import QUOTA_OF_SECRETS, SCENARIOS, Scenario, general
from .violations import MODEL
from .world import World

registry.discover()

_NO_FREEDOM = "The model allows no request whose members are wrong; what it forbids is a ValidationException."
_NO_STATE = "What it does depends on no secret's state."
_NO_POLICY = "It takes no policy; AWS lists the error for a member that the model does not have."
_UNRECORDED = "Nobody has recorded what AWS answers it for."

# Errors of every operation.
NEVER_ANYWHERE: Mapping[str, str] = {
    "InternalServiceError": "A fault of Keyturn's own, which no request may cause; shown in unit/server/test_pipeline.",
}

# Why an error cannot occur here.
NEVER: Mapping[tuple[str, str], str] = {
    ("BatchGetSecretValue", "ResourceNotFoundException"): "A secret that is not there is told in Errors.",
    ("BatchGetSecretValue", "InvalidRequestException"): "A secret scheduled for deletion is told in Errors.",
    ("BatchGetSecretValue", "DecryptionFailure"): "A value that cannot be opened is told in Errors.",
    ("CreateSecret", "MalformedPolicyDocumentException"): _NO_POLICY,
    ("CreateSecret", "PreconditionNotMetException"): _UNRECORDED,
    ("CreateSecret", "ResourceNotFoundException"): "What it names and is not there, a key, is an EncryptionFailure.",
    ("DescribeSecret", "InvalidParameterException"): _NO_FREEDOM,
    ("GetRandomPassword", "InvalidRequestException"): _NO_STATE,
    ("GetSecretValue", "InvalidParameterException"): _NO_FREEDOM,
    (
        "GetResourcePolicy",
        "InvalidParameterException",
    ): "A policy that is not there is not found.",
    ("ListResourcePolicies", "InvalidParameterException"): _NO_FREEDOM,
    ("ListSecretVersionIds", "InvalidParameterException"): _NO_FREEDOM,
    ("ListSecrets", "InvalidRequestException"): _NO_STATE,
    ("RestoreSecret", "InvalidRequestException"): "To restore a secret that is not scheduled for deletion succeeds.",
    ("StopReplicationToReplica", "InvalidParameterException"): _NO_FREEDOM,
    ("UpdateSecret", "LimitExceededException"): "It attaches AWS's own labels only, which no quota refuses.",
    ("UpdateSecret", "MalformedPolicyDocumentException"): _NO_POLICY,
    ("UpdateSecret", "PreconditionNotMetException"): _UNRECORDED,
    ("ValidateResourcePolicy", "InvalidParameterException"): _NO_FREEDOM,
}


def modelled_errors() -> Iterator[tuple[str, str]]:
    """Operations that are offered, with each of their errors."""
    for name, operation in MODEL["operations"].items():
        if registry.find("secretsmanager", name):
            yield from ((name, reference["shape"]) for reference in operation["errors"])


def scenario_of(operation: str, error: str) -> Scenario | None:
    return SCENARIOS.get((operation, error)) or (None if (operation, error) in NEVER else general(operation, error))


REACHED = [cell for cell in modelled_errors() if scenario_of(*cell)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a quota that can be reached."""
    process = ServerProcess(tmp_path_factory.mktemp("keyturn"))
    (process.data_dir / "keyturn.toml").write_text(f"quota_secrets = {QUOTA_OF_SECRETS}\n")
    process.start()
    yield process
    assert process.stop() == 0, process.log()


@pytest.mark.parametrize("cell", list(modelled_errors()), ids=" ".join)
def test_an_error_of_the_model_has_a_scenario_or_a_reason(cell: tuple[str, str]) -> None:
    reason = NEVER.get(cell) or NEVER_ANYWHERE.get(cell[1])

    assert (scenario_of(*cell) is None) != (reason is None), (
        "say how to reach it (scenarios.py) or why nobody can (NEVER)"
    )


def test_nothing_is_explained_that_the_model_does_not_list() -> None:
    listed = {(name, error["shape"]) for name, one in MODEL["operations"].items() for error in one["errors"]}

    assert not (NEVER.keys() | SCENARIOS.keys()) - listed
    assert not NEVER.keys() & SCENARIOS.keys()


@pytest.mark.parametrize("cell", REACHED, ids=" ".join)
def test_an_error_of_the_model_is_reached(world: World, cell: tuple[str, str]) -> None:
    scenario = scenario_of(*cell)
    assert scenario is not None

    with pytest.raises(ClientError) as caught:
        scenario(world)

    response = caught.value.response
    assert (caught.value.operation_name, response["Error"]["Code"]) == cell, response["Error"]
    assert response["Error"]["Message"]
    assert response["Message"] == response["Error"]["Message"]  # type: ignore[typeddict-item]  # a member of the error
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
