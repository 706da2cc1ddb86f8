"""What every tab of a function's page knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from keyturn.console.replies import Html
from keyturn.console.visit import Look, Visit, refusal_of

_TIMEOUT_SECONDS: Final = 3
_NAME, _QUALIFIER = 6, 7


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """A function.

    Attributes:
        name: Without its ARN.
        qualifier: The version or alias that is looked at; empty for the function as it can be changed.
        configuration: What GetFunctionConfiguration says, or why it does not.
    """

    name: str
    qualifier: str
    configuration: Look

    @property
    def named(self) -> Mapping[str, str]:
        """The parameters of a call about it."""
        return {"FunctionName": self.name, **({"Qualifier": self.qualifier} if self.qualifier else {})}

    @property
    def group(self) -> str:
        """Where it logs; where it does so by itself, if that is not told."""
        logging: Mapping[str, Any] = self.configuration.get("LoggingConfig", {})
        return str(logging.get("LogGroup") or f"/aws/lambda/{self.name}")

    @property
    def timeout_seconds(self) -> int:
        """How long it may take."""
        return int(self.configuration.get("Timeout", _TIMEOUT_SECONDS))


def function_facts(visit: Visit) -> FunctionFacts:
    """Return the function that a page is asked for, by its name or ARN.

    Raises:
        ClientError: There is none. Who may not look at it sees its page all the same, as far as other calls tell.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415 - botocore takes a quarter of a second to import

    name, qualifier = visit.asked("name"), visit.asked("qualifier")
    parts = name.split(":")
    if name.startswith("arn:") and len(parts) > _NAME:
        qualifier = qualifier or (parts[_QUALIFIER] if len(parts) > _QUALIFIER else "")
        name = parts[_NAME]
    facts = FunctionFacts(name, qualifier, Look({}))
    try:
        configuration = Look(visit.clients["lambda"].get_function_configuration(**facts.named))
    except ClientError as error:
        refused = refusal_of(error)
        if not refused.is_denial:
            raise
        configuration = Look({}, refused)
    return replace(facts, configuration=configuration)


def function_page(facts: FunctionFacts, tab: str, shown: Mapping[str, Any]) -> Html:
    """Return a tab of a function's page."""
    return Html(f"function_{tab}.html", {"section": "functions", "function": facts, "tab": tab, **shown})


def rotated_by(visit: Visit, facts: FunctionFacts, most: int) -> Look | None:
    """Return the first secrets that a function rotates; None if it may not be looked at which function it is."""
    arn = facts.configuration.get("FunctionArn")
    if not arn:
        return None
    return visit.look("keyturn", "list_planned_rotations", RotationLambdaARN=arn, MaxResults=most)
