"""GetServerStatus and GetAuditTrailStatus: how the server is, and whether its audit trail is what was written.

Both are the whole server's, and so are told in the management account alone: how many records there are says something
of every account.
"""

from __future__ import annotations

import platform
from importlib.metadata import version

import keyturn
from keyturn.call import Call
from keyturn.errors.base import KeyturnError
from keyturn.errors.secretsmanager import InvalidRequestException
from keyturn.operations.kit import Kit
from keyturn.operations.registry import no_subject, operation
from keyturn.rules.audit_proof import Fault, FaultKind
from keyturn.rules.audit_report import Report
from keyturn.wire.types.keyturn import (
    GetAuditTrailStatusRequest,
    GetAuditTrailStatusResponse,
    GetServerStatusRequest,
    GetServerStatusResponse,
    TrailAnchorType,
    TrailFaultType,
)

# So many links are calculated while somebody waits: some tens of milliseconds.
_MOST_RECORDS = 1000


@operation("keyturn", "GetServerStatus", subject=no_subject)
def get_server_status(
    kit: Kit, call: Call, _request: GetServerStatusRequest, _subject: None
) -> GetServerStatusResponse:
    """Say what the server runs with."""
    _require_management(kit, call)
    installation, runtime = kit.installation, kit.runtime
    warnings = [*filter(None, [runtime.sandbox_warning]), *installation.warnings]
    return {
        "Version": keyturn.__version__,
        "PythonVersion": platform.python_version(),
        "BotocoreVersion": version("botocore"),
        "AccountId": kit.management_account_id,
        "Partition": kit.partition,
        "Region": installation.region,
        "Endpoint": installation.endpoint,
        "StartedAt": installation.started_at,
        "Database": kit.state.version(),
        "RootKeyProvider": installation.root_key_provider,
        "Sandbox": runtime.sandbox_description,
        "IsSandboxed": runtime.sandbox_warning is None,
        "Networks": runtime.networks,
        "NetworkMaps": [str(each) for each in runtime.network_maps],
        "Runtimes": list(runtime.available_runtimes()),
        "AuditSinks": list(installation.audit_sinks),
        "Notifiers": list(installation.notifiers),
        "Warnings": warnings,
        "Settings": [{"Name": name, "Value": value} for name, value in installation.settings.items()],
    }


@operation("keyturn", "GetAuditTrailStatus", subject=no_subject)
def get_audit_trail_status(
    kit: Kit, call: Call, _request: GetAuditTrailStatusRequest, _subject: None
) -> GetAuditTrailStatusResponse:
    """Look whether the trail agrees with its anchors, and whether its newest records continue one another."""
    _require_management(kit, call)
    try:
        report = kit.trail.verify_newest(_MOST_RECORDS)
    except KeyturnError as error:
        # An anchor that cannot be read is no proof that all is well.
        return {"Verdict": "broken", "Faults": [_shown(Fault(FaultKind.FOREIGN, None, error.message))], "Notes": []}
    newest = report.newest
    response: GetAuditTrailStatusResponse = {
        "Verdict": "broken" if report.faults else "unbroken",
        "Newest": newest.sequence,
        "BeginsBehind": report.checkpoint.sequence,
        "VerifiedFrom": newest.sequence - report.records + 1,
        "VerifiedRecords": report.records,
        "Faults": [_shown(fault) for fault in report.faults],
        "Notes": report.notes,
    }
    if (anchor := _anchor(report)) is not None:
        response["Anchor"] = anchor
    if report.records:
        response["Head"] = str(newest)
    return response


def _require_management(kit: Kit, call: Call) -> None:
    if call.place.account_id != kit.management_account_id:
        raise InvalidRequestException("This is told in the management account only.")


def _anchor(report: Report) -> TrailAnchorType | None:
    anchors = [(known.position.sequence, known.at) for known in report.known if known.at is not None]
    if not anchors:
        return None
    sequence, at = max(anchors)
    return {"Sequence": sequence, "At": at}


def _shown(fault: Fault) -> TrailFaultType:
    shown: TrailFaultType = {"Kind": fault.kind.value, "Message": fault.message}
    if fault.sequence is not None:
        shown["Sequence"] = fault.sequence
    return shown
