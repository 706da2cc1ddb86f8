from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path

import pytest

from keyturn.config import CONFIG_FILE, SandboxChoice, Settings, aws_files, default_data_dir, load_settings
from keyturn.errors.base import KeyturnError

# One value for each setting, other than its default, as text and as it is read.
VALUES: dict[str, tuple[str, object]] = {
    "data_dir": ("/srv/keyturn", Path("/srv/keyturn")),
    "host": ("localhost", "localhost"),
    "port": ("4999", 4999),
    "account_id": ("123456789012", "123456789012"),
    "region": ("eu-central-1", "eu-central-1"),
    "partition": ("aws-cn", "aws-cn"),
    "database_url": ("postgresql://db/keyturn", "postgresql://db/keyturn"),
    "root_key_file": ("/etc/keyturn/root.key", Path("/etc/keyturn/root.key")),
    "tls_certificate": ("/etc/keyturn/tls.pem", Path("/etc/keyturn/tls.pem")),
    "tls_private_key": ("/etc/keyturn/tls.key", Path("/etc/keyturn/tls.key")),
    "plaintext_on_network": ("true", True),
    "sandbox": ("bubblewrap", SandboxChoice.BUBBLEWRAP),
    "require_sandbox": ("1", True),
    "isolate_functions": ("true", True),
    "console": ("false", False),
    "network_map": ("10.20.0.0/16, 10.0.2.15=127.0.0.1", "10.20.0.0/16, 10.0.2.15=127.0.0.1"),
    "max_environments": ("7", 7),
    "clock_skew_seconds": ("60", 60),
    "rotations_at_once": ("3", 3),
    "rotations_per_function": ("2", 2),
    "rotations_per_database": ("1", 1),
    "preflight": ("false", False),
    "preflight_hours_ahead": ("24", 24),
    "heartbeat": ("0", False),
    "quota_secrets": ("10", 10),
    "quota_versions": ("11", 11),
    "quota_labels": ("12", 12),
    "quota_value_bytes": ("13", 13),
    "quota_policy_characters": ("14", 14),
    "quota_tags": ("15", 15),
    "audit_retention_days": ("400", 400),
    "audit_sinks": ("json-lines:/a", "json-lines:/a"),
    "audit_sink_limit_records": ("16", 16),
    "audit_sink_limit_seconds": ("17", 17),
    "notify": ("command:/bin/page", "command:/bin/page"),
    "metrics_token_file": ("/etc/keyturn/metrics.token", Path("/etc/keyturn/metrics.token")),
    "rate_limits": ("aws", "aws"),
    "log_level": ("debug", "debug"),
}
PAIRS = {"tls_certificate": "tls_private_key", "tls_private_key": "tls_certificate"}


def with_pair(name: str) -> dict[str, str]:
    """A setting's text, and that of the one it cannot do without."""
    return {each: VALUES[each][0] for each in (name, PAIRS.get(name, name))}


def test_every_setting_is_tried_here() -> None:
    assert set(VALUES) == {field.name for field in fields(Settings)}
    defaults = load_settings({}, {"HOME": "/home/ada"})
    assert all(getattr(defaults, name) != value for name, (_, value) in VALUES.items())


@pytest.mark.parametrize("name", VALUES)
def test_every_setting_has_its_variable(name: str) -> None:
    environ = {f"KEYTURN_{each.upper()}": text for each, text in with_pair(name).items()}

    assert getattr(load_settings({}, environ), name) == VALUES[name][1]


@pytest.mark.parametrize("name", [name for name in VALUES if name != "data_dir"])
def test_every_setting_but_the_place_of_the_file_can_stand_in_the_file(name: str, tmp_path: Path) -> None:
    lines = [f'{each} = "{text}"' for each, text in with_pair(name).items()]
    (tmp_path / CONFIG_FILE).write_text("\n".join(lines))

    assert getattr(load_settings({"data_dir": tmp_path}, {}), name) == VALUES[name][1]


def test_numbers_and_truths_may_be_toml_s_own(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text("port = 4999\nrequire_sandbox = true\n")

    settings = load_settings({"data_dir": tmp_path}, {})

    assert (settings.port, settings.require_sandbox) == (4999, True)


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text('port = 1\nhost = "localhost"\nregion = "eu-west-1"')
    environ = {"KEYTURN_PORT": "2", "KEYTURN_HOST": "127.0.0.2"}

    settings = load_settings({"data_dir": tmp_path, "port": 3, "log_level": None}, environ)

    assert (settings.port, settings.host, settings.region, settings.log_level) == (3, "127.0.0.2", "eu-west-1", "info")


def test_an_empty_variable_is_none(tmp_path: Path) -> None:
    assert load_settings({"data_dir": tmp_path}, {"KEYTURN_PORT": ""}).port == Settings(tmp_path).port


def test_the_file_is_that_of_the_data_directory_a_variable_names(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text("port = 4999")

    assert load_settings({}, {"KEYTURN_DATA_DIR": str(tmp_path)}).port == 4999


@pytest.mark.parametrize(("rotations", "environments"), [(1, 10), (8, 10), (9, 11), (24, 26)])
def test_a_function_has_a_process_for_each_of_its_rotations(rotations: int, environments: int, tmp_path: Path) -> None:
    variables = {"KEYTURN_ROTATIONS_PER_FUNCTION": str(rotations)}
    settings = load_settings({"data_dir": tmp_path}, variables)
    assert settings.max_environments_per_function == environments


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HOME": "/home/ada"}, "/home/ada/.local/share/keyturn"),
        ({"HOME": "/home/ada", "XDG_DATA_HOME": "/data"}, "/data/keyturn"),
        ({}, "/.local/share/keyturn"),
    ],
)
def test_where_state_is_kept_if_nobody_says(environ: dict[str, str], expected: str) -> None:
    assert default_data_dir(environ) == Path(expected)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"account_id": "12345678901"}, "is not twelve digits"),
        ({"account_id": "١٢٣٤٥٦٧٨٩٠١٢"}, "is not twelve digits"),
        ({"region": "Mars"}, "does not look like one"),
        ({"region": "us-east-1\n"}, "does not look like one"),
        ({"port": -1}, "is not between 0 and 65535"),
        ({"port": 65536}, "is not between 0 and 65535"),
        ({"port": "many"}, "The flag --port is 'many', not a whole number."),
        ({"max_environments": 0}, "at least 1 is needed"),
        ({"clock_skew_seconds": -1}, "cannot be negative"),
        ({"preflight_hours_ahead": 0}, "not from 1 to 168"),
        ({"preflight_hours_ahead": 169}, "not from 1 to 168"),
        ({"quota_labels": 0}, "at least 1"),
        ({"audit_retention_days": -1}, "cannot be negative"),
        ({"audit_sink_limit_records": -1}, "cannot be negative"),
        ({"rate_limits": "Get=1"}, "no operation with a rate is called 'Get'"),
        ({"sandbox": "chroot"}, "The flag --sandbox is 'chroot', not one of auto, bubblewrap, none."),
        ({"tls_certificate": "a.pem"}, "set together or not at all"),
        ({"tls_private_key": "a.pem"}, "set together or not at all"),
        ({"host": "0.0.0.0"}, "without TLS would send secret values over the network in plaintext"),
        ({"host": "192.0.2.7"}, "without TLS"),
        ({"host": "::"}, "without TLS"),
        ({"host": "keyturn.example.com"}, "without TLS"),
    ],
)
def test_what_cannot_be_is_said_with_a_hint(flags: dict[str, object], message: str) -> None:
    with pytest.raises(KeyturnError) as refused:
        load_settings(flags, {"HOME": "/nowhere"})

    assert message in refused.value.message
    assert refused.value.hints


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_tls(host: str) -> None:
    assert load_settings({"host": host}, {"HOME": "/nowhere"}).host == host


@pytest.mark.parametrize(
    "flags", [{"plaintext_on_network": True}, {"tls_certificate": "a.pem", "tls_private_key": "a.key"}]
)
def test_the_network_needs_tls_or_insistence(flags: dict[str, object]) -> None:
    assert load_settings({"host": "0.0.0.0", **flags}, {"HOME": "/nowhere"}).host == "0.0.0.0"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("port = ", "is not TOML"),
        ("prot = 1\nhots = 2", "has settings that do not exist: hots, prot."),
        ('port = "many"', "keyturn.toml is 'many', not a whole number."),
        ("require_sandbox = 7", "The setting require_sandbox in "),
        ("region = 7", "is 7, not text."),
        ("root_key_file = []", "is [], not a path."),
        (b"\xff", "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_is_said_with_a_hint(tmp_path: Path, content: str | bytes, message: str) -> None:
    (tmp_path / CONFIG_FILE).write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(KeyturnError) as refused:
        load_settings({"data_dir": tmp_path}, {})

    assert message in refused.value.message
    assert refused.value.hints


def test_a_file_that_is_a_folder_is_said_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).mkdir()

    with pytest.raises(KeyturnError) as refused:
        load_settings({"data_dir": tmp_path}, {})

    assert "Is a directory" in refused.value.message
    assert refused.value.hints


def test_a_data_directory_that_can_never_be_has_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    # Whoever makes the directory says what is wrong with it.
    assert load_settings({"data_dir": tmp_path / "file" / "data"}, {}).data_dir == tmp_path / "file" / "data"


@pytest.mark.parametrize(
    ("variable", "text", "told"),
    [
        ("KEYTURN_QUOTA_SECRETS", "abc", "not a whole number"),
        ("KEYTURN_PORT", "tcp://10.0.0.1:4773", "not a whole number"),
        ("KEYTURN_REQUIRE_SANDBOX", "perhaps", "not true or false"),
        ("KEYTURN_SANDBOX", "jail", "not one of auto, bubblewrap, none"),
    ],
)
def test_a_variable_of_the_wrong_type_is_told_with_its_value(variable: str, text: str, told: str) -> None:
    with pytest.raises(KeyturnError) as refused:
        load_settings({"data_dir": "/nowhere"}, {variable: text})

    assert refused.value.message == f"The variable {variable} is {text!r}, {told}."
    assert refused.value.hints


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("KEYTURN_QUOTA_SECRET", "KEYTURN_QUOTA_SECRETS"),
        ("KEYTURN_DATADIR", "KEYTURN_DATA_DIR"),
        ("KEYTURN_REQUIRED_SANDBOX", "KEYTURN_REQUIRE_SANDBOX"),
        ("KEYTURN_RATE_LIMIT", "KEYTURN_RATE_LIMITS"),
    ],
)
def test_a_mistyped_variable_is_refused(variable: str, meant: str) -> None:
    with pytest.raises(KeyturnError) as refused:
        load_settings({"data_dir": "/nowhere"}, {variable: "1"})

    assert refused.value.message == f"The variable {variable} is no setting."
    assert f"Did you mean {meant}?" in refused.value.hints[0]


def test_variables_that_others_set_are_ignored() -> None:
    kubernetes = {
        "KEYTURN_SERVICE_HOST": "10.0.0.1",
        "KEYTURN_SERVICE_PORT": "4773",
        "KEYTURN_SERVICE_PORT_HTTP": "4773",
        "KEYTURN_PORT_4773_TCP": "tcp://10.0.0.1:4773",
        "KEYTURN_PORT_4773_TCP_ADDR": "10.0.0.1",
        "KEYTURN_PORT_4773_TCP_PORT": "4773",
        "KEYTURN_PORT_4773_TCP_PROTO": "tcp",
    }
    others = {"KEYTURN_VERSION": "1", "KEYTURN_DATADIR": "", "MYKEYTURN_DATADIR": "x"}

    assert load_settings({"data_dir": "/nowhere"}, {**kubernetes, **others}) == Settings(Path("/nowhere"))


def test_a_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")

    assert load_settings({"root_key_file": "~/root.key"}, {}).root_key_file == Path("/home/ada/root.key")
    assert load_settings({"data_dir": "~/data"}, {}).data_dir == Path("/home/ada/data")


def test_a_path_is_one_from_wherever_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / CONFIG_FILE).write_text('root_key_file = "elsewhere/root.key"\nport = 7\n')

    for given in ("data", "~/data"):
        settings = load_settings({"data_dir": given}, {})
        assert settings.data_dir == tmp_path / "data"
        assert settings.root_key_file == tmp_path / "elsewhere" / "root.key"
        assert settings.port == 7


def test_what_follows_from_settings() -> None:
    settings = Settings(Path("/data"))

    assert settings.state_url == "sqlite:////data/keyturn.db"
    assert settings.root_key_path == Path("/data/root.key")
    assert settings.endpoint_url == "http://127.0.0.1:4773"
    assert settings.sandbox_demand is SandboxChoice.AUTO
    changed = replace(
        settings,
        host="::",
        tls_certificate=Path("a"),
        require_sandbox=True,
        sandbox=SandboxChoice.NONE,
        root_key_file=Path("/keys/a"),
        database_url="postgresql://db/keyturn",
    )
    assert changed.endpoint_url == "https://[::1]:4773"
    assert changed.sandbox_demand is SandboxChoice.BUBBLEWRAP
    assert changed.root_key_path == Path("/keys/a")
    assert changed.state_url == "postgresql://db/keyturn"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("2001:db8::7", "[2001:db8::7]"), ("localhost", "localhost")],
)
def test_the_endpoint_is_an_address_that_can_be_reached(host: str, expected: str) -> None:
    assert Settings(Path("/data"), host=host).endpoint_url == f"http://{expected}:4773"


def test_the_aws_files_are_where_the_user_keeps_them() -> None:
    assert aws_files({"HOME": "/home/ada"}) == (Path("/home/ada/.aws/config"), Path("/home/ada/.aws/credentials"))
    moved = {"AWS_CONFIG_FILE": "/etc/aws", "AWS_SHARED_CREDENTIALS_FILE": "/etc/aws-keys", "HOME": "/home/ada"}
    assert aws_files(moved) == (Path("/etc/aws"), Path("/etc/aws-keys"))


def test_the_process_s_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("KEYTURN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("KEYTURN_REGION", "eu-north-1")

    assert load_settings({"data_dir": "/nowhere"}).region == "eu-north-1"


def test_the_map_of_networks_is_read_and_what_it_cannot_be_is_refused() -> None:
    settings = load_settings({}, {"KEYTURN_NETWORK_MAP": "10.20.0.0/16, 10.0.2.15=127.0.0.1"})
    assert [str(each.vpc) for each in settings.network_maps] == ["10.20.0.0/16", "10.0.2.15/32"]

    with pytest.raises(KeyturnError, match="The setting network_map cannot be used: ") as refused:
        load_settings({}, {"KEYTURN_NETWORK_MAP": "10.0.0.0/24=10.1.0.0/16"})
    assert "docs/networks.md" in refused.value.hints[0]
