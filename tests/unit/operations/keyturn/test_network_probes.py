"""ProbeFunctionNetwork: what is run where, and what is believed of its answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.operations.lambda_.conftest import ARN, LambdaBench, RecordedRuntime
from tests.unit.operations.lambda_.networks import ATTACHING, make_vpc

from keyturn.errors.base import KeyturnError
from keyturn.errors.common import AccessDenied
from keyturn.errors.lambda_ import InvalidParameterValueException, TooManyRequestsException
from keyturn.errors.secretsmanager import (
    InvalidParameterException,
    InvalidRequestException,
    ResourceNotFoundException,
)
from keyturn.rotators.network_probe import FORMAT
from keyturn.rotators.package import NETWORK_PROBE_HANDLER, build_network_probe
from keyturn.rules.network.maps import Map
from keyturn.runtime.pool import Runtime, RuntimeClosed
from keyturn.runtime.spec import FunctionSpec, Invocation
from keyturn.testing.handlers import open_bench, user

DATABASE = "10.0.2.15"


def said(document: object, function_error: str | None = None) -> Invocation:
    return Invocation(json.dumps(document).encode(), function_error, b"", "$LATEST", 1.0)


def answer(outcome: str, *addresses: str) -> Invocation:
    attempts = [{"address": each, "outcome": outcome, "error": "", "milliseconds": 2} for each in addresses]
    return said({"probe": FORMAT, "outcome": outcome, "error": "", "milliseconds": 5, "attempts": attempts})


@dataclass
class ProbedRuntime(RecordedRuntime):
    """Remembers which programs ran beside functions."""

    network_maps: tuple[Map, ...] = (Map(IPv4Network(f"{DATABASE}/32"), IPv4Network("127.0.0.1/32")),)
    isolates: bool = False
    programs: list[tuple[FunctionSpec, bytes, Any]] = field(default_factory=list)

    def run_beside(self, spec: FunctionSpec, layer: bytes, payload: bytes, *, request_id: str) -> Invocation:
        assert request_id
        self.programs.append((spec, layer, json.loads(payload)))
        found = self.answers.pop(0) if self.answers else answer("connected", DATABASE)
        if isinstance(found, Exception):
            raise found
        return found


class ProbeBench(LambdaBench):
    """A bench whose runtime answers probes."""

    runtime: ProbedRuntime

    def probe(self, **request: Any) -> Any:
        asked = {"FunctionName": "rotate", "Host": DATABASE, "Port": 5432, **request}
        return self.handlers.call("keyturn", "ProbeFunctionNetwork", **asked)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ProbeBench]:
    with open_bench(tmp_path) as opened:
        made = ProbeBench(opened)
        made.runtime = ProbedRuntime()
        opened.kit = replace(opened.kit, runtime=cast("Runtime", made.runtime))
        made.create()
        yield made


def in_vpc(bench: ProbeBench) -> list[str]:
    """Put the function into two subnets; return their ids."""
    vpc = make_vpc(bench, "10.0.1.0/24", "10.0.2.0/24")
    bench.let_role({"Effect": "Allow", "Action": list(ATTACHING), "Resource": "*"})
    bench.call("UpdateFunctionConfiguration", FunctionName="rotate", VpcConfig=vpc.config())
    return vpc.subnet_ids


def test_the_program_runs_in_the_functions_stead_and_is_told_where_to_connect(bench: ProbeBench) -> None:
    bench.probe(Host="orders.example.org", TimeoutSeconds=7)

    [(spec, layer, event)] = bench.runtime.programs
    assert (spec.arn, spec.program, spec.handler) == (ARN, NETWORK_PROBE_HANDLER, "lambda_function.lambda_handler")
    assert layer == build_network_probe()
    assert event == {"Host": "orders.example.org", "Port": 5432, "TimeoutSeconds": 7}


def test_a_connection_is_waited_for_three_seconds(bench: ProbeBench) -> None:
    bench.probe()

    assert bench.runtime.programs[0][2]["TimeoutSeconds"] == 3


@pytest.mark.parametrize(("isolates", "network"), [(False, "machine"), (True, "isolated")])
def test_a_function_in_no_vpc_has_one_network(bench: ProbeBench, isolates: bool, network: str) -> None:
    bench.runtime.isolates = isolates

    assert bench.probe() == {
        "FunctionArn": ARN,
        "Host": DATABASE,
        "Port": 5432,
        "Network": network,
        "NetworkMaps": ["10.0.2.15=127.0.0.1"],
        "Probes": [
            {
                "Outcome": "connected",
                "Error": "",
                "Milliseconds": 5,
                "Addresses": [{"Address": DATABASE, "Outcome": "connected", "Error": "", "Milliseconds": 2}],
            }
        ],
    }


def test_it_is_looked_from_each_subnet_with_that_subnets_network_alone(bench: ProbeBench) -> None:
    subnet_ids = in_vpc(bench)

    found = bench.probe()

    assert found["Network"] == "vpc"
    assert [each["SubnetId"] for each in found["Probes"]] == subnet_ids
    assert [[plan.subnet_id for plan in spec.networks] for spec, _, _ in bench.runtime.programs] == [
        [each] for each in subnet_ids
    ]
    assert [each["SourceAddress"] for each in found["Probes"]] == ["10.0.1.4", "10.0.2.4"]


def test_one_subnet_may_be_named_and_only_one_of_the_functions(bench: ProbeBench) -> None:
    subnet_ids = in_vpc(bench)

    assert [each["SubnetId"] for each in bench.probe(SubnetId=subnet_ids[1])["Probes"]] == [subnet_ids[1]]
    with pytest.raises(InvalidParameterException, match="not in the subnet subnet-0"):
        bench.probe(SubnetId="subnet-0")
    assert len(bench.runtime.programs) == 1


def test_what_is_at_an_address_of_the_vpc_is_told(bench: ProbeBench) -> None:
    in_vpc(bench)
    bench.runtime.answers = [answer("connected", DATABASE, "10.0.2.99")] * 2

    mapped, empty = bench.probe()["Probes"][0]["Addresses"]

    assert (mapped["IsMapped"], mapped["Destination"]) == (True, "is 127.0.0.1 in the real network")
    assert empty["IsMapped"] is False
    assert empty["Destination"].startswith(
        "is nobody's: no network map leads there; serve with --network-map 10.0.2.99="
    )


def test_a_version_is_looked_at_by_its_number(bench: ProbeBench) -> None:
    bench.call("PublishVersion", FunctionName="rotate")

    assert bench.probe(Qualifier="1")["FunctionArn"] == f"{ARN}:1"
    assert bench.runtime.programs[0][0].version == "1"


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"FunctionName": "no-such"}, ResourceNotFoundException),
        ({"Qualifier": "7"}, ResourceNotFoundException),
        ({"FunctionName": f"{ARN.replace('us-east-1', 'eu-west-1')}"}, ResourceNotFoundException),
        ({"FunctionName": "rotate:1", "Qualifier": "2"}, InvalidParameterException),
        ({"FunctionName": "$"}, InvalidParameterException),
    ],
)
def test_errors_are_of_keyturns_own_service(bench: ProbeBench, request_: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as refused:
        bench.probe(**request_)

    assert str(refused.value)


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        (TooManyRequestsException("Rate Exceeded."), "Too many probes and pre-flights run just now"),
        (InvalidParameterValueException("No such runtime."), "cannot run where the function does: No such runtime."),
        (KeyturnError("The package is broken."), "cannot run where the function does: The package is broken."),
        (said({"errorMessage": "2026 Task timed out"}, "Unhandled"), "does: 2026 Task timed out"),
        (said("no document"), "it gave no answer"),
        (said({"probe": "something else"}), "it gave no answer"),
        (Invocation(b"{" * 100_000, None, b"", "$LATEST", 1.0), "it gave no answer"),
    ],
)
def test_a_probe_that_cannot_run_says_why(bench: ProbeBench, fails: Any, message: str) -> None:
    bench.runtime.answers = [fails]

    with pytest.raises(InvalidRequestException) as refused:
        bench.probe()

    assert message in refused.value.message


def test_a_server_that_ends_blames_nobody(bench: ProbeBench) -> None:
    bench.runtime.answers = [RuntimeClosed()]

    with pytest.raises(RuntimeClosed):
        bench.probe()


def test_what_a_functions_code_makes_of_the_answer_is_kept_within_the_model(bench: ProbeBench) -> None:
    attempt = {"address": 7, "outcome": "fine", "error": "x" * 1000, "milliseconds": -1}
    document = {"probe": FORMAT, "outcome": ["fine"], "milliseconds": "5", "attempts": [attempt] * 9 + ["no"]}
    bench.runtime.answers = [said(document)]

    [probe] = bench.probe()["Probes"]

    assert (probe["Outcome"], probe["Milliseconds"], len(probe["Addresses"])) == ("failed", 0, 4)
    assert probe["Addresses"][0] == {"Address": "", "Outcome": "failed", "Error": "x" * 300, "Milliseconds": 0}


def test_the_permission_is_asked_on_the_function(bench: ProbeBench) -> None:
    bench.handlers.call("iam", "CreateUser", UserName="operator")
    call = bench.handlers.as_(user("operator"))
    request = {"FunctionName": "rotate", "Host": DATABASE, "Port": 5432}

    bench.allow("operator", Effect="Allow", Action="lambda:*", Resource="*")
    with pytest.raises(AccessDenied) as refused:
        bench.handlers.call_as(call, "keyturn", "ProbeFunctionNetwork", **request)
    assert f"keyturn:ProbeFunctionNetwork on resource: {ARN}" in refused.value.message
    bench.allow("operator", Effect="Allow", Action="keyturn:ProbeFunctionNetwork", Resource=ARN)
    assert bench.handlers.call_as(call, "keyturn", "ProbeFunctionNetwork", **request)["Network"] == "machine"
