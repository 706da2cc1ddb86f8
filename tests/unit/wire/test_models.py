"""The models as Keyturn reads them, and the regular expressions in them."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.loaders import Loader

from keyturn.service_models import OWN_MODELS
from keyturn.wire.models import API_VERSIONS, service
from keyturn.wire.patterns import compiled


def _patterns() -> Iterator[str]:
    for name, version in API_VERSIONS.items():
        shapes = Loader(extra_search_paths=[str(OWN_MODELS)]).load_service_model(name, "service-2", version)["shapes"]
        yield from (shape["pattern"] for shape in shapes.values() if "pattern" in shape)


@pytest.mark.parametrize("pattern", sorted(set(_patterns())))
def test_every_pattern_of_every_model_compiles(pattern: str) -> None:
    compiled(pattern)


def test_a_unicode_property_means_letters_numbers_and_separators() -> None:
    tag = compiled(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*")
    assert tag.fullmatch("Größe 1\u3000漢字_.:/=+-@")
    assert not tag.fullmatch("a\tb")
    assert not tag.fullmatch("a;b")


def test_a_class_without_unicode_is_ascii_as_in_java() -> None:
    assert compiled(r"[\w-_]*").fullmatch("a-b_1")
    assert not compiled(r"[\w-_]*").fullmatch("é")


def test_a_line_feed_at_the_end_is_not_overlooked() -> None:
    assert not compiled("^[a-z]+$").fullmatch("a\n")


def test_an_operation_is_compiled_once() -> None:
    assert service("kms").operation("Decrypt") is service("kms").operation("Decrypt")


def test_an_errors_wire_code_and_status_come_from_the_model() -> None:
    assert service("iam").operation("GetRole").error_codes["NoSuchEntityException"] == ("NoSuchEntity", 404)
    assert service("secretsmanager").operation("GetSecretValue").error_codes["InternalServiceError"] == (
        "InternalServiceError",
        500,
    )


def test_corrections_lie_over_the_model() -> None:
    members = service("lambda").shape("CreateFunctionRequest").members
    assert (members["Timeout"].traits["max"], members["MemorySize"].traits["max"]) == (900, 10240)
    assert service("lambda").operation("DeleteFunction").http_status == 204
    assert service("sts").shape("tokenType").sensitive


def _generate(*arguments: str) -> int:
    script = Path(__file__).resolve().parents[3] / "scripts/generate_wire_types.py"
    return int(runpy.run_path(str(script))["main"](arguments))


def test_the_checked_in_wire_types_are_those_of_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert (_generate("--check"), capsys.readouterr().out) == (0, "")


def test_a_stale_wire_type_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _path: "something else")
    assert _generate("--check") == 1
    assert "stale: secretsmanager.py" in capsys.readouterr().out
