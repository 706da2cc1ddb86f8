"""boto3 clients for commands: profile, region and endpoint mean what they mean in the AWS CLI."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from keyturn.cli.options import PROFILE
from keyturn.errors.base import KeyturnError
from keyturn.service_models import OWN_MODELS

Profile = Annotated[str | None, typer.Option(help="AWS profile to use. [AWS_PROFILE]")]
EndpointUrl = Annotated[str | None, typer.Option(help="Address of the server. [AWS_ENDPOINT_URL, or the profile's]")]
RegionName = Annotated[str | None, typer.Option("--region", help="Region. [AWS_DEFAULT_REGION, or the profile's]")]

SERVER_FAULT = (
    "The server's log says what is wrong; if its own database is away, GET /readyz answers 503 until it is back."
)
"""What helps if the server is at fault."""


DENIED = "The policies of this access key (--profile) do not allow it."


# boto3 takes a quarter of a second to import. It is imported where it is used, so that `keyturn --help` is quick.
class Clients:
    """Clients of one account, made when they are first needed."""

    def __init__(
        self,
        profile: str | None,
        endpoint_url: str | None,
        region: str | None,
        credentials: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare clients.

        Args:
            profile: As in the AWS CLI, like the next two.
            endpoint_url: Of the server.
            region: Name of the region.
            credentials: What AssumeRole has answered, in place of the profile's own.
        """
        import boto3  # noqa: PLC0415 - see above
        from botocore.config import Config  # noqa: PLC0415 - likewise

        given = credentials or {}
        with explained():
            self._session = boto3.Session(
                profile_name=profile,
                region_name=region,
                aws_access_key_id=given.get("AccessKeyId"),
                aws_secret_access_key=given.get("SecretAccessKey"),
                aws_session_token=given.get("SessionToken"),
            )
        # Keyturn's own service; a private name of boto3's, which has no other way to it (boto3 issue 1900).
        loader = self._session._session.get_component("data_loader")  # noqa: SLF001 - see above
        loader.search_paths.append(str(OWN_MODELS))
        self._profile = profile
        self._config = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5)
        self._endpoint_url = endpoint_url
        self._clients: dict[str, Any] = {}
        self._making = threading.Lock()

    def signing_with(self, credentials: Mapping[str, str]) -> Clients:
        """Return clients of the same server and region that sign with other credentials."""
        meta = self["sts"].meta
        return Clients(self._profile, meta.endpoint_url, meta.region_name, credentials)

    def __getitem__(self, service: str) -> Any:
        """Return the client of a service, by botocore's name of it."""
        # boto3 makes clients in one thread at a time only; made, they may be used by several.
        with self._making:
            if service not in self._clients:
                self._clients[service] = self._session.client(
                    service, endpoint_url=self._endpoint_url, config=self._config
                )
            return self._clients[service]


def as_given(profile: str | None, endpoint_url: str | None, region: str | None) -> str:
    """Return the options of a command that is to ask the same server as this one, each behind a space."""
    given = {"--profile": profile, "--endpoint-url": endpoint_url, "--region": region}
    return "".join(f" {name} {shlex.quote(value)}" for name, value in given.items() if value)


@contextmanager
def explained() -> Iterator[None]:
    """Turn what a client raises into a message for a person.

    Raises:
        KeyturnError: A call was refused or could not be made, or the server was not reached.
    """
    from botocore import exceptions  # noqa: PLC0415 - see above

    try:
        yield
    except exceptions.ClientError as error:
        details = error.response.get("Error", {})
        message = f"{error.operation_name}: {details.get('Message') or details.get('Code', 'refused')}"
        raise KeyturnError(message, *_hints(details.get("Code", ""), message)) from error
    except exceptions.ProfileNotFound as error:
        raise KeyturnError(
            f"There is no AWS profile {error.kwargs['profile']!r}.",
            "aws configure list-profiles shows those there are: choose one with --profile, or AWS_PROFILE.",
        ) from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise KeyturnError(
            str(error), "Is the server running, and are --endpoint-url, --profile and --region right?"
        ) from error
    except (exceptions.NoCredentialsError, exceptions.NoRegionError) as error:
        raise KeyturnError(
            str(error), f"keyturn init writes an AWS profile that has both: choose it with --profile {PROFILE}."
        ) from error
    except exceptions.BotoCoreError as error:
        raise KeyturnError(str(error)) from error


def _hints(code: str, message: str) -> list[str]:
    if "cannot invoke the specified Lambda function" in message:
        return [
            "The function is missing, or its own policy does not let Secrets Manager invoke it.",
            "aws lambda get-policy shows that policy; docs/access-denied.md shows what has to be in it.",
        ]
    hints = {
        "InternalServiceError": SERVER_FAULT,
        "InternalFailure": SERVER_FAULT,
        "AccessDeniedException": DENIED,
        # IAM's name of it.
        "AccessDenied": DENIED,
        "UnrecognizedClientException": "The access key is unknown to this server: check --profile and --endpoint-url.",
        "InvalidSignatureException": "The secret access key is wrong, or this machine's clock is.",
        "ResourceNotFoundException": "aws secretsmanager list-secrets shows the secrets there are.",
    }
    return [hints[code]] if code in hints else []
