"""What a caller may write in place of a function's name: the name, a partial or full ARN, each with a qualifier.

Source: AWS Lambda API Reference, "FunctionName" of Invoke; the pattern is the model's, taken apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from keyturn.arn import Place
from keyturn.errors.lambda_ import InvalidParameterValueException, ResourceNotFoundException

LATEST = "$LATEST"
UNQUALIFIED = ""
"""The qualifier of a function as a whole."""
_ALIAS = re.compile(r"(?!\d+$)[a-zA-Z0-9-_]+")
_REFERENCE = re.compile(
    r"(?:arn:(?P<partition>[^:]*):lambda:)?"
    r"(?:(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?"
    r"(?:(?P<account_id>\d{12}):)?"
    r"(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_.]+)"
    r"(?::(?P<qualifier>[a-zA-Z0-9-_.$]+))?"
)


@dataclass(frozen=True, slots=True)
class FunctionReference:
    """A function as a caller named it.

    Attributes:
        name: Function name.
        qualifier: Version or alias; empty if none was given.
        unqualified_arn: ARN without the qualifier, in the account that the caller meant.
    """

    name: str
    qualifier: str
    unqualified_arn: str

    @property
    def names_latest(self) -> bool:
        """Whether the function is meant as it can be changed, under whatever name but an alias."""
        return self.qualifier in (UNQUALIFIED, LATEST)

    @property
    def names_alias(self) -> bool:
        """Whether the qualifier has the form of an alias; there may be none of that name."""
        return _ALIAS.fullmatch(self.qualifier) is not None

    @property
    def arn(self) -> str:
        """ARN with the qualifier, if one was given."""
        return f"{self.unqualified_arn}:{self.qualifier}" if self.qualifier else self.unqualified_arn


def version_text(version: int | None) -> str:
    """Return a version as AWS writes it; None is ``$LATEST``."""
    return LATEST if version is None else str(version)


def parse_function_name(place: Place, text: str, qualifier: str | None = None) -> FunctionReference:
    """Return what ``text`` refers to.

    Args:
        place: The caller's partition, region and account.
        text: As sent; the model's pattern has been checked.
        qualifier: The request's own Qualifier member.

    Raises:
        InvalidParameterValueException: The name carries another qualifier than ``qualifier``.
        ResourceNotFoundException: The ARN names another region.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise InvalidParameterValueException("The function name is neither a name nor an ARN of a function.")
    derived = match["qualifier"]
    if derived and qualifier and derived != qualifier:
        raise InvalidParameterValueException(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    region = match["region"] or place.region
    if region != place.region:
        raise ResourceNotFoundException(
            f"Functions from '{region}' are not reachable in this region ('{place.region}')"
        )
    account_id = match["account_id"] or place.account_id
    owner = Place(match["partition"] or place.partition, region, account_id)
    name = match["name"]
    return FunctionReference(
        name=name,
        qualifier=derived or qualifier or "",
        unqualified_arn=owner.function_arn(name),
    )
