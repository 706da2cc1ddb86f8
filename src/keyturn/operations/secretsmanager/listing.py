"""ListSecrets and ListSecretVersionIds."""

from __future__ import annotations

from typing import Any

from keyturn.call import Call
from keyturn.errors.secretsmanager import InvalidNextTokenException
from keyturn.operations.kit import Kit
from keyturn.operations.paging import open_page, seal_page
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.subjects import secret
from keyturn.storage import secrets
from keyturn.storage.secrets import SecretRecord, VersionRecord
from keyturn.wire.types.secretsmanager import ListSecretVersionIdsRequest, ListSecretVersionIdsResponse

_PAGE_SIZE = 100
_DEFAULT_KEY = "DefaultEncryptionKey"


@operation("secretsmanager", "ListSecretVersionIds", subject=secret)
def list_secret_version_ids(
    kit: Kit, _call: Call, request: ListSecretVersionIdsRequest, subject: SecretRecord
) -> ListSecretVersionIdsResponse:
    """List a secret's versions that hold a value, oldest first; those without labels only if asked for."""
    with kit.state.read() as connection:
        versions = secrets.load_versions(connection, subject.secret_id)
    include_deprecated = request.get("IncludeDeprecated", False)
    shown = [
        version
        for version in versions
        if version.sealed is not None and (include_deprecated or subject.stages_of(version.version_id))
    ]
    listing = f"ListSecretVersionIds {subject.arn}"
    start = 0
    if "NextToken" in request:
        after = open_page(kit, listing, request["NextToken"], InvalidNextTokenException())["after"]
        start = next((index + 1 for index, version in enumerate(shown) if version.version_id == after), 0)
    page = shown[start : start + request.get("MaxResults", _PAGE_SIZE)]
    response: ListSecretVersionIdsResponse = {
        "ARN": subject.arn,
        "Name": subject.name,
        "Versions": [_version_entry(subject, version) for version in page],
    }
    if start + len(page) < len(shown):
        response["NextToken"] = seal_page(kit, listing, after=page[-1].version_id)
    return response


def _version_entry(subject: SecretRecord, version: VersionRecord) -> Any:
    entry: dict[str, Any] = {
        "VersionId": version.version_id,
        "CreatedDate": version.created_at,
        "KmsKeyIds": [version.kms_key_id or _DEFAULT_KEY],
    }
    stages = subject.stages_of(version.version_id)
    if stages:
        entry["VersionStages"] = stages
    if version.last_accessed_at is not None:
        entry["LastAccessedDate"] = version.last_accessed_at
    return entry
