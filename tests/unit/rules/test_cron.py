from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from keyturn.rules.cron import InvalidCron, parse_cron

# A Thursday.
START = datetime(2026, 1, 1, 9, tzinfo=UTC)


def _moments(text: str, count: int = 3) -> list[str]:
    return [f"{moment:%m-%d %H}" for moment in islice(parse_cron(text).moments(START), count)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 /8 * * ? *", ["01-01 00", "01-01 08", "01-01 16"]),
        ("0 8/8 * * ? *", ["01-01 08", "01-01 16", "01-02 08"]),
        ("0 2/10 * * ? *", ["01-01 02", "01-01 12", "01-01 22"]),
        ("0 10 * * ? *", ["01-01 10", "01-02 10", "01-03 10"]),
        ("0 18 ? * SAT *", ["01-03 18", "01-10 18", "01-17 18"]),
        ("0 8 1 * ? *", ["01-01 08", "02-01 08", "03-01 08"]),
        ("0 1 ? 1/3 SUN#1 *", ["01-04 01", "04-05 01", "07-05 01"]),
        ("0 17 L * ? *", ["01-31 17", "02-28 17", "03-31 17"]),
        ("0 17 SUNL * ? *", ["01-25 17", "02-22 17", "03-29 17"]),
        ("0 8 ? * MON-FRI *", ["01-01 08", "01-02 08", "01-05 08"]),
        ("0 16 1,15 * ? *", ["01-01 16", "01-15 16", "02-01 16"]),
        ("0 0 ? 1/11 2#1 *", ["01-05 00", "12-07 00", "01-04 00"]),
        ("0 0 ? * TUE#3 *", ["01-20 00", "02-17 00", "03-17 00"]),
        ("0 0 ? * L *", ["01-03 00", "01-10 00", "01-17 00"]),
        ("0 0 ? * 7,sun *", ["01-03 00", "01-04 00", "01-10 00"]),
        ("0 0 29 FEB ? *", ["02-29 00", "02-29 00", "02-29 00"]),
        ("0 0 10-12/2 * ? *", ["01-10 00", "01-12 00", "02-10 00"]),
        ("0 0 ? 2 MON#5 *", ["02-29 00"]),
    ],
)
def test_an_expression_fires_at(text: str, expected: list[str]) -> None:
    assert _moments(text, len(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0 8 * * ?",
        "5 8 * * ? *",
        "* 8 * * ? *",
        "0 8 * * ? 2027",
        "0 8 * * * *",
        "0 8 ? * ? *",
        "0 24 * * ? *",
        "0 8 0 * ? *",
        "0 8 32 * ? *",
        "0 8 1 13 ? *",
        "0 8 ? * 8 *",
        "0 8 ? * 0 *",
        "0 8 ? * TUE#6 *",
        "0 8 ? * TUE#0 *",
        "0 8 ? * FRI-MON *",
        "0 8 FOOL * ? *",
        "0 8 1, * ? *",
        "0 8 *-3 * ? *",
        "0 -3 * * ? *",
        "0 /0 * * ? *",
        "0 ٣ * * ? *",
        "0 8 31 2 ? *",
        "0 8 W * ? *",
    ],
)
def test_other_expressions_are_refused(text: str) -> None:
    with pytest.raises(InvalidCron):
        parse_cron(text)
