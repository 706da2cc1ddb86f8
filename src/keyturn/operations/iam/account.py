"""What an account has of IAM, counted, and its aliases, of which it has none."""

from __future__ import annotations

from keyturn.call import Call
from keyturn.operations.iam import quotas
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.subject import Subject
from keyturn.rules.policy.document import INLINE_LIMITS, MANAGED_LIMIT, TRUST_LIMIT
from keyturn.storage import groups, managed_policies, roles, users
from keyturn.wire.types.iam import (
    GetAccountSummaryRequest,
    GetAccountSummaryResponse,
    ListAccountAliasesRequest,
    ListAccountAliasesResponse,
)

# What Keyturn has none of, beside AWS's figures for how much there could be. Source: recorded by localstack, 2026-02.
_NOT_HERE = {
    "AccountAccessKeysPresent": 0,
    "AccountMFAEnabled": 0,
    "AccountPasswordPresent": 0,
    "AccountSigningCertificatesPresent": 0,
    "GlobalEndpointTokenVersion": 1,
    "InstanceProfiles": 0,
    "InstanceProfilesQuota": 1000,
    "MFADevices": 0,
    "MFADevicesInUse": 0,
    "Providers": 0,
    "ServerCertificates": 0,
    "ServerCertificatesQuota": 20,
    "SigningCertificatesPerUserQuota": 2,
}
_QUOTAS = {
    "AccessKeysPerUserQuota": quotas.KEYS_PER_USER,
    "AssumeRolePolicySizeQuota": TRUST_LIMIT,
    "AttachedPoliciesPerGroupQuota": quotas.ATTACHED["Group"],
    "AttachedPoliciesPerRoleQuota": quotas.ATTACHED["Role"],
    "AttachedPoliciesPerUserQuota": quotas.ATTACHED["User"],
    "GroupPolicySizeQuota": INLINE_LIMITS["group"],
    "GroupsPerUserQuota": quotas.GROUPS_PER_USER,
    "GroupsQuota": quotas.GROUPS,
    "PoliciesQuota": quotas.POLICIES,
    "PolicySizeQuota": MANAGED_LIMIT,
    # No quota of Keyturn's: what the others allow.
    "PolicyVersionsInUseQuota": 10_000,
    "RolePolicySizeQuota": INLINE_LIMITS["role"],
    "RolesQuota": quotas.ROLES,
    "UserPolicySizeQuota": INLINE_LIMITS["user"],
    "UsersQuota": quotas.USERS,
    "VersionsPerPolicyQuota": quotas.VERSIONS_PER_POLICY,
}


def whole_account(_kit: Kit, _call: Call, _request: object) -> Subject[None]:
    """Everything: no resource, which IAM's refusals show as a star."""
    return Subject("*", "*", record=None)


@operation("iam", "GetAccountSummary", subject=whole_account)
def get_account_summary(
    kit: Kit, call: Call, _request: GetAccountSummaryRequest, _subject: None
) -> GetAccountSummaryResponse:
    """Count what an account has of IAM, beside how much it may have."""
    account_id = call.place.account_id
    with kit.state.read() as connection:
        counts = {
            "Groups": len(groups.group_names(connection, account_id)),
            "Policies": len(managed_policies.policy_names(connection, account_id)),
            "PolicyVersionsInUse": managed_policies.count_versions(connection, account_id),
            "Roles": len(roles.role_names(connection, account_id)),
            "Users": len(users.user_names(connection, account_id)),
        }
    return {"SummaryMap": {**counts, **_QUOTAS, **_NOT_HERE}}


@operation("iam", "ListAccountAliases", subject=whole_account)
def list_account_aliases(
    _kit: Kit, _call: Call, _request: ListAccountAliasesRequest, _subject: None
) -> ListAccountAliasesResponse:
    """Say that the account has no alias."""
    return {"AccountAliases": [], "IsTruncated": False}
