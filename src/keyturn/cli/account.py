"""``keyturn account``: further accounts of one Keyturn, to keep teams apart and to try cross-account access."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keyturn.cli.aws_profile import check_profile_is_free, check_profile_name, profile_sections, write_profile
from keyturn.cli.clients import Clients, EndpointUrl, Profile, RegionName, explained
from keyturn.cli.options import Output, OutputFormat, ReplaceProfile
from keyturn.client.shown import shown
from keyturn.config import aws_files
from keyturn.errors.base import KeyturnError
from keyturn.sensitive import Sensitive

ADMINISTRATOR = "administrator"
_POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
_ACCESS_ROLE = "OrganizationAccountAccessRole"

app = typer.Typer(help="Make and list accounts.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="account")


@app.callback()
def _group() -> None:
    """Make and list accounts of one Keyturn."""


@dataclass(frozen=True, slots=True)
class _Administrator:
    account_id: str
    access_key_id: str
    secret_access_key: Sensitive[str]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call the account.", show_default=False)],
    email: Annotated[str | None, typer.Option(help="Unique address; made from the name if left out.")] = None,
    write_profile_as: Annotated[
        str | None, typer.Option("--write-profile", help="Also write the key as this AWS profile.", metavar="NAME")
    ] = None,
    replace_profile: ReplaceProfile = False,
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
    output: OutputFormat = Output.TEXT,
) -> None:
    """Make another account and print its administrator's access key, once.

    Sign as an administrator of the first account (--profile keyturn). The account's secrets, functions, users and logs
    are its own; what it shares, it shares by resource policies and ARNs, as in AWS. Does what you could do with the AWS
    CLI: organizations create-account, sts assume-role, iam create-user, put-user-policy and create-access-key.
    """
    if write_profile_as is not None:
        check_profile_name(write_profile_as)
        if not replace_profile:
            check_profile_is_free(
                write_profile_as,
                "Choose another name with --write-profile NAME.",
                "Or overwrite it, and the access key in it, with --replace-profile.",
                "Or leave --write-profile out; the key is printed in any case.",
            )
    clients = Clients(profile, endpoint_url, region)
    with explained():
        made = _create(clients, name, email or f"{_slug(name)}@accounts.invalid")
    meta = clients["organizations"].meta
    # Printed before it is written: if that fails, the key has been seen.
    if output is Output.JSON:
        document = {
            "account_id": made.account_id,
            "access_key_id": made.access_key_id,
            "secret_access_key": made.secret_access_key.reveal(),
        }
        typer.echo(json.dumps(document))
        if write_profile_as is not None:
            write_profile(write_profile_as, meta.region_name, meta.endpoint_url, made)
        return
    console = Console(highlight=False, emoji=False, soft_wrap=True)
    console.print(f"Account             {made.account_id}  ({escape(name)})")
    console.print(f"Access key id       {made.access_key_id}")
    console.print(f"Secret access key   {made.secret_access_key.reveal()}  (shown this once)")
    config, credentials = aws_files()
    if write_profile_as is not None:
        write_profile(write_profile_as, meta.region_name, meta.endpoint_url, made)
        console.print(f"AWS profile         {write_profile_as}  (written into {config} and {credentials})")
        console.print(f"\nNext: aws --profile {write_profile_as} sts get-caller-identity")
        return
    # Lines for files, not commands with the key in them: those would stay in the shell's history.
    in_config, in_credentials = profile_sections(_slug(name), meta.region_name, meta.endpoint_url, made)
    console.print(f"\nNext: keep the key as an AWS profile (--write-profile NAME does it). Add to {credentials}:\n")
    typer.echo(in_credentials.reveal())
    console.print(f"and to {config}:\n")
    typer.echo(in_config)


@app.command(name="list")
def list_(
    profile: Profile = None,
    endpoint_url: EndpointUrl = None,
    region: RegionName = None,
    output: OutputFormat = Output.TEXT,
) -> None:
    """List the accounts of this Keyturn."""
    clients = Clients(profile, endpoint_url, region)
    with explained():
        pages = clients["organizations"].get_paginator("list_accounts").paginate()
        found = [account for page in pages for account in page["Accounts"]]
        management = clients["organizations"].describe_organization()["Organization"]["MasterAccountId"]
    rows = [
        {
            "account_id": account["Id"],
            "name": account["Name"],
            "email": account["Email"],
            "created_at": account["JoinedTimestamp"].isoformat(timespec="seconds"),
            "is_management": account["Id"] == management,
        }
        for account in found
    ]
    if output is Output.JSON:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("Account", "Name", "Email", "Since")
    for row in rows:
        name, email = escape(shown(row["name"])), escape(shown(row["email"]))
        table.add_row(row["account_id"], name, email, row["created_at"][:10])
    Console(highlight=False, emoji=False).print(table)


def _create(clients: Clients, name: str, email: str) -> _Administrator:
    status = clients["organizations"].create_account(AccountName=name, Email=email)["CreateAccountStatus"]
    if status["State"] != "SUCCEEDED":
        reason = status.get("FailureReason", status["State"])
        raise KeyturnError(
            f"The account was not made: {reason}.", f"Is {email} another account's address? Give one with --email."
        )
    account_id: str = status["AccountId"]
    partition = clients["sts"].get_caller_identity()["Arn"].split(":")[1]
    credentials = clients["sts"].assume_role(
        RoleArn=f"arn:{partition}:iam::{account_id}:role/{_ACCESS_ROLE}", RoleSessionName="keyturn-account-create"
    )["Credentials"]
    iam = clients.signing_with(credentials)["iam"]
    iam.create_user(UserName=ADMINISTRATOR)
    iam.put_user_policy(UserName=ADMINISTRATOR, PolicyName="AdministratorAccess", PolicyDocument=json.dumps(_POLICY))
    key = iam.create_access_key(UserName=ADMINISTRATOR)["AccessKey"]
    return _Administrator(account_id, key["AccessKeyId"], Sensitive(key["SecretAccessKey"]))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "account"
