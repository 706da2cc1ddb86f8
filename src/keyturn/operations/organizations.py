"""AWS Organizations, as far as accounts need it: the management account makes further ones, in which it may act.

A new account is ready when the call that made it is answered; nothing has to be waited for. Its first principal is the
role by which AWS Organizations lets administrators of the management account in.

Source: AWS Organizations API Reference; AWS Organizations User Guide, "Accessing a member account that has
OrganizationAccountAccessRole".
"""

from __future__ import annotations

import hashlib
import json

from keyturn import ids
from keyturn.arn import Place
from keyturn.call import Call
from keyturn.errors.organizations import (
    AccessDeniedException,
    AccountNotFoundException,
    CreateAccountStatusNotFoundException,
    InvalidInputException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.paging import open_page, seal_page
from keyturn.operations.registry import no_subject, operation
from keyturn.storage import accounts, inline_policies, roles
from keyturn.storage.accounts import AccountRecord
from keyturn.storage.database import Transaction
from keyturn.storage.roles import RoleRecord
from keyturn.wire.types.organizations import (
    Account,
    CreateAccountRequest,
    CreateAccountResponse,
    CreateAccountStatus,
    DescribeAccountRequest,
    DescribeAccountResponse,
    DescribeCreateAccountStatusRequest,
    DescribeCreateAccountStatusResponse,
    DescribeOrganizationResponse,
    ListAccountsRequest,
    ListAccountsResponse,
)

ACCESS_ROLE = "OrganizationAccountAccessRole"
_PAGE_SIZE = 20
_LISTING = "organizations:ListAccounts"
_SESSION_SECONDS = 3600
_ADMINISTRATOR_POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)


@operation("organizations", "CreateAccount", subject=no_subject)
def create_account(kit: Kit, call: Call, request: CreateAccountRequest, _subject: None) -> CreateAccountResponse:
    """Make an account with a role that administrators of the management account may assume."""
    _require_management(kit, call)
    if request.get("Tags"):
        raise InvalidInputException("Keyturn does not offer tags of accounts.", Reason="INVALID_PATTERN")
    account = AccountRecord(ids.new_account_id(), request["AccountName"], request["Email"].lower(), call.at)
    with kit.state.write() as transaction:
        taken = [other.email for other in accounts.list_accounts(transaction.connection)]
        if account.email in taken or not accounts.insert_account(transaction, account):
            # Also in AWS this is no error of the call: it is what became of the request.
            status = _status(account)
            del status["AccountId"], status["CompletedTimestamp"]
            return {"CreateAccountStatus": {**status, "State": "FAILED", "FailureReason": "EMAIL_ALREADY_EXISTS"}}
        _make_access_role(transaction, call, account, request.get("RoleName", ACCESS_ROLE))
    return {"CreateAccountStatus": _status(account)}


@operation("organizations", "DescribeCreateAccountStatus", subject=no_subject)
def describe_create_account_status(
    kit: Kit, call: Call, request: DescribeCreateAccountStatusRequest, _subject: None
) -> DescribeCreateAccountStatusResponse:
    """Say what became of a request to make an account: it has succeeded, or there is no account of it."""
    _require_management(kit, call)
    with kit.state.read() as connection:
        every = accounts.list_accounts(connection)
    for account in every:
        if _request_id(account) == request["CreateAccountRequestId"]:
            return {"CreateAccountStatus": _status(account)}
    raise CreateAccountStatusNotFoundException(
        "We can't find a create account request with the CreateAccountRequestId that you specified."
    )


@operation("organizations", "ListAccounts", subject=no_subject)
def list_accounts(kit: Kit, call: Call, request: ListAccountsRequest, _subject: None) -> ListAccountsResponse:
    """List the accounts of this Keyturn, oldest first."""
    _require_management(kit, call)
    with kit.state.read() as connection:
        every = accounts.list_accounts(connection)
    start = 0
    if "NextToken" in request:
        refusal = InvalidInputException("You specified an invalid value.", Reason="INVALID_NEXT_TOKEN")
        after = open_page(kit, call, _LISTING, request["NextToken"], refusal)["after"]
        # Accounts are never removed, so the one that the page before ended with is there.
        start = next(index for index, account in enumerate(every, start=1) if account.account_id == after)
    page = every[start : start + request.get("MaxResults", _PAGE_SIZE)]
    response: ListAccountsResponse = {"Accounts": [_shown(kit, account) for account in page]}
    if start + len(page) < len(every):
        response["NextToken"] = seal_page(kit, call, _LISTING, after=page[-1].account_id)
    return response


@operation("organizations", "DescribeAccount", subject=no_subject)
def describe_account(kit: Kit, call: Call, request: DescribeAccountRequest, _subject: None) -> DescribeAccountResponse:
    """Show one account."""
    _require_management(kit, call)
    with kit.state.read() as connection:
        account = accounts.load_account(connection, request["AccountId"])
    if account is None:
        raise AccountNotFoundException("You specified an account that doesn't exist.")
    return {"Account": _shown(kit, account)}


@operation("organizations", "DescribeOrganization", subject=no_subject)
def describe_organization(kit: Kit, _call: Call, _request: object, _subject: None) -> DescribeOrganizationResponse:
    """Show the organization that all accounts of this Keyturn are in; members may ask, too."""
    management = _management(kit)
    organization_id = ids.organization_id_of(kit.management_account_id)
    return {
        "Organization": {
            "Id": organization_id,
            "Arn": f"{_arn_prefix(kit)}:organization/{organization_id}",
            "FeatureSet": "ALL",
            "MasterAccountArn": f"{_arn_prefix(kit)}:account/{organization_id}/{management.account_id}",
            "MasterAccountId": management.account_id,
            "MasterAccountEmail": management.email,
        }
    }


def _require_management(kit: Kit, call: Call) -> None:
    if call.place.account_id != kit.management_account_id:
        raise AccessDeniedException("You don't have permissions to access this resource.")


def _make_access_role(transaction: Transaction, call: Call, account: AccountRecord, name: str) -> None:
    place = Place(call.place.partition, call.place.region, account.account_id)
    trusted = {"Effect": "Allow", "Principal": {"AWS": call.place.root_arn()}, "Action": "sts:AssumeRole"}
    role = RoleRecord(
        account_id=account.account_id,
        name=name,
        unique_id=ids.new_unique_id("AROA"),
        path="/",
        arn=place.role_arn("/", name),
        created_at=call.at,
        trust_policy=json.dumps({"Version": "2012-10-17", "Statement": [trusted]}),
        description=None,
        max_session_seconds=_SESSION_SECONDS,
    )
    roles.insert_role(transaction, role)
    inline_policies.put_inline_policy(transaction, role.arn, "AdministratorAccess", _ADMINISTRATOR_POLICY)


def _management(kit: Kit) -> AccountRecord:
    with kit.state.read() as connection:
        account = accounts.load_account(connection, kit.management_account_id)
    if account is None:
        raise LookupError(kit.management_account_id)
    return account


def _status(account: AccountRecord) -> CreateAccountStatus:
    return {
        "Id": _request_id(account),
        "AccountName": account.name,
        "State": "SUCCEEDED",
        "RequestedTimestamp": account.created_at,
        "CompletedTimestamp": account.created_at,
        "AccountId": account.account_id,
    }


def _shown(kit: Kit, account: AccountRecord) -> Account:
    return {
        "Id": account.account_id,
        "Arn": f"{_arn_prefix(kit)}:account/{ids.organization_id_of(kit.management_account_id)}/{account.account_id}",
        "Email": account.email,
        "Name": account.name,
        "Status": "ACTIVE",
        "State": "ACTIVE",
        "JoinedMethod": "INVITED" if account.account_id == kit.management_account_id else "CREATED",
        "JoinedTimestamp": account.created_at,
    }


def _request_id(account: AccountRecord) -> str:
    """Return the id of the request that made an account; one belongs to the other, so nothing is stored."""
    return f"car-{hashlib.sha256(account.account_id.encode()).hexdigest()[:32]}"


def _arn_prefix(kit: Kit) -> str:
    return f"arn:{kit.partition}:organizations::{kit.management_account_id}"
