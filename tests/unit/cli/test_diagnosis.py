"""What the commands that diagnose take for a host and a port."""

from __future__ import annotations

import pytest

from keyturn.cli.diagnosis import UsageError, address_in


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("10.20.3.15:5432", "10.20.3.15"),
        ("orders.example.org:5432", "orders.example.org"),
        ("bücher.example:5432", "bücher.example"),
        ("[fd00::1]:5432", "[fd00::1]"),
        ("postgres://10.20.3.15:5432", "10.20.3.15"),
        ("postgresql://app:p%40ss@orders.example.org:5432/app?sslmode=require", "orders.example.org"),
        ("postgresql://app:p@ss@orders.example.org:5432/app", "orders.example.org"),
        ("jdbc:postgresql://orders.example.org:5432/app", "orders.example.org"),
    ],
)
def test_host_and_port_are_taken_from_a_url_too(text: str, host: str) -> None:
    assert address_in(text, "HOST:PORT") == (host, 5432)


@pytest.mark.parametrize(
    "text", ["orders", "orders:", ":5432", "orders:0", "orders:65536", "orders:x", "a b:5432", "a/b:1"]
)
def test_what_is_no_host_and_port_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        address_in(text, "HOST:PORT")

    assert refused.value.message == f"HOST:PORT {text} is no NAME:PORT."
    assert list(refused.value.hints) == ["Say db.example.com:5432."]


@pytest.mark.parametrize("url", ["postgresql://app:hidden@orders/app", "postgresql://app:hidden@a:1,b:2/app", "x://"])
def test_a_url_that_is_refused_is_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        address_in(url, "HOST:PORT")

    assert refused.value.message == "The URL given as HOST:PORT is no NAME:PORT."
