"""Managed policies: create, read, list, tag, delete. Those of AWS can be read and used, and changed by nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.iam import DeleteConflictException, EntityAlreadyExistsException
from keyturn.operations.iam import quotas
from keyturn.operations.iam.pages import end_of, page_of
from keyturn.operations.iam.policy_subjects import (
    aws_policies,
    check_own,
    current_policy,
    is_of_aws,
    not_found,
    policy,
)
from keyturn.operations.iam.quotas import check_count
from keyturn.operations.iam.tagging import request_tag_keys, tag_list, with_policy_tags
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.subject import Subject
from keyturn.rules.policy.document import parse_managed_policy
from keyturn.storage import attachments, managed_policies
from keyturn.storage.attachments import PolicyUsage
from keyturn.storage.managed_policies import ManagedPolicyRecord
from keyturn.wire.types.iam import (
    CreatePolicyRequest,
    CreatePolicyResponse,
    DeletePolicyRequest,
    GetPolicyRequest,
    GetPolicyResponse,
    ListPoliciesRequest,
    ListPoliciesResponse,
    ListPolicyTagsRequest,
    ListPolicyTagsResponse,
    Policy,
    TagPolicyRequest,
    UntagPolicyRequest,
)


def new_policy(_kit: Kit, call: Call, request: CreatePolicyRequest) -> Subject[None]:
    """The policy that CreatePolicy would make."""
    name = request["PolicyName"]
    arn = call.place.policy_arn(request.get("Path", "/"), name)
    return Subject(arn, f"policy {name}", record=None, keys=request_tag_keys(request))


def policy_path(_kit: Kit, _call: Call, request: ListPoliciesRequest) -> Subject[None]:
    """The path under which policies are listed."""
    return Subject("*", f"policy path {request.get('PathPrefix', '/')}", record=None)


@operation("iam", "CreatePolicy", subject=new_policy)
def create_policy(kit: Kit, call: Call, request: CreatePolicyRequest, _subject: None) -> CreatePolicyResponse:
    """Make a managed policy; nobody has it yet."""
    name, path, document = request["PolicyName"], request.get("Path", "/"), request["PolicyDocument"]
    if request.get("Tags"):
        # Policies may grant by tags, so a new policy gets none that its maker may not give to an old one.
        kit.authorise(call, "iam:TagPolicy", new_policy(kit, call, request))
    parse_managed_policy(document)
    record = ManagedPolicyRecord(
        arn=call.place.policy_arn(path, name),
        account_id=call.place.account_id,
        name=name,
        unique_id=ids.new_unique_id("ANPA"),
        path=path,
        description=request.get("Description") or None,
        tags=with_policy_tags(None, request.get("Tags")),
        created_at=call.at,
        updated_at=call.at,
        default_version=1,
        newest_version=1,
    )
    taken_text = f"A policy called {name} already exists. Duplicate names are not allowed."
    with kit.state.write() as transaction:
        kit.state.dialect.lock_count(transaction.connection, f"policies {record.account_id}")
        taken = managed_policies.policy_names(transaction.connection, record.account_id)
        # Names that differ in case only are the same to IAM, whatever their paths.
        if name.casefold() in (other.casefold() for other in taken):
            raise EntityAlreadyExistsException(taken_text)
        check_count("PoliciesPerAccount", len(taken), quotas.POLICIES)
        if not managed_policies.insert_policy(transaction, record, document):
            raise EntityAlreadyExistsException(taken_text)
    shown = shown_policy(record, {}, {})
    if record.tags:
        shown["Tags"] = request["Tags"]
    return {"Policy": shown}


@operation("iam", "GetPolicy", subject=policy)
def get_policy(kit: Kit, call: Call, _request: GetPolicyRequest, record: ManagedPolicyRecord) -> GetPolicyResponse:
    """Show a managed policy without its document."""
    with kit.state.read() as connection:
        shown = shown_policy(record, *policy_uses(connection, call))
    if record.description:
        shown["Description"] = record.description
    shown["Tags"] = tag_list(record.tags)
    return {"Policy": shown}


@operation("iam", "ListPolicies", subject=policy_path)
def list_policies(kit: Kit, call: Call, request: ListPoliciesRequest, _subject: None) -> ListPoliciesResponse:
    """List AWS's and the account's own managed policies by name."""
    with kit.state.read() as connection:
        attached, bounding = policy_uses(connection, call)
        records = list(_in_scope(connection, call, request.get("Scope", "All")))
    prefix, usage = request.get("PathPrefix", "/"), request.get("PolicyUsageFilter")
    records = [record for record in records if record.path.startswith(prefix)]
    if request.get("OnlyAttached") or usage == PolicyUsage.PERMISSIONS:
        records = [record for record in records if record.arn in attached]
    if usage == PolicyUsage.BOUNDARY:
        records = [record for record in records if record.arn in bounding]
    records.sort(key=_position)
    page = page_of(kit, call, "ListPolicies", request, records, _position)
    return {"Policies": [shown_policy(record, attached, bounding) for record in page.items], **end_of(page)}


@operation("iam", "DeletePolicy", subject=policy)
def delete_policy(
    kit: Kit, call: Call, _request: DeletePolicyRequest, record: ManagedPolicyRecord
) -> dict[str, object]:
    """Delete a managed policy that nobody has and that has no version besides its default."""
    check_own(call, record)
    with kit.state.write() as transaction:
        now, connection = current_policy(transaction, record, not_found(record.arn)), transaction.connection
        for usage in PolicyUsage:
            if attachments.load_owners(connection, now.account_id, now.arn, usage):
                raise DeleteConflictException("Cannot delete a policy attached to entities.")
        if len(managed_policies.load_versions(connection, now.arn)) > 1:
            raise DeleteConflictException(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's"
                " versions. The default version is deleted with the policy."
            )
        managed_policies.delete_policy(transaction, now.arn)
    return {}


@operation("iam", "TagPolicy", subject=policy)
def tag_policy(kit: Kit, call: Call, request: TagPolicyRequest, record: ManagedPolicyRecord) -> dict[str, object]:
    """Add tags to a managed policy, or give them other values."""
    check_own(call, record)
    with kit.state.write() as transaction:
        now = current_policy(transaction, record, not_found(record.arn))
        managed_policies.update_policy(transaction, now.arn, tags=with_policy_tags(now.tags, request["Tags"]))
    return {}


@operation("iam", "UntagPolicy", subject=policy)
def untag_policy(kit: Kit, call: Call, request: UntagPolicyRequest, record: ManagedPolicyRecord) -> dict[str, object]:
    """Take tags off a managed policy; those that it does not have are passed over."""
    check_own(call, record)
    unwanted = set(request["TagKeys"])
    with kit.state.write() as transaction:
        now = current_policy(transaction, record, not_found(record.arn))
        kept = {key: value for key, value in (now.tags or {}).items() if key not in unwanted}
        managed_policies.update_policy(transaction, now.arn, tags=kept or None)
    return {}


@operation("iam", "ListPolicyTags", subject=policy)
def list_policy_tags(
    kit: Kit, call: Call, request: ListPolicyTagsRequest, record: ManagedPolicyRecord
) -> ListPolicyTagsResponse:
    """List a managed policy's tags by key."""
    page = page_of(kit, call, "ListPolicyTags", request, tag_list(record.tags), lambda tag: tag["Key"])
    return {"Tags": list(page.items), **end_of(page)}


def _in_scope(connection: Connection, call: Call, scope: str) -> Iterator[ManagedPolicyRecord]:
    if scope != "Local":
        yield from aws_policies(call)
    if scope != "AWS":
        yield from managed_policies.list_policies(connection, call.place.account_id)


def _position(record: ManagedPolicyRecord) -> str:
    # An account may have a policy of the name of one of AWS's. A blank comes before whatever a name may go on with.
    return f"{record.name} {'a' if is_of_aws(record) else 'l'}"


def policy_uses(connection: Connection, call: Call) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Count how many of an account's owners have each managed policy, and have it as their boundary."""
    account_id = call.place.account_id
    return (
        attachments.count_uses(connection, account_id, PolicyUsage.PERMISSIONS),
        attachments.count_uses(connection, account_id, PolicyUsage.BOUNDARY),
    )


def shown_policy(record: ManagedPolicyRecord, attached: Mapping[str, int], bounding: Mapping[str, int]) -> Policy:
    """Return a policy as it is listed: without description and tags."""
    return {
        "PolicyName": record.name,
        "PolicyId": record.unique_id,
        "Arn": record.arn,
        "Path": record.path,
        "DefaultVersionId": f"v{record.default_version}",
        "AttachmentCount": attached.get(record.arn, 0),
        "PermissionsBoundaryUsageCount": bounding.get(record.arn, 0),
        "IsAttachable": True,
        "CreateDate": record.created_at,
        "UpdateDate": record.updated_at,
    }
