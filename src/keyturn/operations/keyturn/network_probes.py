"""ProbeFunctionNetwork: whether a host is reached by TCP from where a function runs.

A program of Keyturn's own runs once for each of the function's subnets in its stead, with its sandbox and its network
(``rotators/network_probe.py``). What it says is no more to be trusted than what a function says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keyturn.call import Call
from keyturn.errors.base import AwsError, KeyturnError
from keyturn.errors.lambda_ import InvalidParameterValueException, TooManyRequestsException
from keyturn.errors.lambda_ import ResourceNotFoundException as NoSuchFunction
from keyturn.errors.secretsmanager import (
    InvalidParameterException,
    InvalidRequestException,
    ResourceNotFoundException,
)
from keyturn.ids import new_request_id
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.names import FunctionReference, parse_function_name
from keyturn.operations.lambda_.specs import spec_of
from keyturn.operations.lambda_.subjects import subject_of
from keyturn.operations.registry import Runs, operation
from keyturn.operations.subject import Subject
from keyturn.rotators.network_probe import FORMAT
from keyturn.rotators.package import NETWORK_PROBE_HANDLER, build_network_probe
from keyturn.rules.network.agreement import CANNOT_RUN
from keyturn.rules.network.hops import Passage
from keyturn.rules.network.plan import NetworkPlan
from keyturn.rules.network.trace import Packet, landed
from keyturn.rules.network.traffic import is_ipv4
from keyturn.runtime.pool import RuntimeClosed
from keyturn.runtime.spec import FunctionSpec, Invocation
from keyturn.storage.functions import FunctionRecord
from keyturn.storage.stored_text import storable
from keyturn.wire.types.keyturn import (
    NetworkProbeType,
    ProbedAddressType,
    ProbeFunctionNetworkRequest,
    ProbeFunctionNetworkResponse,
)

_SECONDS = 3
# The name, and each of the addresses that are tried; the environment's own start.
_TIMEOUT_SECONDS = 90
_MOST_ADDRESSES = 4
_TEXT_CHARACTERS = 300
_OUTCOMES = frozenset(
    {"connected", "refused", "timeout", "unreachable", "name-not-found", "name-timeout", "failed"},
)


def probed_function(kit: Kit, call: Call, request: ProbeFunctionNetworkRequest) -> Subject[FunctionRecord]:
    """Load the function that ``FunctionName`` and ``Qualifier`` mean."""
    reference = _reference(call, request)
    found = subject_of(kit, reference, missing="")
    if found.record is None:
        return found._replace(missing=ResourceNotFoundException(f"Function not found: {reference.arn}"))
    return found


@operation("keyturn", "ProbeFunctionNetwork", subject=probed_function, runs=Runs.WAITING)
def probe_function_network(
    kit: Kit, call: Call, request: ProbeFunctionNetworkRequest, record: FunctionRecord
) -> ProbeFunctionNetworkResponse:
    """Try to connect from each of the function's subnets, and change nothing."""
    spec = _prepared(kit, record, _reference(call, request).qualifier)
    plans = _plans(spec, request.get("SubnetId"))
    # A function in no VPC has one network, of which there is no plan.
    probes = [_probe(kit, spec, plan, request) for plan in plans] if plans else [_probe(kit, spec, None, request)]
    return {
        "FunctionArn": spec.invoked_arn,
        "Host": request["Host"],
        "Port": request["Port"],
        "Network": "vpc" if plans else "isolated" if kit.runtime.isolates else "machine",
        "NetworkMaps": [str(each) for each in kit.runtime.network_maps],
        "Probes": probes,
    }


def _reference(call: Call, request: ProbeFunctionNetworkRequest) -> FunctionReference:
    try:
        return parse_function_name(call.place, request["FunctionName"], request.get("Qualifier"))
    except InvalidParameterValueException as error:
        raise InvalidParameterException(error.message) from error
    except NoSuchFunction as error:
        raise ResourceNotFoundException(error.message) from error


def _prepared(kit: Kit, record: FunctionRecord, qualifier: str) -> FunctionSpec:
    """Return the function as it runs, with the program in its stead."""
    try:
        spec = spec_of(kit, record, qualifier)
    except AwsError as error:
        raise _cannot_run(error.message) from error
    return replace(spec, program=NETWORK_PROBE_HANDLER, timeout_seconds=_TIMEOUT_SECONDS)


def _plans(spec: FunctionSpec, subnet_id: str | None) -> tuple[NetworkPlan, ...]:
    if subnet_id is None:
        return spec.networks
    chosen = tuple(plan for plan in spec.networks if plan.subnet_id == subnet_id)
    if not chosen:
        raise InvalidParameterException(f"The function is not in the subnet {subnet_id}.")
    return chosen


def _probe(
    kit: Kit, spec: FunctionSpec, plan: NetworkPlan | None, request: ProbeFunctionNetworkRequest
) -> NetworkProbeType:
    event = {
        "Host": request["Host"],
        "Port": request["Port"],
        "TimeoutSeconds": request.get("TimeoutSeconds", _SECONDS),
    }
    program = spec if plan is None else replace(spec, networks=(plan,))
    layer, payload = build_network_probe(), json.dumps(event).encode()
    try:
        said = kit.runtime.run_beside(program, layer, payload, request_id=new_request_id())
    except TooManyRequestsException as error:
        raise InvalidRequestException("Too many probes and pre-flights run just now: ask again in a moment.") from error
    except RuntimeClosed:
        raise
    except (AwsError, KeyturnError) as error:
        raise _cannot_run(error.message) from error
    return _told(kit, plan, request["Port"], _answered(said))


def _cannot_run(why: str) -> InvalidRequestException:
    return InvalidRequestException(f"{CANNOT_RUN}{why}")


def _answered(said: Invocation) -> Mapping[str, Any]:
    """Return the program's answer.

    Raises:
        InvalidRequestException: It gave none.
    """
    try:
        document = json.loads(said.payload)
    except (ValueError, RecursionError):
        document = None
    document = document if isinstance(document, dict) else {}
    if said.function_error is not None or document.get("probe") != FORMAT:
        why = _text(document.get("errorMessage")) or _text(document.get("errorType")) or "it gave no answer."
        raise _cannot_run(why)
    return document


def _told(kit: Kit, plan: NetworkPlan | None, port: int, answer: Mapping[str, Any]) -> NetworkProbeType:
    given = answer.get("attempts")
    attempts = [each for each in (given if isinstance(given, list) else []) if isinstance(each, dict)]
    probe: NetworkProbeType = {
        "Outcome": _outcome(answer),
        "Error": _text(answer.get("error")),
        "Milliseconds": _count(answer.get("milliseconds")),
        "Addresses": [_told_address(kit, plan, port, each) for each in attempts[:_MOST_ADDRESSES]],
    }
    if plan is not None:
        probe = {"SubnetId": plan.subnet_id, "VpcId": plan.vpc_id, "SourceAddress": plan.address, **probe}
    return probe


def _told_address(kit: Kit, plan: NetworkPlan | None, port: int, attempt: Mapping[str, Any]) -> ProbedAddressType:
    address = _text(attempt.get("address"))
    told: ProbedAddressType = {
        "Address": address,
        "Outcome": _outcome(attempt),
        "Error": _text(attempt.get("error")),
        "Milliseconds": _count(attempt.get("milliseconds")),
    }
    if plan is not None and is_ipv4(address):
        there = landed(plan, kit.runtime.network_maps, Packet(plan.address, address, port))
        told["IsMapped"] = there.passage is not Passage.BLOCKS
        told["Destination"] = there.why
    return told


def _outcome(answer: Mapping[str, Any]) -> str:
    outcome = answer.get("outcome")
    return outcome if isinstance(outcome, str) and outcome in _OUTCOMES else "failed"


def _text(given: object) -> str:
    return storable(given[:_TEXT_CHARACTERS]) if isinstance(given, str) else ""


def _count(given: object) -> int:
    return given if isinstance(given, int) and not isinstance(given, bool) and given >= 0 else 0
