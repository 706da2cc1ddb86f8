"""Options that several commands share, declared once. Each flag has a ``KEYTURN_*`` variable (``config.py``)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

PROFILE = "keyturn"
"""Name of the AWS profile that ``init`` writes."""


class Output(StrEnum):
    """How results are printed."""

    TEXT = "text"
    JSON = "json"


DataDir = Annotated[
    Path | None,
    typer.Option(help="Where keys and data are kept. [KEYTURN_DATA_DIR; default ~/.local/share/keyturn]"),
]
AccountId = Annotated[
    str | None, typer.Option(help="Twelve digits, part of every ARN. [KEYTURN_ACCOUNT_ID; default 000000000000]")
]
Region = Annotated[
    str | None,
    typer.Option(help="Of the AWS profile; all others exist, too. [KEYTURN_REGION; default us-east-1]"),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(help="postgresql://HOST/NAME instead of SQLite in the data directory. [KEYTURN_DATABASE_URL]"),
]
RootKeyFile = Annotated[
    Path | None, typer.Option(help="The root key. [KEYTURN_ROOT_KEY_FILE; default root.key in the data directory]")
]
ReplaceProfile = Annotated[
    bool, typer.Option("--replace-profile", help="Overwrite the AWS profile if it exists, with the key in it.")
]
OutputFormat = Annotated[Output, typer.Option(help="Text for people, JSON for programs.")]
