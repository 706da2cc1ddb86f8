"""A call of Secrets Manager that came to nothing: the network's affair, not the fault of the function's code."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import check
from keyturn.doctor.lines import finding_of
from keyturn.doctor.model import Cause, Confidence, Finding, Remedy, Section, Topic
from keyturn.doctor.network_changes import mended_since, unanswered
from keyturn.doctor.ways import AGREES, READS, attached
from keyturn.rules.network.hops import Passage

UNANSWERED = Cause(
    id="secretsmanager-unanswered",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The function's call of Secrets Manager was not answered",
    symptoms=(
        'ConnectTimeoutError: Connect timeout on endpoint URL: "https://secretsmanager.',
        'EndpointConnectionError: Could not connect to the endpoint URL: "https://secretsmanager.',
        'ReadTimeoutError: Read timeout on endpoint URL: "https://secretsmanager.',
        (
            "ConnectionClosedError: Connection was closed before we received a valid response from endpoint URL:"
            ' "https://secretsmanager.'
        ),
    ),
    evidence=(*READS, "ec2:DescribeRouteTables", *AGREES),
    decision="The newest failed invocation of a function in a VPC ends with one of botocore's errors of a connection to"
    " Secrets Manager, and nothing that may be seen of its network is in the way now. Where the trail has a change of"
    " that network since the invocation began, it is a note: the next rotation will show whether that was it.",
    remedy="Rotate again if the network was mended. Otherwise look what the packets meet on their way: keyturn network"
    " trace FUNCTION secretsmanager.REGION.amazonaws.com:443.",
    outranks=("pending-stuck", "pending-empty"),
    yields=True,
    tried_by=("endpoint.connect",),
)


@check(UNANSWERED)
def secretsmanager_unanswered(case: Case) -> Iterator[Finding]:
    """Look for an error of a connection, and for who has mended the network since."""
    network = attached(case)
    said = unanswered(case)
    if said is None or network.to_secrets_manager is Passage.BLOCKS:
        # What blocks the way is told by itself.
        return
    host = network.called_host
    if network.to_secrets_manager is Passage.PASSES:
        mended = mended_since(case, said, UNANSWERED, f"{case.function_name} got no answer from {host}")
        if mended is not None:
            yield mended
            return
    traced = f"keyturn network trace {quote(case.function_name)} {quote(host)}:443"
    yield finding_of(
        case,
        said,
        UNANSWERED,
        f"{case.function_name} got no answer from {host}, and nothing that may be seen of its network is in the way",
        Remedy(
            "It is the network's affair, not the code's: look what the packets meet on their way; or rotate again, if"
            " that has been mended.",
            by_hand=(traced,),
        ),
        Confidence.LIKELY,
    )
