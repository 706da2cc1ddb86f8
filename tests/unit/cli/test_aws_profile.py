from __future__ import annotations

import configparser
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyturn.cli.aws_profile import (
    check_profile_is_free,
    check_profile_name,
    profile_sections,
    remove_profile,
    write_profile,
)
from keyturn.errors.base import KeyturnError
from keyturn.sensitive import Sensitive


@dataclass
class Key:
    access_key_id: str = "AKIAEXAMPLE"
    secret_access_key: Sensitive[str] = Sensitive("s3cret")  # noqa: RUF009 - immutable


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AWS_CONFIG_FILE", raising=False)
    monkeypatch.delenv("AWS_SHARED_CREDENTIALS_FILE", raising=False)
    return tmp_path / ".aws"


def write(name: str = "keyturn", endpoint_url: str = "http://127.0.0.1:4773") -> None:
    write_profile(name, "us-east-1", endpoint_url, Key())


def read(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser()
    parser.read(path)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_a_first_profile_makes_private_files(home: Path) -> None:
    write()

    assert read(home / "config") == {
        "profile keyturn": {"region": "us-east-1", "endpoint_url": "http://127.0.0.1:4773"}
    }
    assert read(home / "credentials") == {
        "keyturn": {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "s3cret"}
    }
    assert (home / "credentials").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700


BEFORE = """# mine
[default]
region = eu-west-1

[profile keyturn]   ; old
region = eu-west-2
endpoint_url = http://127.0.0.1:1
s3 =
  max_concurrent_requests = 20

[profile keyturn-other]
region = eu-west-3
# the end"""


def test_a_profile_is_replaced_and_everything_else_stays(home: Path) -> None:
    home.mkdir()
    (home / "config").write_text(BEFORE)

    write()

    text = (home / "config").read_text()
    assert text.startswith("# mine\n[default]\nregion = eu-west-1\n\n[profile keyturn]\n")
    assert text.endswith("[profile keyturn-other]\nregion = eu-west-3\n# the end")
    assert read(home / "config")["profile keyturn"] == {
        "region": "us-east-1",
        "endpoint_url": "http://127.0.0.1:4773",
    }


def test_writing_twice_is_writing_once(home: Path) -> None:
    home.mkdir()
    (home / "config").write_text(BEFORE)
    write()
    once = (home / "config").read_text()

    write()

    assert (home / "config").read_text() == once


def test_a_profile_is_removed_and_everything_else_stays(home: Path) -> None:
    home.mkdir()
    (home / "config").write_text(BEFORE)

    remove_profile("keyturn")

    assert set(read(home / "config")) == {"default", "profile keyturn-other"}
    assert "# mine" in (home / "config").read_text()


def test_a_profile_that_is_not_there_can_be_removed(home: Path) -> None:
    remove_profile("keyturn")

    assert not home.exists()


def test_the_default_profile_has_a_name_of_its_own(home: Path) -> None:
    write("default")

    assert set(read(home / "config")) == {"default"}


def test_the_user_s_own_files_are_used(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "my-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "my-credentials"))

    write()

    assert set(read(tmp_path / "my-config")) == {"profile keyturn"}
    assert set(read(tmp_path / "my-credentials")) == {"keyturn"}
    assert not home.exists()


def test_a_link_to_the_files_stays_a_link(home: Path, tmp_path: Path) -> None:
    home.mkdir()
    (tmp_path / "dotfiles-config").write_text("[default]\nregion = eu-west-1\n")
    (home / "config").symlink_to(tmp_path / "dotfiles-config")

    write()

    assert (home / "config").is_symlink()
    assert set(read(tmp_path / "dotfiles-config")) == {"default", "profile keyturn"}


def test_files_that_cannot_be_written_are_said_with_a_hint(home: Path) -> None:
    home.write_text("in the way")

    with pytest.raises(KeyturnError) as refused:
        write()

    assert "The AWS profile keyturn cannot be written" in refused.value.message
    assert "--no-profile" in refused.value.hints[0]
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("file", ["config", "credentials"])
@pytest.mark.parametrize("header", ["[mine]", "[profile mine]", '[profile "mine"]', "[profile  mine ] ; old"])
def test_a_name_that_has_a_section_in_either_file_is_not_free(home: Path, file: str, header: str) -> None:
    home.mkdir()
    (home / file).write_text(f"[default]\nregion = eu-west-1\n{header}\nregion = eu-west-2\n")

    with pytest.raises(KeyturnError) as refused:
        check_profile_is_free("mine", "Choose another.")

    assert refused.value.message == f"The AWS profile mine exists already, in {home / file}."
    assert refused.value.hints == ("Choose another.",)


def test_other_names_are_free(home: Path) -> None:
    check_profile_is_free("mine")
    home.mkdir()
    (home / "config").write_text("# [mine]\n[profile mine-too]\n[profile not-mine]\nnote = [mine]\n")
    (home / "credentials").write_text("[mine2]\n")

    check_profile_is_free("mine")


def test_a_file_that_is_no_text_is_said_before_anything_is_made(home: Path) -> None:
    home.mkdir()
    (home / "credentials").write_bytes(b"\xff\xfe")

    with pytest.raises(KeyturnError, match="cannot be read"):
        check_profile_is_free("mine")


def test_a_section_with_a_quoted_name_is_replaced(home: Path) -> None:
    home.mkdir()
    (home / "config").write_text('[profile "keyturn"]\nregion = eu-west-1\n')

    write()

    assert set(read(home / "config")) == {"profile keyturn"}


@pytest.mark.parametrize("name", ["keyturn", "a.b_c@d+e-F9"])
def test_names_that_can_be(name: str) -> None:
    check_profile_name(name)


@pytest.mark.parametrize("name", ["", "two words", "a]", "a\n", "$(id)", "ключ"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(KeyturnError) as refused:
        check_profile_name(name)

    assert "cannot be the name of an AWS profile" in refused.value.message
    assert refused.value.hints


def test_what_is_shown_of_a_profile_is_what_is_written(home: Path) -> None:
    write()

    config, credentials = profile_sections("keyturn", "us-east-1", "http://127.0.0.1:4773", Key())

    assert (home / "config").read_text() == config
    assert (home / "credentials").read_text() == credentials.reveal()
