"""The Redis rotation function against real Redis and Valkey servers: what it does, and what it says when it cannot."""

from __future__ import annotations

import functools
import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from typing import Any

import pytest

from keyturn.errors.base import KeyturnError
from keyturn.rotators import alternating_users, single_user, single_user_by_superuser
from keyturn.rotators.engines import base
from keyturn.rotators.engines.redis import Engine, RedisConnection
from keyturn.rotators.engines.redis_acl import node
from keyturn.rotators.engines.redis_acl.users import User, digest
from keyturn.rotators.handler import Rotator, Strategy
from keyturn.testing.private_server import free_port
from keyturn.testing.redis import Keeping, Product, RedisServer
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

from .conftest import wait_until

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
TOKEN = "11111111-2222-3333-4444-555555555555"
SUPERUSER_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:superuser-AbCdEf"
BY_SUPERUSER = single_user_by_superuser.Strategy()
RICH_RULES = (
    "~app:*", "%R~shared:*", "%W~log", "&news.*", "+@read", "-@dangerous", "+config|get", "skip-sanitize-payload",
    "(+set +get ~own:* &c2)", "(-@all +publish &c3)",
)  # fmt: skip


class Killed(BaseException):
    """The function's process ends here."""


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with start(request.param) as started:
        yield started


@pytest.fixture(scope="module")
def tls_server() -> Iterator[RedisServer]:
    with RedisServer.start(tls=True) as started:
        yield started


@pytest.fixture
def username(server: RedisServer) -> str:
    name = f"user_{secrets.token_hex(4)}"
    server.create_user(name, "first password")
    return name


def start(product: Product, keeping: Keeping = "aclfile", **settings: str) -> RedisServer:
    try:
        return RedisServer.start(product=product, keeping=keeping, settings=settings)
    except KeyturnError as error:
        if product == "valkey" and "No Valkey server programs" in error.message:
            pytest.skip(error.hints[0])
        raise


def service_for(server: RedisServer, username: str, **more: object) -> FakeSecretsManager:
    value = {**server.secret_value(username, "first password"), "masterarn": SUPERUSER_ARN, "ssl": False, **more}
    service = FakeSecretsManager(value)
    service.others[SUPERUSER_ARN] = {**server.superuser_value(), "ssl": False}
    return service


def connect(value: Mapping[str, object], **more: object) -> RedisConnection:
    engine = Engine()
    return engine.connect(engine.login({"ssl": False, **value, **more}))


def rotate(service: FakeSecretsManager, token: str = TOKEN, strategy: Strategy = BY_SUPERUSER) -> None:
    if token not in service.versions:
        service.begin_rotation(token)
    rotator = Rotator(Engine(), strategy, client=lambda: service)
    for step in STEPS:
        rotator({"Step": step, "SecretId": ARN, "ClientRequestToken": token}, None)


def user(server: RedisServer, username: str) -> User:
    return User.parse(server.run("ACL", "GETUSER", username))


# What it does.


@pytest.mark.parametrize("strategy", [single_user.Strategy(), BY_SUPERUSER, alternating_users.Strategy()])
def test_killed_anywhere_what_is_current_logs_in_at_every_moment_and_after_a_restart(
    server: RedisServer, strategy: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_run = node.Node.run
    for fatal in count():
        moments = count()

        def interrupt(_: str, moments: count[int] = moments, fatal: int = fatal) -> None:
            if next(moments) == fatal:
                raise Killed

        def run(self: node.Node, *command: str, interrupt: Any = interrupt) -> Any:
            interrupt("before a command")
            reply = real_run(self, *command)
            interrupt("after a command")
            return reply

        monkeypatch.setattr(node.Node, "run", run)
        name = f"killed_{secrets.token_hex(4)}"
        server.create_user(name, "first password")
        server.let_change_passwords(name)
        server.run("ACL", "SAVE")
        service = service_for(server, name)
        service.interrupt = interrupt
        service.begin_rotation(TOKEN)
        try:
            rotate(service, strategy=strategy)
        except Killed:
            survived = False
            assert_current_logs_in(server, service)
            server.restart()
            assert_current_logs_in(server, service)
            rotate(service, strategy=strategy)
        else:
            survived = True
        server.restart()
        assert_current_logs_in(server, service)
        if survived:
            break
    assert fatal > 20


def assert_current_logs_in(server: RedisServer, service: FakeSecretsManager) -> None:
    value = service.value("AWSCURRENT")
    assert server.accepts(value["username"], value["password"])


def test_the_current_and_the_previous_password_log_in_and_no_other(server: RedisServer, username: str) -> None:
    service = service_for(server, username)
    for token in ("token-1", "token-2", "token-3"):
        server.run("ACL", "SETUSER", username, ">added by hand")
        rotate(service, token)
        labelled = [service.value(label)["password"] for label in ("AWSCURRENT", "AWSPREVIOUS")]
        assert set(user(server, username).passwords) == set(map(digest, labelled))


def test_a_superuser_changes_its_own_password(server: RedisServer) -> None:
    server.run("ACL", "SETUSER", "second_admin", "on", ">first password", "~*", "&*", "+@all")
    service = service_for(server, "second_admin")
    for token in ("token-1", "token-2"):
        rotate(service, token, single_user.Strategy())
    assert not server.accepts("second_admin", "first password")
    assert server.accepts("second_admin", service.value("AWSPREVIOUS")["password"])


def test_the_previous_password_helps_when_the_current_one_was_never_set(server: RedisServer, username: str) -> None:
    service = service_for(server, username)
    rotate(service)
    # As after a restore of the server's files from a backup.
    server.run("ACL", "SETUSER", username, "resetpass", ">first password")
    rotate(service, "token-2")
    assert server.accepts(username, service.value("AWSCURRENT")["password"])
    assert server.accepts(username, "first password")


def test_when_no_stored_password_is_true_the_superuser_does_nothing(server: RedisServer, username: str) -> None:
    server.run("ACL", "SETUSER", username, "resetpass", ">set by hand")
    with pytest.raises(base.AuthenticationFailed, match="refuses the current and the previous password of user"):
        rotate(service_for(server, username))
    assert user(server, username).passwords == (digest("set by hand"),)


@pytest.mark.parametrize("name", ["we'ird\";*", "Ümläut:x", "back\\slash`tick", "at@sign", "%s{}", "x" * 512])
def test_a_user_of_any_name_rotates(server: RedisServer, name: str) -> None:
    server.create_user(name, "first password")
    service = service_for(server, name)
    rotate(service)
    assert server.accepts(name, service.value("AWSCURRENT")["password"])


def test_who_listens_to_the_servers_monitor_slow_log_or_acl_log_sees_no_password(
    server: RedisServer, username: str
) -> None:
    server.run("CONFIG", "SET", "slowlog-log-slower-than", "0")
    service = service_for(server, username)
    with socket.create_connection(("127.0.0.1", server.port), 10) as monitor:
        monitor.sendall(f"AUTH default {server.superuser_password}\r\nMONITOR\r\n".encode())
        rotate(service)
        server.run("ECHO", "end of the rotation")
        seen = b""
        while b"end of the rotation" not in seen:
            seen += monitor.recv(65536)
    logs = f"{seen!r} {server.run('SLOWLOG', 'GET', '1000')} {server.run('ACL', 'LOG')} {server.log}"
    assert "hello" in logs.lower()
    for password in service.passwords():
        assert password not in logs
        assert digest(password) not in logs


# The second user.


def test_the_second_user_may_do_exactly_what_the_first_may(server: RedisServer) -> None:
    server.run("ACL", "SETUSER", "rich", "on", ">first password", *RICH_RULES)
    service = service_for(server, "rich")
    for token, name in (("token-1", "rich_clone"), ("token-2", "rich")):
        rotate(service, token, alternating_users.Strategy())
        assert service.value("AWSCURRENT")["username"] == name
        assert user(server, "rich").may_what(user(server, "rich_clone"))
        assert len(user(server, name).passwords) == 1
        for label in ("AWSCURRENT", "AWSPREVIOUS"):
            assert server.accepts(service.value(label)["username"], service.value(label)["password"])
    rules = [line.decode().split(" ", 2)[2] for line in server.run("ACL", "LIST") if line.startswith(b"user rich")]
    without_password = {" ".join(word for word in rule.split() if word[0] != "#") for rule in rules}
    assert len(without_password) == 1


def test_what_the_current_user_has_been_given_the_other_one_gets_at_its_turn(server: RedisServer) -> None:
    server.run("ACL", "SETUSER", "growing", "on", ">first password", "~app:*", "+@read")
    service = service_for(server, "growing")
    for token in ("token-1", "token-2"):
        rotate(service, token, alternating_users.Strategy())
    server.run("ACL", "SETUSER", "growing", "&news", "%R~more", "(+publish &c3)")
    rotate(service, "token-3", alternating_users.Strategy())
    assert user(server, "growing").may_what(user(server, "growing_clone"))


@pytest.mark.parametrize("more", [("~other",), ("&other",), ("+@admin",), ("(+get ~x)",), ("skip-sanitize-payload",)])
def test_a_user_of_that_name_who_may_do_more_is_not_touched(server: RedisServer, more: tuple[str, ...]) -> None:
    if server.product == "valkey" and more == ("skip-sanitize-payload",):
        pytest.skip("Valkey takes the flag and forgets it.")
    name = f"modest_{secrets.token_hex(4)}"
    server.run("ACL", "SETUSER", name, "on", ">first password", "~app:*", "+@read")
    server.run("ACL", "SETUSER", f"{name}_clone", "on", ">of somebody", "~app:*", "+@read", *more)
    before = user(server, f"{name}_clone")
    with pytest.raises(base.NotAClone, match=rf"user {name}_clone may do what {name} may not \("):
        rotate(service_for(server, name), strategy=alternating_users.Strategy())
    assert user(server, f"{name}_clone") == before


# Durability.


@pytest.mark.parametrize("product", ["redis", "valkey"])
@pytest.mark.parametrize("keeping", ["aclfile", "configuration"])
def test_passwords_outlive_a_restart_the_default_users_too(product: Product, keeping: Keeping) -> None:
    with start(product, keeping) as server:
        server.create_user("app", "first password")
        service = service_for(server, "app")
        first = server.superuser_password
        of_superuser = service_for(server, "default", password=first)
        rotate(service)
        for token in ("token-1", "token-2"):
            rotate(of_superuser, token, single_user.Strategy())
        server.restart()
        for rotated in (service, of_superuser):
            assert_current_logs_in(server, rotated)
        assert not server.accepts("default", first)
        assert service.value("AWSCURRENT")["password"] not in server.kept


@pytest.mark.parametrize("product", ["redis", "valkey"])
def test_a_server_that_keeps_nothing_is_refused_before_anything_is_changed_unless_told_otherwise(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start(product, "nothing") as server:
        server.create_user("app", "first password")
        service = service_for(server, "app")
        with pytest.raises(base.NotDurable, match=r"without a config file.*Hint: .*aclfile.*UNSAVED_PASSWORDS=true"):
            rotate(service)
        assert user(server, "app").passwords == (digest("first password"),)
        monkeypatch.setenv("UNSAVED_PASSWORDS", "true")
        rotate(service)
        assert_current_logs_in(server, service)


@pytest.mark.parametrize("keeping", ["aclfile", "configuration"])
def test_users_that_cannot_be_written_down_just_now_keep_their_passwords(keeping: Keeping) -> None:
    with start("redis", keeping) as server:
        server.create_user("app", "first password")
        for at_once in (True, False):

            def break_disk(server: RedisServer = server) -> None:
                # Where a folder was, nobody can write a new file.
                server.directory.rename(server.directory.with_suffix(".away"))

            if at_once:
                break_disk()
            connection = connect(server.superuser_value())
            try:
                with connection, pytest.raises(base.NotDurable):
                    connection.set_password("app", "second password", (lambda: None) if at_once else break_disk)
            finally:
                server.directory.with_suffix(".away").rename(server.directory)
            assert user(server, "app").passwords == (digest("first password"),)


# Several hosts.


@pytest.fixture
def pair() -> Iterator[tuple[RedisServer, RedisServer]]:
    with RedisServer.start() as primary, RedisServer.start() as replica:
        replica.run("CONFIG", "SET", "masterauth", primary.superuser_password)
        replica.run("REPLICAOF", "127.0.0.1", str(primary.port))
        for one in (primary, replica):
            one.create_user("app", "first password")
            one.run("ACL", "SETUSER", "admin", "on", ">admin password", "~*", "&*", "+@all")
        yield primary, replica


def service_for_both(pair: tuple[RedisServer, RedisServer]) -> FakeSecretsManager:
    where = {"host": "127.0.0.1,127.0.0.1", "port": ",".join(str(one.port) for one in pair)}
    service = service_for(pair[0], "app", **where)
    service.others[SUPERUSER_ARN] = {**pair[0].secret_value("admin", "admin password"), **where, "ssl": False}
    return service


@pytest.mark.parametrize("strategy", [BY_SUPERUSER, alternating_users.Strategy()])
def test_every_host_that_the_secret_names_gets_the_password(
    pair: tuple[RedisServer, RedisServer], strategy: Strategy
) -> None:
    service = service_for_both(pair)
    for token in ("token-1", "token-2", "token-3"):
        rotate(service, token, strategy)
        for one in pair:
            assert_current_logs_in(one, service)


def test_a_host_that_cannot_be_reached_ends_the_rotation_before_anything_is_changed(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    service = service_for_both(pair)
    pair[1].stop()
    with pytest.raises(base.ConnectionRefused):
        rotate(service)
    assert user(pair[0], "app").passwords == (digest("first password"),)


def test_a_change_that_reached_one_host_only_is_completed_and_both_passwords_log_in_meanwhile(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    service = service_for_both(pair)
    admin = connect(service.others[SUPERUSER_ARN], port=pair[0].port, host="127.0.0.1")  # type: ignore[arg-type]  # a mapping, here
    rotator = Rotator(Engine(), BY_SUPERUSER, client=lambda: service)
    service.begin_rotation(TOKEN)
    rotator({"Step": "createSecret", "SecretId": ARN, "ClientRequestToken": TOKEN}, None)
    pending = service.value("AWSPENDING")["password"]
    with admin:
        admin._login = Engine().login({**service.value("AWSCURRENT"), "username": "x"})
        admin.set_password("app", pending, lambda: None)
    pair[0].run("ACL", "SETUSER", "app", ">first password")
    rotate(service)
    for one in pair:
        assert set(user(one, "app").passwords) == {digest("first password"), digest(pending)}


def test_a_replica_alone_is_named_as_such_to_everybody(pair: tuple[RedisServer, RedisServer]) -> None:
    for value in (pair[1].secret_value("app", "first password"), pair[1].superuser_value()):
        with pytest.raises(base.ReadOnlyReplica, match=r"is a replica: the user of the primary has to change"):
            connect(value)


def cluster_is_whole(one: RedisServer) -> bool:
    return b"cluster_state:ok" in one.run("CLUSTER", "INFO")


def test_the_nodes_of_a_cluster_each_get_the_password() -> None:
    with ExitStack() as closing:
        nodes = []
        for slots in ((0, 8191), (8192, 16383)):
            bus_port = free_port()
            settings = {"cluster-enabled": "yes", "cluster-port": str(bus_port)}
            nodes.append(closing.enter_context(RedisServer.start(settings=settings)))
            nodes[-1].run("CLUSTER", "ADDSLOTSRANGE", *map(str, slots))
            nodes[-1].create_user("app", "first password")
            nodes[-1].run("ACL", "SETUSER", "admin", "on", ">admin password", "~*", "&*", "+@all")
            nodes[0].run("CLUSTER", "MEET", "127.0.0.1", str(nodes[-1].port), str(bus_port))
        for one in nodes:
            wait_until(functools.partial(cluster_is_whole, one), "the cluster")
        service = service_for_both((nodes[0], nodes[1]))
        rotate(service)
        for one in nodes:
            assert_current_logs_in(one, service)


# TLS.


def test_forced_tls_fails_where_the_server_has_none(
    server: RedisServer, username: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "CONNECT_TIMEOUT_SECONDS", 0.5)
    with pytest.raises(base.TlsFailed, match=r"SSL/TLS.*the host:? 127\.0\.0\.1"):
        connect(server.secret_value(username, "first password"), ssl=True)


def test_without_ssl_in_the_secret_plaintext_is_used_only_on_a_port_that_speaks_it_and_logged(
    server: RedisServer, username: str, caplog: pytest.LogCaptureFixture
) -> None:
    connect(server.secret_value(username, "first password"), ssl=None).close()
    assert "the password travels without encryption" in caplog.text


def test_forced_tls_refuses_a_certificate_nobody_vouches_for(tls_server: RedisServer) -> None:
    with pytest.raises(base.TlsFailed, match=r"self.signed certificate"):
        connect(tls_server.secret_value("secure", "x"), host="localhost", ssl="true")


def test_forced_tls_refuses_a_certificate_for_another_name(
    tls_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_server.certificate_path))
    with pytest.raises(base.TlsFailed, match="Hostname verification failed"):
        connect(tls_server.secret_value("secure", "x"), ssl=True)


@pytest.mark.parametrize("ssl", [True, None])
def test_over_tls_a_user_rotates_verified_or_wherever_there_is_one(
    tls_server: RedisServer, monkeypatch: pytest.MonkeyPatch, ssl: bool | None, caplog: pytest.LogCaptureFixture
) -> None:
    if ssl:
        monkeypatch.setenv("SSL_CERT_FILE", str(tls_server.certificate_path))
    name = f"secure_{ssl}"
    tls_server.create_user(name, "first password")
    service = service_for(tls_server, name, host="localhost", ssl=ssl)
    service.others[SUPERUSER_ARN] = {**tls_server.superuser_value(), "host": "localhost", "ssl": ssl}
    rotate(service)
    assert_current_logs_in(tls_server, service)
    assert "without encryption" not in caplog.text


def test_forbidden_tls_does_not_reach_a_server_that_speaks_nothing_else(tls_server: RedisServer) -> None:
    with pytest.raises(base.ConnectionLost) as caught:
        connect(tls_server.secret_value("secure", "marked"))
    assert "marked" not in str(caught.value)


def test_a_server_that_wants_a_certificate_from_its_clients_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisServer.start(tls=True, settings={"tls-auth-clients": "yes", "tls-ca-cert-file": "server.crt"}) as picky:
        monkeypatch.setenv("SSL_CERT_FILE", str(picky.certificate_path))
        with pytest.raises(base.TlsFailed, match=r"CERTIFICATE_REQUIRED|may want a certificate"):
            connect(picky.superuser_value(), host="localhost", ssl=True)


# What it says when it cannot.


def test_a_port_where_nothing_listens_is_a_refused_connection() -> None:
    value = {"engine": "redis", "host": "127.0.0.1", "port": free_port(), "username": "u", "password": "p"}
    with pytest.raises(base.ConnectionRefused, match="Connection refused"):
        connect(value)


@pytest.mark.parametrize("ssl", [None, False, True])
def test_a_server_that_never_answers_is_reported(ssl: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "CONNECT_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(node, "COMMAND_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        value = {"engine": "redis", "host": "127.0.0.1", "port": port, "username": "u", "password": "p"}
        with pytest.raises((base.ConnectionTimedOut, base.TlsFailed), match="no answer"):
            connect(value, ssl=ssl)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\0" * 80])
def test_something_that_is_no_redis_server_is_reported(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.recv(1000)
                accepted.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        value = {"engine": "redis", "host": "127.0.0.1", "port": port, "username": "u", "password": "marked"}
        with pytest.raises(base.ConnectionLost) as caught:
            connect(value)
        thread.join(10)
    assert "marked" not in str(caught.value)


def test_a_user_who_needs_no_password_proves_nothing_and_is_not_given_one(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.run("ACL", "SETUSER", "trusting", "on", "nopass", "~*", "+@all")
    with connect(server.secret_value("trusting", "whatever")) as connection:
        assert not connection.password_was_checked
    with pytest.raises(base.PasswordNotAsked, match="lets user trusting in without looking at the password"):
        rotate(service_for(server, "trusting"))
    assert "nopass" in user(server, "trusting").flags


def test_a_user_who_is_switched_off_or_gone_is_named(server: RedisServer, username: str) -> None:
    with connect(server.superuser_value()) as connection:
        server.run("ACL", "SETUSER", username, "off")
        with pytest.raises(base.NotAdmitted, match="is switched off"):
            connection.set_password(username, "second password", lambda: None)
        with pytest.raises(base.UserMissing, match="there is no user nobody_here"):
            connection.set_password("nobody_here", "second password", lambda: None)
        with pytest.raises(base.UserMissing, match="there is no user nobody_here"):
            connection.create_user_like("x", "nobody_here", "second password", lambda: None)


@pytest.mark.parametrize("missing", ["acl|getuser", "acl|setuser", "acl|save", "multi", "exec"])
def test_each_right_that_a_superuser_lacks_is_named_and_nothing_is_changed(
    server: RedisServer, username: str, missing: str
) -> None:
    server.run("ACL", "SETUSER", "limited", "reset", "on", ">admin password")
    server.let_change_passwords("limited")
    server.run("ACL", "SETUSER", "limited", f"-{missing}")
    with (
        connect(server.secret_value("limited", "admin password")) as connection,
        pytest.raises(base.MissingGrant, match=rf"no permissions to run the '{missing.replace('|', '.')}' command"),
    ):
        connection.set_password(username, "second password", lambda: None)
    assert user(server, username).passwords == (digest("first password"),)


def test_the_rights_that_the_documentation_lists_suffice(server: RedisServer, username: str) -> None:
    server.run("ACL", "SETUSER", "sufficient", "reset", "on", ">admin password")
    server.let_change_passwords("sufficient")
    service = service_for(server, username)
    service.others[SUPERUSER_ARN] = server.secret_value("sufficient", "admin password")
    for strategy, token in ((BY_SUPERUSER, "token-1"), (alternating_users.Strategy(), "token-2")):
        rotate(service, token, strategy)
        assert_current_logs_in(server, service)


def test_a_server_that_is_full_is_not_ready() -> None:
    with RedisServer.start() as full:
        full.create_user("app", "first password")
        with connect(full.secret_value("app", "first password")):
            with connect(full.superuser_value()) as superuser:
                superuser._nodes[0].run("CONFIG", "SET", "maxclients", "1")
            with pytest.raises(base.NotReady, match="max number of clients reached"):
                connect(full.secret_value("app", "first password"))


def test_a_connection_that_the_server_ends_is_lost_and_not_made_again(server: RedisServer, username: str) -> None:
    with connect(server.secret_value(username, "first password")) as connection:
        server.run("CLIENT", "KILL", "USER", username)
        for _ in range(2):
            with pytest.raises(base.ConnectionLost):
                connection.test()


@pytest.mark.parametrize(
    "host", ["x.abc.0001.euc1.cache.amazonaws.com", "clustercfg.x.abc.memorydb.eu-central-1.amazonaws.com"]
)
def test_servers_whose_users_aws_changes_are_refused_unasked(host: str) -> None:
    value = {"engine": "redis", "host": host, "username": "u", "password": "p"}
    with pytest.raises(base.AnotherProduct, match="ElastiCache or MemoryDB, whose users are changed by AWS's API"):
        connect(value)


def test_a_server_without_acl_commands_is_named_as_managed() -> None:
    with (
        RedisServer.start(keeping="configuration", settings={"rename-command": "ACL none"}) as managed,
        connect(managed.superuser_value()) as connection,
        pytest.raises(base.AnotherProduct, match="managed"),
    ):
        connection.set_password("default", "second password", lambda: None)


def test_a_sentinel_is_named() -> None:
    with RedisServer.start() as primary:
        reply = [b"server", b"redis", b"mode", b"sentinel", b"role", b"master"]
        login = Engine().login({**primary.superuser_value(), "ssl": False})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(node.Node, "run", lambda *_: reply)
            with pytest.raises(base.AnotherProduct, match="is a Sentinel"):
                Engine().connect(login)


# Two at once, and one that is halted.


def test_a_rotation_that_was_passed_takes_nothing_away_and_adds_nothing(server: RedisServer, username: str) -> None:
    service = service_for(server, username)
    rotate(service)

    def pass_by() -> None:
        rotate(service, "later")

    with connect(service.value("AWSCURRENT"), username="default", password=server.superuser_password) as connection:
        connection._login = Engine().login({**service.value("AWSCURRENT"), "username": "superuser"})
        with pytest.raises(base.NotReady, match="changed a moment ago: another rotation is at work"):
            connection.set_password(username, "of a rotation that was halted", pass_by)
    labelled = [service.value(label)["password"] for label in ("AWSCURRENT", "AWSPREVIOUS")]
    assert set(user(server, username).passwords) == set(map(digest, labelled))


def test_passed_in_a_users_very_first_rotation_it_adds_its_password_and_takes_nothing_away(
    server: RedisServer, username: str
) -> None:
    service = service_for(server, username)
    retained = Engine().login({**server.superuser_value(), "ssl": False})
    with Engine().connect(retained) as connection:
        connection._login = Engine().login(service.value("AWSCURRENT") | {"username": "superuser"})
        connection.set_password(username, "of a rotation that was halted", lambda: rotate(service, "later"))
    assert_current_logs_in(server, service)
    rotate(service, "the next one")
    assert not server.accepts(username, "of a rotation that was halted")


def test_what_is_not_confirmed_is_not_set(server: RedisServer, username: str) -> None:
    def refuse() -> None:
        raise ValueError("not any more")

    with connect(server.superuser_value()) as connection, pytest.raises(ValueError, match="not any more"):
        connection.set_password(username, "second password", refuse)
    with connect(server.superuser_value()) as connection, pytest.raises(ValueError, match="not any more"):
        connection.create_user_like(f"{username}_clone", username, "second password", refuse)
    assert user(server, username).passwords == (digest("first password"),)
    assert server.run("ACL", "GETUSER", f"{username}_clone") is None


def test_clients_that_read_the_secret_and_log_in_are_never_refused(server: RedisServer, username: str) -> None:
    service = service_for(server, username)
    end, refused, logins = threading.Event(), list[str](), count()

    def read_and_log_in() -> None:
        while not end.is_set():
            value = service.value("AWSCURRENT")
            # Held up between the two for so long that two rotations went by, it would be refused rightly.
            if not server.accepts(value["username"], value["password"]) and value in labelled():
                refused.append(value["username"])
            next(logins)

    def labelled() -> list[dict[str, Any]]:
        stages = [label for label in ("AWSCURRENT", "AWSPREVIOUS") if service.labelled(label) is not None]
        return [service.value(label) for label in stages]

    client = threading.Thread(target=read_and_log_in)
    client.start()
    try:
        for number in range(20):
            rotate(service, f"token-{number}")
    finally:
        end.set()
        client.join(30)
    assert not refused
    assert next(logins) > 20


# The server that tests use.


def test_without_server_programs_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(KeyturnError, match="No Redis server programs were found") as caught:
        RedisServer.start()
    assert "redis-server" in caught.value.hints[0]


def test_a_server_does_not_show_its_password(server: RedisServer) -> None:
    assert server.superuser_password not in repr(server)
