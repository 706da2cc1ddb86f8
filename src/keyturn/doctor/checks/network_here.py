"""What a function's 127.0.0.1 is, and what Keyturn alone knows of the networks that its functions have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, Unasked, check
from keyturn.doctor.database import Address, Database
from keyturn.doctor.facts import Kind, Unseen
from keyturn.doctor.model import Cause, Confidence, Evidence, Finding, Remedy, Role, Section, Topic
from keyturn.doctor.network_probe import (
    PROBED,
    UNREACHED,
    addresses_of_machine,
    network_maps,
    nobody_at_database,
    probe,
    unreached,
)
from keyturn.doctor.remedies import put_host
from keyturn.doctor.ways import VPC_ACCESS, attached, database_step
from keyturn.rules.network.hops import Passage

_SAID = (
    "ConnectionRefused: host 127.0.0.1, port %s: Connection refused",
    'connection to server at "localhost" (127.0.0.1), port %s failed: Connection refused',
)
_OUTRANKED = (
    "db-connection-refused",
    "db-unreachable",
    "db-login-failed",
    "pending-login-failed",
    "preflight-database-unreachable",
    "pending-stuck",
    "pending-empty",
)
"""What is said of any database that is not reached, however it came to that."""

ITSELF = Cause(
    id="db-host-is-function-itself",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The host in the secret's value is the function itself: 127.0.0.1, in a network of its own",
    symptoms=_SAID,
    evidence=("lambda:GetFunctionConfiguration", "secretsmanager:GetSecretValue", *UNREACHED),
    decision="The database's host (of the value, of --db-host, or of the line that tells of the failure) is localhost"
    " or a loopback address, and the function is in a VPC, or in AWS: its 127.0.0.1 is no other machine. A risk before"
    " the first rotation. A function of Keyturn's in no VPC has the machine's network, or is isolated:"
    " function-isolated.",
    remedy="Put an address of the VPC into the value; on Keyturn one that the setting network_map leads to the"
    " database's machine: 10.20.3.15=127.0.0.1 is the one that Keyturn runs on.",
    outranks=(*_OUTRANKED, "db-host-gone"),
)


@check(ITSELF)
def db_host_is_function_itself(case: Case) -> Iterator[Finding]:
    """Look whether the function calls itself."""
    address, network = _database(case).address, case.network
    if not address.is_loopback:
        return
    if case.endpoint is not None and not network.is_attached:
        raise Skip("a function in no VPC may have the network of its machine: function-isolated looks at that")
    witness = unreached(case)
    if not witness and (case.has_failed or case.last_rotated_at is not None):
        # Something of the function's own listens there.
        return
    where = "in a VPC" if network.is_attached else "in AWS"
    configured = {"VpcConfig": {"SubnetIds": list(network.subnet_ids)}} if network.is_attached else {"VpcConfig": None}
    yield Finding(
        ITSELF,
        f"{address.host} in the value of {case.name} is the function {case.function_name} itself, which is {where}",
        (
            Evidence("lambda:GetFunctionConfiguration", case.function_name, configured),
            *_said_by_value(case, address),
            *witness,
        ),
        Remedy(_put_address(case), by_hand=(put_host(case.arn, _known_host(case)),)),
        role=Role.CAUSE if witness else Role.RISK,
        step=database_step(case) if witness else None,
    )


def _put_address(case: Case) -> str:
    if case.endpoint is None:
        return "Put the database's own name or address into host of the value, and leave its other members as they are."
    known = addresses_of_machine(case)
    mapped = "ADDRESS=127.0.0.1 in that setting leads to the machine that Keyturn runs on"
    if known:
        mapped = f"{' and '.join(known)} {'is' if len(known) == 1 else 'are'} the machine that Keyturn runs on"
    return (
        "Put an address of the VPC into host of the value, and leave its other members as they are: one that the"
        f" setting network_map leads to the database's machine. {mapped}."
    )


def _known_host(case: Case) -> str:
    """Return the address to put into the value; a word in its place where none is known to be right."""
    known = addresses_of_machine(case)
    return known[0] if case.endpoint is not None and len(known) == 1 else "HOST"


def _said_by_value(case: Case, address: Address) -> tuple[Evidence, ...]:
    if case.value_answer is None or case.options.database_address is not None or case.told_address is not None:
        return ()
    return (Evidence("secretsmanager:GetSecretValue", case.name, {"host": address.host, "port": address.port}),)


ISOLATED = Cause(
    id="function-isolated",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The function is isolated: it reaches Keyturn's APIs and nothing else, no database",
    symptoms=("HostUnreachable: host %s, port %s: Network is unreachable", *_SAID, "isolate_functions"),
    evidence=(*PROBED, "lambda:GetFunctionConfiguration", *UNREACHED),
    decision="The newest attempt did not reach the database, the function is in no VPC, and Keyturn says (by"
    " ProbeFunctionNetwork) that such functions are isolated (isolate_functions). Its 127.0.0.1 is the function"
    " itself. Where an interface has the database's address it is function-outside-db-vpc.",
    remedy="Put the function into a VPC that a network map connects with the database, or serve without"
    " --isolate-functions: then functions in no VPC have the machine's network.",
    outranks=_OUTRANKED,
)


@check(ISOLATED)
def function_isolated(case: Case) -> Iterator[Finding]:
    """Ask where a function runs that is in no VPC."""
    database = _database(case)
    if case.network.is_attached:
        raise Skip("the function is in a VPC")
    if _place_is_known(case):
        raise Skip("the database is in a VPC: function-outside-db-vpc says how the function comes there")
    if _probed(case).get("Network") != "isolated":
        return
    at = database.address
    itself = " Neither 127.0.0.1 nor localhost is the machine there: the value then has the VPC's address."
    name = quote(case.function_id)
    yield Finding(
        ISOLATED,
        f"{case.function_name} is isolated (it is in no VPC, and the server isolates functions): it reaches Keyturn's"
        f" APIs, and neither {at.host}:{at.port} nor anything else",
        (
            Evidence("keyturn:ProbeFunctionNetwork", case.function_name, {"Network": "isolated"}),
            Evidence("lambda:GetFunctionConfiguration", case.function_name, {"VpcConfig": None}),
            *unreached(case),
        ),
        Remedy(
            "Put the function into a VPC that a network map connects with the database (docs/networks.md makes one, in"
            " five lines), with the policy that its role needs for that; or serve without"
            f" --isolate-functions.{itself if at.is_loopback else ''}",
            by_hand=(
                f"aws iam attach-role-policy --role-name {quote(case.role_name)} --policy-arn {VPC_ACCESS}",
                (
                    f"aws lambda update-function-configuration --function-name {name}"
                    " --vpc-config SubnetIds=SUBNET_IDS,SecurityGroupIds=GROUP_IDS"
                ),
            ),
        ),
        step=database_step(case),
    )


UNMAPPED = Cause(
    id="network-map-missing",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="No network map leads to the database's address",
    symptoms=("is nobody's: no network map leads there", "ConnectionTimedOut: host %s, port %s: no answer"),
    evidence=(*PROBED, "lambda:GetFunctionConfiguration", "ec2:DescribeSubnets", *UNREACHED),
    decision="The newest attempt did not reach the database, whose address is in a subnet of the function's VPC;"
    " nothing that EC2 knows of is in the way, and Keyturn says (by ProbeFunctionNetwork) that nothing is there.",
    remedy="Let the server's setting network_map say which machine is there, and start the server again:"
    " 10.20.3.15=192.168.7.15, or 10.20.3.15=127.0.0.1 for the machine that Keyturn runs on.",
    outranks=_OUTRANKED,
)


@check(UNMAPPED)
def network_map_missing(case: Case) -> Iterator[Finding]:
    """Ask what is at the database's address."""
    network, database = attached(case), _database(case)
    if database.ip is None:
        raise Skip(f"{database.address.host} is no address of a VPC")
    network.look()
    place, own = network.place, network.vpc
    if place is None or own is None or place.vpc_id != own.vpc_id or network.to_database is Passage.BLOCKS:
        # That is told by itself.
        return
    _probed(case)
    there = nobody_at_database(case)
    if there is None:
        return
    yield Finding(
        UNMAPPED,
        f"no network map leads to {database.ip}, where {case.function_name} looks for its database",
        (
            Evidence("keyturn:ProbeFunctionNetwork", case.function_name, f"{database.ip} {there}"),
            *unreached(case),
        ),
        Remedy(
            "Say which machine that is, and start the server again: let this be the one line of network_map in"
            " keyturn.toml, or serve with the same as --network-map. MACHINE is its address, 127.0.0.1 for the one that"
            " Keyturn runs on.",
            by_hand=(f'network_map = "{",".join([*network_maps(case), f"{database.ip}=MACHINE"])}"',),
        ),
        confidence=Confidence.LIKELY if case.told_address is not None else Confidence.CERTAIN,
        step=database_step(case),
    )


def _database(case: Case) -> Database:
    """Return the database.

    Raises:
        Skip: There is no function, or its database's address is not known.
        Unseen: The value was to be read, and may not be.
    """
    if not case.function_arn:
        raise Skip("there is no function")
    if case.database is None:
        raise Unasked(case.options.unknown_address)
    return case.database


def _probed(case: Case) -> Mapping[str, Any]:
    """Return what Keyturn says of where the function runs.

    Raises:
        Skip: Nobody is asked: no attempt has failed to reach the database, or it is not Keyturn.
        Unseen: It does not answer.
    """
    answer = probe(case)
    if answer is None:
        raise Skip("only Keyturn knows this, and is asked after an attempt that did not reach the database")
    if answer.kind is Kind.UNSUPPORTED or answer.code == "NotAReply":
        raise Skip("only Keyturn knows this")
    return answer.value


def _place_is_known(case: Case) -> bool:
    try:
        return case.network.place is not None
    except Unseen:
        return False
