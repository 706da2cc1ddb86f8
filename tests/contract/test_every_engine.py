"""What holds for every database engine with every strategy, against a real server.

An engine is a file in ``rotators/engines/`` with a class ``Engine``; its server is the class ``NAMEServer`` in
``keyturn/testing/NAME.py``, with ``start``, ``create_user``, ``secret_value``, ``superuser_value`` and ``accepts``. An
engine whose server nobody can install here is named below, and docs/rotation.md names it too; a stand-in may answer in
its place.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import json
import pkgutil
import string
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, Self, cast

import pytest

import keyturn.rotators
from keyturn.errors.base import KeyturnError
from keyturn.rotators import catalogue, engines
from keyturn.rotators.engines import base
from keyturn.rotators.handler import Rotator, Strategy
from keyturn.rotators.package import build, handler_name
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

SUPERUSER_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:superuser-AbCdEf"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
ALL_ENGINES = sorted(
    module.name
    for module in pkgutil.iter_modules(engines.__path__)
    if not module.ispkg and hasattr(importlib.import_module(f"keyturn.rotators.engines.{module.name}"), "Engine")
    and module.name != "base"
)  # fmt: skip
# What is no database names its own strategies, and is run against a service in tests/e2e/test_rotator_NAME.py.
ENGINES = [name for name in ALL_ENGINES if "new_key" not in getattr(catalogue.engines()[name], "strategies", ())]
WITHOUT_SERVER = {"db2", "mongodb", "mysql", "oracle", "redshift", "sqlserver"}
WITH_STAND_IN = {"mongodb"}
# The password before the last one is accepted beside it.
HOLDS_TWO_PASSWORDS = {"redis"}
ALL_STRATEGIES = sorted(
    module.name
    for module in pkgutil.iter_modules(keyturn.rotators.__path__)
    if not module.ispkg and hasattr(importlib.import_module(f"keyturn.rotators.{module.name}"), "Strategy")
    and module.name != "handler"
)  # fmt: skip

STRATEGIES = [name for name in ALL_STRATEGIES if not hasattr(catalogue.strategies()[name], "engines")]


class Server(Protocol):
    def create_user(self, username: str, password: str) -> None: ...

    def secret_value(self, username: str, password: str) -> dict[str, object]: ...

    def superuser_value(self) -> dict[str, object]: ...

    def accepts(self, username: str, password: str) -> bool: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture(scope="module", params=ENGINES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def engine(name: str) -> base.Engine:
    return cast("base.Engine", importlib.import_module(f"keyturn.rotators.engines.{name}").Engine())


@pytest.fixture(scope="module")
def server(name: str) -> Iterator[Server]:
    if name in WITHOUT_SERVER - WITH_STAND_IN:
        pytest.skip("has no server here")
    kind = getattr(importlib.import_module(f"keyturn.testing.{name}"), f"{name.title()}Server")
    try:
        started = kind.start()
    except KeyturnError as error:
        if "No " in error.message and "server programs were found" in error.message:
            pytest.skip(f"{error.hints[0]} make test does so.")
        raise
    with started:
        yield started


@pytest.fixture(params=STRATEGIES)
def strategy(request: pytest.FixtureRequest) -> Strategy:
    return cast("Strategy", importlib.import_module(f"keyturn.rotators.{request.param}").Strategy())


def let_change_own_password(server: Server, username: str) -> None:
    """Do what it takes beyond making the user, where it takes something."""
    getattr(server, "let_change_passwords", lambda _: None)(username)


def modules_of(distribution: str) -> list[str]:
    """Return what a distribution is imported as."""
    return sorted(
        name for name, owners in importlib.metadata.packages_distributions().items()
        if distribution in {owner.lower() for owner in owners}
    )  # fmt: skip


def changed(value: Mapping[str, object], **more: object) -> dict[str, object]:
    return {**value, **more}


def test_engines_and_strategies_are_found() -> None:
    assert {"postgresql", "mariadb", "mysql", "redis", "redshift", "sqlserver", "mongodb", "oracle", "db2"} <= set(
        ENGINES
    )
    assert {"single_user", "single_user_by_superuser", "alternating_users"} <= set(STRATEGIES)
    assert set(ALL_ENGINES) - set(ENGINES) == {"http_api"}
    assert set(ALL_STRATEGIES) - set(STRATEGIES) == {"new_key"}


def test_an_engine_and_a_strategy_that_do_not_go_together_make_no_package() -> None:
    for engine, strategy in (("http_api", STRATEGIES[0]), (ENGINES[0], "new_key")):
        with pytest.raises(ModuleNotFoundError, match="is not rotated by the strategy"):
            build(engine, strategy)


def test_after_each_rotation_the_new_value_logs_in_and_the_one_before_last_does_not(
    engine: base.Engine, strategy: Strategy, server: Server, request: pytest.FixtureRequest
) -> None:
    username = f"rotated_{request.node.callspec.params['strategy']}"
    server.create_user(username, "first")
    if username == "rotated_single_user":
        let_change_own_password(server, username)
    service = FakeSecretsManager({**server.secret_value(username, "first"), "masterarn": SUPERUSER_ARN})
    service.others[SUPERUSER_ARN] = server.superuser_value()
    rotator = Rotator(engine, strategy, client=lambda: service)
    values = [service.value("AWSCURRENT")]
    for token in ("token-1", "token-2", "token-3"):
        service.begin_rotation(token)
        for step in STEPS:
            for _ in range(2):
                rotator({"Step": step, "SecretId": ARN, "ClientRequestToken": token}, None)
        values.append(service.value("AWSCURRENT"))
        assert server.accepts(values[-1]["username"], values[-1]["password"])
        assert not any(server.accepts(value["username"], value["password"]) for value in values[:-2])
    assert len({value["password"] for value in values}) == 4


def test_a_user_made_like_another_logs_in_beside_it_and_alternates_with_it(engine: base.Engine, server: Server) -> None:
    server.create_user("first_of_two", "first")
    other = engine.alternate_username("first_of_two")
    assert engine.alternate_username(other) == "first_of_two"
    for password in ("second", "third"):
        with engine.connect(engine.login(server.superuser_value())) as connection:
            for _ in range(2):
                connection.create_user_like(other, "first_of_two", password, lambda: None)
        assert server.accepts(other, password)
        assert server.accepts("first_of_two", "first")
    assert not server.accepts(other, "second")


def test_a_user_without_rights_makes_no_others(engine: base.Engine, server: Server) -> None:
    server.create_user("plain", "first")
    with (
        engine.connect(engine.login(server.secret_value("plain", "first"))) as connection,
        pytest.raises(base.MissingGrant),
    ):
        connection.create_user_like("plain_clone", "plain", "second", lambda: None)
    assert not server.accepts("plain_clone", "second")


@pytest.mark.parametrize(
    "password",
    [
        "".join(sorted(string.ascii_letters + string.digits + string.punctuation + " ")),
        "'; ALTER ROLE postgres PASSWORD ''; --",
        "\\'\"`$$%s{}:name?",
        "\u00fcn\u00ef\u00e7\u00f6d\u00e9 \u2460",
        "x" * 512,
    ],
    ids=["printable", "injection", "quoting", "unicode", "long"],
)
def test_any_password_can_be_set_and_logs_in(engine: base.Engine, server: Server, password: str, name: str) -> None:
    username = f"any_{abs(hash(password))}"
    server.create_user(username, "first")
    let_change_own_password(server, username)
    value = server.secret_value(username, "first")
    with engine.connect(engine.login(value)) as connection:
        for _ in range(2):
            connection.set_password(username, password, lambda: None)
    with engine.connect(engine.login(changed(value, password=password))) as connection:
        assert connection.password_was_checked
        connection.test()
        if name in HOLDS_TWO_PASSWORDS:
            connection.set_password(username, "third", lambda: None)
    with pytest.raises(base.AuthenticationFailed):
        engine.connect(engine.login(value))


def test_a_wrong_password_and_an_unknown_user_are_authentication_failures(engine: base.Engine, server: Server) -> None:
    server.create_user("refused", "first")
    for username, password in (("refused", "marked"), ("nobody_here", "marked")):
        with pytest.raises(base.AuthenticationFailed) as caught:
            engine.connect(engine.login(server.secret_value(username, password)))
        assert "marked" not in f"{caught.value!r} {caught.value}"
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_another_database_product_is_refused(engine: base.Engine) -> None:
    value = {"engine": "visicalc", "host": "db", "username": "a", "password": "b"}
    with pytest.raises(KeyError, match="Database engine must be set to"):
        engine.login(value)


@pytest.mark.parametrize("name", ALL_ENGINES)
def test_the_documentation_says_which_engines_were_never_run_against_a_server(name: str) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "rotation.md").read_text()
    title = importlib.import_module(f"keyturn.rotators.engines.{name}").Engine.title
    [row] = [line for line in guide.splitlines() if line.startswith(f"| {title} |")]
    assert ("not run against a server" in row) == (name in WITHOUT_SERVER)


@pytest.mark.parametrize("name", ALL_ENGINES)
def test_importing_the_engine_does_not_import_its_driver(name: str) -> None:
    driver_distributions = importlib.import_module(f"keyturn.rotators.engines.{name}").Engine.driver_distributions
    program = f"import sys, json, keyturn.rotators.engines.{name}; print(json.dumps(sorted(sys.modules)))"
    source = str(Path(keyturn.rotators.__file__).parents[2])
    # -S: what a .pth file imports at every start is not the engine's doing.
    command = [sys.executable, "-S", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": source})
    assert done.returncode == 0, done.stderr
    drivers = {name for distribution in driver_distributions for name in modules_of(distribution)}
    assert not {module.split(".")[0] for module in json.loads(done.stdout)} & drivers


@pytest.mark.parametrize("name", ALL_ENGINES)
def test_the_package_works_with_nothing_but_lambdas_boto3_beside_it(name: str, tmp_path: Path) -> None:
    runtime, task = tmp_path / "runtime", tmp_path / "task"
    runtime.mkdir()
    for module in ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six"):
        file = Path(str(importlib.import_module(module).__file__))
        found = file.parent if file.name == "__init__.py" else file
        (runtime / found.name).symlink_to(found)
    # One has no driver.
    [driver, *_] = [*(modules_of(one)[0] for one in catalogue.engines()[name].driver_distributions[:1]), ""]
    for strategy in getattr(catalogue.engines()[name], "strategies", STRATEGIES):
        with zipfile.ZipFile(io.BytesIO(build(name, strategy))) as archive:
            archive.extractall(task)
        module_name, function = handler_name(name, strategy).split(".")
        # -I and -S: neither this environment's packages nor its variables are seen.
        program = (
            f"import sys; sys.path[:0] = [{str(task)!r}, {str(runtime)!r}]\n"
            f"import {module_name}\n"
            f"assert callable({module_name}.{function})\n"
            + (f"import {driver}\nassert {driver}.__file__.startswith({str(task)!r})\n" if driver else "")
            + "assert 'keyturn' not in sys.modules\n"
        )
        done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
