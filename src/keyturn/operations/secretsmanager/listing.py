"""ListSecrets and ListSecretVersionIds."""

from __future__ import annotations

import hashlib
import json
from operator import itemgetter
from typing import Any

from keyturn.call import Call
from keyturn.errors.secretsmanager import InvalidNextTokenException
from keyturn.operations.kit import Kit
from keyturn.operations.paging import open_page, seal_page
from keyturn.operations.registry import no_subject, operation
from keyturn.operations.secretsmanager.encryption import shown_key_ids
from keyturn.operations.secretsmanager.secrets import description, stages_by_version
from keyturn.operations.secretsmanager.subjects import secret
from keyturn.rules.deletion import is_over
from keyturn.rules.listing import Searchable, compile_filters, sort_key
from keyturn.storage import secrets
from keyturn.storage.secrets import SecretRecord, VersionRecord
from keyturn.wire.types.secretsmanager import (
    ListSecretsRequest,
    ListSecretsResponse,
    ListSecretVersionIdsRequest,
    ListSecretVersionIdsResponse,
)

_PAGE_SIZE = 100


@operation("secretsmanager", "ListSecrets", subject=no_subject)
def list_secrets(kit: Kit, call: Call, request: ListSecretsRequest, _subject: None) -> ListSecretsResponse:
    """List secrets, filtered and sorted; a page goes on behind the last secret of the page before."""
    with kit.state.read() as connection:
        records = secrets.load_all(connection, call.place)
    matches = compile_filters(request.get("Filters", ()))
    with_deleted = request.get("IncludePlannedDeletion", False)
    key_of = sort_key(request.get("SortBy"))
    descending = request.get("SortOrder") == "desc"
    found = sorted(
        (
            (key_of(record), record)
            for record in records
            if (
                record.deletion_at is None
                or (with_deleted and not is_over(record.deleted_at, record.deletion_at, call.at))
            )
            and matches(_searchable(record))
        ),
        key=itemgetter(0),
        reverse=descending,
    )
    # A token goes with its question: filters and order are part of the listing's name.
    question = {name: value for name, value in request.items() if name not in ("NextToken", "MaxResults")}
    listing = f"ListSecrets {hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()}"
    if "NextToken" in request:
        position = open_page(kit, listing, request["NextToken"], InvalidNextTokenException())
        after = (position["sorted_by"], position["name"])
        found = [entry for entry in found if (entry[0] < after if descending else entry[0] > after)]
    page = found[: request.get("MaxResults", _PAGE_SIZE)]
    response: ListSecretsResponse = {"SecretList": [_list_entry(kit, record) for _, record in page]}
    if len(page) < len(found):
        sorted_by, name = page[-1][0]
        response["NextToken"] = seal_page(kit, listing, sorted_by=sorted_by, name=name)
    return response


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
        "Versions": [_version_entry(kit, subject, version) for version in page],
    }
    if start + len(page) < len(shown):
        response["NextToken"] = seal_page(kit, listing, after=page[-1].version_id)
    return response


def _searchable(record: SecretRecord) -> Searchable:
    return Searchable(name=record.name, description=record.description or "", tags=record.tags or {})


def _list_entry(kit: Kit, record: SecretRecord) -> Any:
    entry = description(kit, record)
    if record.labels:
        entry["SecretVersionsToStages"] = stages_by_version(record)
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
