"""Reading the JSON of a database secret, and finding the host that takes changes."""

from __future__ import annotations

import time

import pytest

from keyturn.rotators.engines import base
from keyturn.rotators.engines.base import Connection, Login, TlsMode, connect_to_first, read_login

VALUE = {"engine": "postgres", "host": "db", "username": "app", "password": "marked"}


def read(**more: object) -> Login:
    return read_login({**VALUE, **more}, engines=("postgres",), default_port=5432, default_dbname="postgres")


def test_port_and_dbname_have_defaults() -> None:
    assert (read().addresses, read().dbname) == ((("db", 5432),), "postgres")
    assert (read(port=None, dbname="").addresses, read(dbname=None).dbname) == ((("db", 5432),), "postgres")


@pytest.mark.parametrize("port", [6543, "6543", " 6543 "])
def test_a_port_is_a_number_or_its_text(port: object) -> None:
    assert read(port=port).addresses == (("db", 6543),)


@pytest.mark.parametrize("port", ["x", -1, 65536, "5432,", 1.5, True])
def test_another_port_is_refused(port: object) -> None:
    with pytest.raises(ValueError, match="port in the secret JSON"):
        _ = read(port=port).addresses


def test_several_hosts_share_a_port_or_have_one_each() -> None:
    assert read(host="a, b", port=1).addresses == (("a", 1), ("b", 1))
    assert read(host="a,[::1]", port="1,2").addresses == (("a", 1), ("::1", 2))
    for host, port in (("a,b,c", "1,2"), ("a", "1,2"), ("a,,b", "1")):
        with pytest.raises(ValueError, match="as many ports as hosts"):
            _ = read(host=host, port=port).addresses


@pytest.mark.parametrize(
    ("ssl", "mode"),
    [
        (True, TlsMode.REQUIRED), ("true", TlsMode.REQUIRED), ("TRUE", TlsMode.REQUIRED),
        (False, TlsMode.FORBIDDEN), ("false", TlsMode.FORBIDDEN),
        (None, TlsMode.PREFERRED), ("", TlsMode.PREFERRED), ("maybe", TlsMode.PREFERRED), (1, TlsMode.PREFERRED),
    ],
)  # fmt: skip
def test_ssl_is_a_boolean_or_its_text_and_anything_else_leaves_the_choice(ssl: object, mode: TlsMode) -> None:
    assert read(ssl=ssl).tls is mode


def test_a_login_does_not_show_its_password() -> None:
    assert "marked" not in repr(read())


@pytest.mark.parametrize("text", ["", "a\0b", None, 5])
def test_a_username_is_text(text: object) -> None:
    with pytest.raises(ValueError, match="username in the secret JSON must be text"):
        read(username=text)


class Opened(Connection):
    """One login, to the host that it was made for."""

    def __init__(self, host: str) -> None:
        self.host = host

    @property
    def password_was_checked(self) -> bool:
        return True

    def set_password(self, username: str, password: str, confirm: base.Confirm) -> None: ...

    def create_user_like(self, username: str, like: str, password: str, confirm: base.Confirm) -> None: ...

    def test(self) -> None: ...

    def close(self) -> None: ...


def connected(host: str, **failures: base.DatabaseError) -> str:
    def open_one(_: Login, host: str, port: int) -> Opened:
        assert port == 5432
        if host in failures:
            raise failures[host]
        return Opened(host)

    return connect_to_first(open_one, read(host=host)).host


@pytest.mark.parametrize("kind", [base.ConnectionRefused, base.HostNotFound, base.ReadOnlyReplica, base.NotReady])
def test_the_first_host_that_can_be_reached_and_takes_changes_is_used(kind: type[base.DatabaseError]) -> None:
    assert connected("a,b") == "a"
    assert connected("a,b", a=kind("not this one")) == "b"


def test_if_no_host_will_do_the_first_ones_reason_counts() -> None:
    with pytest.raises(base.ReadOnlyReplica):
        connected("a,b", a=base.ReadOnlyReplica("a"), b=base.ConnectionRefused("b"))


def test_a_refused_password_is_not_tried_at_the_next_host() -> None:
    with pytest.raises(base.AuthenticationFailed):
        connected("a,b", a=base.AuthenticationFailed("a"))


def test_an_rds_proxy_is_known_by_its_name() -> None:
    with pytest.raises(base.BehindProxy, match="is an RDS Proxy"):
        connected("app.proxy-abc123def456.eu-central-1.rds.amazonaws.com")


def test_an_answer_holds_for_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    asked = []
    refuse_old_answer = base.ask(lambda: asked.append(1))
    assert asked == [1]
    now = 110.0
    refuse_old_answer()
    now = 110.1
    with pytest.raises(base.NotReady, match="held up"):
        refuse_old_answer()
