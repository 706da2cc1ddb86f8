"""``keyturn function package``: a rotation function's zip, and beside it, if asked, what runs it in AWS."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated

import typer

from keyturn.cli.function_template import policies, template
from keyturn.cli.yaml_text import yaml_text
from keyturn.client.function_code import built
from keyturn.errors.base import KeyturnError
from keyturn.rotators import catalogue
from keyturn.rotators import package as packages

_TEMPLATE = "template.yaml"
# What deploying leaves beside it.
_OF_DEPLOYMENT = frozenset({"packaged.yaml", "samconfig.toml", ".aws-sam"})


def package(
    engine: Annotated[
        str, typer.Argument(help="Database engine, for instance postgresql; or what engine in a secret says.")
    ],
    strategy: Annotated[
        str,
        typer.Option(
            help="Rotation strategy: single-user, single-user-by-superuser or alternating-users; new-key for http_api."
        ),
    ] = "single-user",
    file: Annotated[
        Path | None, typer.Option("--file", "-o", help="Where to write; standard output if left out.")
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option("--directory", "-d", help="Write into this folder, with a template and the policies beside it."),
    ] = None,
) -> None:
    """Write the deployment package of a rotation function.

    It is a zip file for Keyturn's Lambda and for AWS's alike. The handler's name is printed on standard error: pass it
    to create-function as --handler.

    With --directory a CloudFormation template is written beside it, which makes the function with its role,
    permission, log group and schedule in AWS, in a VPC if you like; and the same policies as JSON, to be filled in, for
    other tools. A folder that has other files is refused.
    """
    if file is not None and directory is not None:
        raise typer.BadParameter("is for the zip alone: leave one of the two out.", param_hint="--file and --directory")
    module = strategy.replace("-", "_")
    # As a secret calls it, too: postgres, for instance.
    engine = catalogue.engine_for(engine) or engine
    content = built(engine, module)
    handler = packages.handler_name(engine, module)
    if directory is not None:
        _write_all(directory, engine, module, content)
    elif file is not None:
        _write({file: content}, "Choose another place with --file.")
    elif sys.stdout.isatty():
        raise KeyturnError("A zip file is not for a terminal.", "Give --file NAME, or redirect standard output.")
    else:
        sys.stdout.buffer.write(content)
    typer.echo(f"Handler: {handler}", err=True)
    if needs := packages.runs_on(content):
        typer.echo(f"Runs on: {needs}. The driver has compiled parts, which are this machine's.", err=True)


def _write_all(directory: Path, engine: str, strategy: str, content: bytes) -> None:
    name = f"{engine}_{strategy}"
    has_superuser = catalogue.strategies()[strategy].takes_superuser
    chosen = catalogue.engines()[engine]
    made = template(
        title=chosen.title,
        handler=packages.handler_name(engine, strategy),
        zip_name=f"{name}.zip",
        architecture=packages.architecture(content),
        strategy=strategy.replace("_", " "),
        has_superuser=has_superuser,
    )
    documents = {f"{kind}.json": document for kind, document in policies(has_superuser=has_superuser).items()}
    _refuse_other_files(directory, {f"{name}.zip", _TEMPLATE, *documents} | _OF_DEPLOYMENT)
    _write(
        {
            directory / f"{name}.zip": content,
            directory / _TEMPLATE: (_how_to_deploy(name, has_superuser=has_superuser) + yaml_text(made)).encode(),
            **{directory / file: _json(document) for file, document in documents.items()},
        },
        "Choose another place with --directory.",
    )
    typer.echo(f"Written to {directory}: {', '.join((f'{name}.zip', _TEMPLATE, *documents))}", err=True)
    typer.echo(f"How to deploy it stands at the top of {_TEMPLATE}.", err=True)


def _refuse_other_files(directory: Path, own: AbstractSet[str]) -> None:
    """Refuse a folder of somebody else's: what is written goes over what is there.

    Raises:
        KeyturnError: It has other files.
    """
    others = sorted(path.name for path in directory.iterdir() if path.name not in own) if directory.is_dir() else []
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise KeyturnError(
            f"{directory} has files that are not this package's: {others[0]}{more}. Nothing was written.",
            "Name a folder with --directory that is empty or does not exist yet.",
        )


def _how_to_deploy(name: str, *, has_superuser: bool) -> str:
    """Return the comment at the top of the template."""
    more = " \\\n#         SuperuserSecretArn=ARN_OF_THE_SUPERUSER_SECRET" if has_superuser else ""
    return (
        f"# Runs {name}.zip, which lies beside this file, in AWS. Made by keyturn function package.\n"
        "#\n"
        "# aws cloudformation package --template-file template.yaml --s3-bucket YOUR_BUCKET \\\n"
        "#     --output-template-file packaged.yaml\n"
        f"# aws cloudformation deploy --template-file packaged.yaml --stack-name rotate-YOUR-SECRET \\\n"
        f"#     --capabilities CAPABILITY_IAM --parameter-overrides SecretArn=ARN_OF_THE_SECRET{more}\n"
        "#\n"
        "# The first command uploads the zip; sam deploy --guided does both.\n"
    )


def _json(document: Mapping[str, object]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()


def _write(files: Mapping[Path, bytes], hint: str) -> None:
    for path, content in files.items():
        try:
            if len(files) > 1:
                path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise KeyturnError(f"{path} cannot be written: {error.strerror}.", hint) from error
