"""``keyturn serve``: run the server until it is told to stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

import keyturn
from keyturn.cli.aws_profile import check_profile_is_free, write_profile
from keyturn.cli.options import PROFILE, AccountId, DatabaseUrl, DataDir, Region, RootKeyFile
from keyturn.config import SandboxChoice, load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [KEYTURN_HOST; default 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 picks a free one. [KEYTURN_PORT; default 4773]")
    ] = None,
    account_id: AccountId = None,
    region: Region = None,
    database_url: DatabaseUrl = None,
    root_key_file: RootKeyFile = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="PEM file with the certificate chain. [KEYTURN_TLS_CERTIFICATE]")
    ] = None,
    tls_private_key: Annotated[
        Path | None, typer.Option(help="PEM file with its private key. [KEYTURN_TLS_PRIVATE_KEY]")
    ] = None,
    plaintext_on_network: Annotated[
        bool | None,
        typer.Option(
            "--plaintext-on-network",
            help="Allow an address other than loopback without TLS. [KEYTURN_PLAINTEXT_ON_NETWORK]",
        ),
    ] = None,
    sandbox: Annotated[
        SandboxChoice | None, typer.Option(help="How functions are kept apart. [KEYTURN_SANDBOX; default auto]")
    ] = None,
    require_sandbox: Annotated[
        bool | None,
        typer.Option("--require-sandbox", help="Refuse to start without bubblewrap. [KEYTURN_REQUIRE_SANDBOX]"),
    ] = None,
    isolate_functions: Annotated[
        bool | None,
        typer.Option(
            "--isolate-functions",
            help="Let functions that are in no VPC reach Keyturn and nothing else. [KEYTURN_ISOLATE_FUNCTIONS]",
        ),
    ] = None,
    console: Annotated[
        bool | None,
        typer.Option("--console/--no-console", help="Serve the console under /console/. [KEYTURN_CONSOLE; default on]"),
    ] = None,
    network_map: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CIDR[=CIDR]",
            help="Addresses of VPCs that are real: 10.20.0.0/16 as it is, 10.0.2.15=127.0.0.1 as another; may be"
            " repeated. [KEYTURN_NETWORK_MAP]",
        ),
    ] = None,
    max_environments: Annotated[
        int | None,
        typer.Option(help="Function processes that may run at once. [KEYTURN_MAX_ENVIRONMENTS; default 32]"),
    ] = None,
    clock_skew_seconds: Annotated[
        int | None,
        typer.Option(help="How far a client's clock may be off. [KEYTURN_CLOCK_SKEW_SECONDS; default 300]"),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error. [KEYTURN_LOG_LEVEL; default info]")
    ] = None,
    no_profile: Annotated[
        bool, typer.Option("--no-profile", help="Leave ~/.aws alone, and refuse to start on an empty data directory.")
    ] = False,
) -> None:
    """Serve the AWS APIs on one port until SIGTERM or Ctrl-C.

    An empty data directory is initialised first, as by keyturn init, and the access key is written into the AWS
    profile. If there is a profile of that name already, nothing is made.
    """
    flags = dict(locals())
    del flags["no_profile"]
    flags["network_map"] = ",".join(network_map) if network_map else None
    settings = load_settings(flags)
    # The server's parts are loaded only by commands that run them: `keyturn --help` is quick.
    from keyturn.app import Server, initialise_if_new  # noqa: PLC0415 - see above
    from keyturn.server import run  # noqa: PLC0415 - likewise

    run.configure_logging(settings.log_level)
    with run.bind(settings) as listener:
        settings = replace(settings, port=listener.getsockname()[1])
        # Without a profile nobody would ever see the access key, so that is left to `keyturn init`.
        administrator = None if no_profile else initialise_if_new(settings, _check_profile)
        if administrator is not None:
            write_profile(PROFILE, settings.region, settings.endpoint_url, administrator)
        with Server.open(settings) as server:
            ready_line = (
                f"Keyturn {keyturn.__version__} ready on {settings.endpoint_url}"
                f" (data {settings.data_dir}, sandbox {server.sandbox}; {server.networks})"
            )
            run.serve(settings, server.application, server.doors, listener, ready_line)


def _check_profile() -> None:
    check_profile_is_free(
        PROFILE,
        "Initialise with keyturn init --replace-profile, which overwrites it, and the access key in it.",
        "Or with keyturn init --profile NAME, which writes another.",
        "Or with keyturn init --no-profile, which leaves ~/.aws alone.",
    )
