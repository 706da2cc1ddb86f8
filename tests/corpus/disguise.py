"""The same account under other names: another partition and region, a name that looks like an ARN's end, an alias.

Every text in every answer is replaced, and every text of a question is replaced back, so that a case needs no second
writing. A text that the doctor compares with a fixed one (a partition, a region, the form of a name) shows itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .account import Account


@dataclass(frozen=True)
class Disguise:
    """Texts and what stands in their place.

    Attributes:
        name: For the table.
        texts: Replaced in this order, and back in the reverse one.
        json_log: Whether the function logs JSON.
    """

    name: str
    texts: Sequence[tuple[str, str]] = ()
    json_log: bool = False

    def put_on(self, value: Any) -> Any:
        """Return an answer in the disguise."""
        return _replaced(value, self.texts)

    def taken_off(self, value: Any) -> Any:
        """Return a question without it."""
        return _replaced(value, [(after, before) for before, after in reversed(self.texts)])

    def asking(self, account: Account) -> Any:
        """Return what answers in an account's place."""

        def ask(service: str, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
            found: Mapping[str, Any] = self.put_on(account.ask(service, operation, self.taken_off(parameters)))
            return found

        return ask


def _replaced(value: Any, texts: Sequence[tuple[str, str]]) -> Any:
    if isinstance(value, str):
        for before, after in texts:
            value = value.replace(before, after)
        return value
    if isinstance(value, Mapping):
        return {_replaced(key, texts): _replaced(member, texts) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replaced(member, texts) for member in value]
    return value


PLAIN = Disguise("as they are")
DISGUISES = (
    Disguise("JSON log", json_log=True),
    Disguise(
        "aws-cn, cn-north-1",
        [
            ("arn:aws:", "arn:aws-cn:"),
            ("https://secretsmanager.eu-west-1.amazonaws.com", "https://secretsmanager.cn-north-1.amazonaws.com.cn"),
            ("eu-west-1", "cn-north-1"),
        ],
    ),
    Disguise("aws-us-gov", [("arn:aws:", "arn:aws-us-gov:"), ("eu-west-1", "us-gov-west-1")]),
    Disguise("name app-abcdef", [("svc/orders/db", "svc/team+eu@1/app-abcdef"), ("rotate-orders", "Rotate_Orders-2")]),
    Disguise("name with suffix of another", [("svc/other/db-GhIjKl", "svc/orders/db-AbCdEf-GhIjKl")]),
)
