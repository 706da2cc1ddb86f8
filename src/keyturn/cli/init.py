"""``keyturn init``: make a data directory, its keys and the first administrator."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer
from rich.console import Console

from keyturn.cli.aws_profile import check_profile_is_free, check_profile_name, write_profile
from keyturn.cli.options import (
    PROFILE,
    AccountId,
    DatabaseUrl,
    DataDir,
    Output,
    OutputFormat,
    Region,
    ReplaceProfile,
    RootKeyFile,
)
from keyturn.config import aws_files, load_settings

_NO_SETTINGS = {"profile", "replace_profile", "no_profile", "output"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(
    data_dir: DataDir = None,
    account_id: AccountId = None,
    region: Region = None,
    database_url: DatabaseUrl = None,
    root_key_file: RootKeyFile = None,
    host: Annotated[str | None, typer.Option(help="Written into the AWS profile. [KEYTURN_HOST]")] = None,
    port: Annotated[int | None, typer.Option(help="Written into the AWS profile. [KEYTURN_PORT]")] = None,
    profile: Annotated[str, typer.Option(help="Name of the AWS profile to write.")] = PROFILE,
    replace_profile: ReplaceProfile = False,
    no_profile: Annotated[bool, typer.Option("--no-profile", help="Leave ~/.aws alone.")] = False,
    output: OutputFormat = Output.TEXT,
) -> None:
    """Make a data directory, its keys and the first administrator.

    The access key is printed once and kept nowhere in readable form, except in the AWS profile that this command writes
    (leave that out with --no-profile). A profile of that name that exists already stays as it is, and nothing is made,
    unless you say --replace-profile.
    """
    flags = {name: value for name, value in locals().items() if name not in _NO_SETTINGS}
    settings = load_settings(flags)
    if not no_profile:
        check_profile_name(profile)

    def check() -> None:
        if not (no_profile or replace_profile):
            check_profile_is_free(
                profile,
                "Choose another name with --profile NAME.",
                "Or overwrite it, and the access key in it, with --replace-profile.",
                "Or leave ~/.aws alone with --no-profile.",
            )

    from keyturn.app import initialise  # noqa: PLC0415 - the server's parts are loaded only by commands that run them

    administrator = initialise(settings, check)
    if output is Output.JSON:
        document = {
            "access_key_id": administrator.access_key_id,
            "secret_access_key": administrator.secret_access_key.reveal(),
            "account_id": settings.account_id,
            "region": settings.region,
            "data_dir": str(settings.data_dir),
        }
        typer.echo(json.dumps(document))
        # Only now: if it fails, the key has been seen.
        if not no_profile:
            write_profile(profile, settings.region, settings.endpoint_url, administrator)
        return
    console = Console(highlight=False, emoji=False, soft_wrap=True)
    console.print(f"Data directory      {settings.data_dir}")
    console.print(f"Root key            {settings.root_key_path}  (back it up: without it nothing can be read)")
    console.print(f"Access key id       {administrator.access_key_id}")
    console.print(f"Secret access key   {administrator.secret_access_key.reveal()}  (shown this once)")
    serve = "keyturn serve" + (f" --data-dir {shlex.quote(str(data_dir))}" if data_dir else "")
    if no_profile:
        console.print(f"\nNext: {serve}")
    else:
        write_profile(profile, settings.region, settings.endpoint_url, administrator)
        config, credentials = aws_files()
        console.print(f"AWS profile         {profile}  (written into {config} and {credentials})")
        console.print(f"\nNext: {serve}, and from another shell: aws --profile {profile} secretsmanager list-secrets")
