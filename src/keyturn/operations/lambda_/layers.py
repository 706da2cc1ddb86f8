"""Layers: archives that functions find unpacked at ``/opt``. What functions do with them is in :mod:`.attached_layers`.

Source: AWS Lambda Developer Guide, "Managing Lambda dependencies with layers"; texts and members as recorded by
localstack, 2025 and 2026.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

from keyturn.call import Call
from keyturn.errors.lambda_ import InvalidParameterValueException
from keyturn.operations.kit import Kit
from keyturn.operations.lambda_.configuration import shown_moment, zip_file_of
from keyturn.operations.lambda_.layer_subjects import (
    layer,
    layer_arn,
    layer_version,
    layer_version_by_arn,
    layer_version_to_delete,
)
from keyturn.operations.paging import page_after
from keyturn.operations.registry import no_subject, operation
from keyturn.runtime import package
from keyturn.storage import functions, layers
from keyturn.storage.layers import LayerVersionRecord
from keyturn.wire.types.lambda_ import (
    GetLayerVersionByArnRequest,
    GetLayerVersionRequest,
    GetLayerVersionResponse,
    LayersListItem,
    LayerVersionsListItem,
    ListLayersRequest,
    ListLayersResponse,
    ListLayerVersionsRequest,
    ListLayerVersionsResponse,
    PublishLayerVersionRequest,
    PublishLayerVersionResponse,
)

_PAGE_SIZE = 50


@operation("lambda", "PublishLayerVersion", subject=layer)
def publish_layer_version(
    kit: Kit, call: Call, request: PublishLayerVersionRequest, _subject: None
) -> PublishLayerVersionResponse:
    """Store a version of a layer, under a number that is never given again."""
    arn = layer_arn(call.place, request["LayerName"])
    name = arn.rpartition(":")[2]
    if arn != call.place.layer_arn(name):
        raise InvalidParameterValueException("A layer is published in the caller's own account and region.")
    zip_file = zip_file_of(request["Content"], "a layer's content")
    unzipped_size_bytes = package.check(zip_file)
    with kit.state.write() as transaction:
        record = LayerVersionRecord(
            layer_arn=arn,
            version=layers.next_version(transaction, call.place, name),
            description=request.get("Description", ""),
            license_info=request.get("LicenseInfo"),
            architectures=request.get("CompatibleArchitectures"),
            runtimes=request.get("CompatibleRuntimes"),
            code_sha256=package.code_sha256(zip_file),
            code_size_bytes=len(zip_file),
            unzipped_size_bytes=unzipped_size_bytes,
            created_at=call.at,
            statements=(),
            revision_id=str(uuid.uuid4()),
        )
        functions.store_package(transaction, record.code_sha256, zip_file)
        layers.insert_version(transaction, record)
    return _shown(kit, call, record)


@operation("lambda", "GetLayerVersion", subject=layer_version)
def get_layer_version(
    kit: Kit, call: Call, _request: GetLayerVersionRequest, record: LayerVersionRecord
) -> GetLayerVersionResponse:
    """Show a version of a layer, with a link to its archive."""
    return _shown(kit, call, record)


@operation("lambda", "GetLayerVersionByArn", subject=layer_version_by_arn, action="lambda:GetLayerVersion")
def get_layer_version_by_arn(
    kit: Kit, call: Call, _request: GetLayerVersionByArnRequest, record: LayerVersionRecord
) -> GetLayerVersionResponse:
    """Show the version of a layer that an ARN names."""
    return _shown(kit, call, record)


@operation("lambda", "ListLayers", subject=no_subject)
def list_layers(kit: Kit, call: Call, request: ListLayersRequest, _subject: None) -> ListLayersResponse:
    """List layers by name, of each the newest version that fits."""
    fits = _filter(request)
    with kit.state.read() as connection:
        found = [record for record in layers.list_layers(connection, call.place) if fits(record)]
    page = page_after(
        kit,
        call,
        f"lambda:ListLayers {_filter_text(request)}",
        [next(versions) for _, versions in groupby(found, lambda record: record.layer_arn)],
        lambda record: record.layer_arn,
        marker=request.get("Marker") or None,
        limit=min(request.get("MaxItems", _PAGE_SIZE), _PAGE_SIZE),
        refusal=InvalidParameterValueException("Invalid Marker"),
    )
    response: ListLayersResponse = {"Layers": [_layer_shown(record) for record in page.items]}
    if page.marker is not None:
        response["NextMarker"] = page.marker
    return response


@operation("lambda", "ListLayerVersions", subject=no_subject)
def list_layer_versions(
    kit: Kit, call: Call, request: ListLayerVersionsRequest, _subject: None
) -> ListLayerVersionsResponse:
    """List the versions of a layer, newest first; none of a layer that does not exist."""
    arn, fits = layer_arn(call.place, request["LayerName"]), _filter(request)
    if not arn.startswith(call.place.layer_arn("")):
        # Whose it is may say to whom single versions of it are shown, but not who may list them.
        raise InvalidParameterValueException("Versions of a layer are listed in its own account and region.")
    with kit.state.read() as connection:
        found = [record for record in layers.list_versions(connection, arn) if fits(record)]
    page = page_after(
        kit,
        call,
        f"lambda:ListLayerVersions {arn} {_filter_text(request)}",
        found,
        # Pages go upwards and versions down.
        lambda record: f"{10**10 - record.version:010}",
        marker=request.get("Marker") or None,
        limit=min(request.get("MaxItems", _PAGE_SIZE), _PAGE_SIZE),
        refusal=InvalidParameterValueException("Invalid Marker"),
    )
    response: ListLayerVersionsResponse = {"LayerVersions": [_version_shown(record) for record in page.items]}
    if page.marker is not None:
        response["NextMarker"] = page.marker
    return response


@operation("lambda", "DeleteLayerVersion", subject=layer_version_to_delete)
def delete_layer_version(
    kit: Kit, _call: Call, _request: Mapping[str, Any], record: LayerVersionRecord | None
) -> dict[str, Any]:
    """Remove a version of a layer; functions that have it keep it."""
    if record is not None:
        with kit.state.write() as transaction:
            layers.delete_version(transaction, record)
    return {}


def _filter(request: ListLayersRequest | ListLayerVersionsRequest) -> Callable[[LayerVersionRecord], bool]:
    """Return whether a version is said to run what the request asks for; where nothing was said it is not listed."""
    runtime, architecture = request.get("CompatibleRuntime"), request.get("CompatibleArchitecture")
    return lambda record: (
        (runtime is None or runtime in (record.runtimes or ()))
        and (architecture is None or architecture in (record.architectures or ()))
    )


def _filter_text(request: ListLayersRequest | ListLayerVersionsRequest) -> str:
    return f"{request.get('CompatibleRuntime')} {request.get('CompatibleArchitecture')}"


def _shown(kit: Kit, call: Call, record: LayerVersionRecord) -> GetLayerVersionResponse:
    return {
        "Content": {
            "Location": kit.download_url(call.endpoint, record.code_sha256, call.at),
            "CodeSha256": record.code_sha256,
            "CodeSize": record.code_size_bytes,
        },
        "LayerArn": record.layer_arn,
        **_version_shown(record),
    }


def _layer_shown(record: LayerVersionRecord) -> LayersListItem:
    return {
        "LayerName": record.layer_arn.rpartition(":")[2],
        "LayerArn": record.layer_arn,
        "LatestMatchingVersion": _version_shown(record),
    }


def _version_shown(record: LayerVersionRecord) -> LayerVersionsListItem:
    shown: LayerVersionsListItem = {
        "LayerVersionArn": record.arn,
        "Version": record.version,
        "Description": record.description,
        "CreatedDate": shown_moment(record.created_at),
    }
    if record.runtimes is not None:
        shown["CompatibleRuntimes"] = list(record.runtimes)
    if record.architectures is not None:
        shown["CompatibleArchitectures"] = list(record.architectures)
    if record.license_info is not None:
        shown["LicenseInfo"] = record.license_info
    return shown
