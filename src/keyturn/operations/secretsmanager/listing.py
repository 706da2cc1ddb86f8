"""ListSecrets and ListSecretVersionIds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from keyturn.call import Call
from keyturn.clock import from_milliseconds, to_milliseconds
from keyturn.errors.secretsmanager import InvalidNextTokenException
from keyturn.operations.kit import Kit
from keyturn.operations.paging import open_page, seal_page
from keyturn.operations.registry import no_subject, operation
from keyturn.operations.secretsmanager.encryption import shown_key_ids
from keyturn.operations.secretsmanager.search import search
from keyturn.operations.secretsmanager.secrets import description, stages_by_version
from keyturn.operations.secretsmanager.subjects import secret
from keyturn.rules.listing import SortBy
from keyturn.storage import secret_versions, secrets
from keyturn.storage.secret_versions import VersionPosition, VersionRecord
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.secretsmanager import (
    ListSecretsRequest,
    ListSecretsResponse,
    ListSecretVersionIdsRequest,
    ListSecretVersionIdsResponse,
)

_PAGE_SIZE = 100


@operation("secretsmanager", "ListSecrets", subject=no_subject)
def list_secrets(kit: Kit, call: Call, request: ListSecretsRequest, _subject: None) -> ListSecretsResponse:
    """List the secrets of the caller's account and region, filtered and sorted."""
    page = search(kit, call, "ListSecrets", request, request.get("MaxResults", _PAGE_SIZE))
    is_by_access = request.get("SortBy") == SortBy.ACCESSED
    response: ListSecretsResponse = {
        "SecretList": [_list_entry(kit, record, is_by_access=is_by_access) for record in page.secrets]
    }
    if page.next_token is not None:
        response["NextToken"] = page.next_token
    return response


@operation("secretsmanager", "ListSecretVersionIds", subject=secret)
def list_secret_version_ids(
    kit: Kit, call: Call, request: ListSecretVersionIdsRequest, subject: SecretRecord
) -> ListSecretVersionIdsResponse:
    """List a secret's versions that hold a value, oldest first; those without labels only if asked for."""
    with_deprecated = request.get("IncludeDeprecated", False)
    listing = f"ListSecretVersionIds {subject.arn} {with_deprecated}"
    after = None
    if "NextToken" in request:
        position = open_page(kit, call, listing, request["NextToken"], InvalidNextTokenException())
        after = VersionPosition(from_milliseconds(int(position["created_ms"])), position["version_id"])
    limit = request.get("MaxResults", _PAGE_SIZE)
    with kit.state.read() as connection:
        versions = secret_versions.load_version_page(
            connection, subject.secret_id, with_deprecated=with_deprecated, after=after, limit=limit + 1
        )
        subject = replace(subject, labels=secrets.load_labels(connection, subject.secret_id))
    response: ListSecretVersionIdsResponse = {
        "ARN": subject.arn,
        "Name": subject.name,
        "Versions": [_version_entry(kit, subject, version) for version in versions[:limit]],
    }
    if len(versions) > limit:
        last = versions[limit - 1]
        created_ms = to_milliseconds(last.created_at)
        response["NextToken"] = seal_page(kit, call, listing, created_ms=str(created_ms), version_id=last.version_id)
    return response


def _list_entry(kit: Kit, record: SecretRecord, *, is_by_access: bool) -> Any:
    entry = description(kit, record)
    if record.labels:
        entry["SecretVersionsToStages"] = stages_by_version(record)
    if is_by_access:
        # The list shows the date that it is sorted by, though the secret may have been read since.
        entry.pop("LastAccessedDate", None)
        if record.last_accessed_at is not None:
            entry["LastAccessedDate"] = record.last_accessed_at
    return entry


def _version_entry(kit: Kit, subject: SecretRecord, version: VersionRecord) -> Any:
    entry: dict[str, Any] = {
        "VersionId": version.version_id,
        "CreatedDate": version.created_at,
        "KmsKeyIds": shown_key_ids(kit, version),
    }
    stages = subject.stages_of(version.version_id)
    if stages:
        entry["VersionStages"] = stages
    accessed_at = kit.accesses.last_access(subject, version.version_id) or version.last_accessed_at
    if accessed_at is not None:
        entry["LastAccessedDate"] = accessed_at
    return entry
