"""The examples of Keyturn's own service: each offered operation has some, and they are what its model allows."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from keyturn.operations import registry
from keyturn.service_models import OWN_MODELS
from keyturn.wire.models import API_VERSIONS

registry.discover()
_LOADER = Loader(extra_search_paths=[str(OWN_MODELS)])
MODEL = ServiceModel(_LOADER.load_service_model("keyturn", "service-2"), "keyturn")
EXAMPLES: dict[str, list[Any]] = _LOADER.load_data(f"keyturn/{API_VERSIONS['keyturn']}/examples-1")["examples"]
CASES = [(name, example) for name, examples in EXAMPLES.items() for example in examples]


def test_each_operation_that_is_offered_has_an_example() -> None:
    offered = {each.name for each in registry.all_operations() if each.service == "keyturn"}

    assert offered <= EXAMPLES.keys()


@pytest.mark.parametrize(("name", "example"), CASES, ids=[example["id"] for _, example in CASES])
def test_an_example_is_what_the_model_allows(name: str, example: dict[str, Any]) -> None:
    operation = MODEL.operation_model(name)

    for shape, document in ((operation.input_shape, example["input"]), (operation.output_shape, example["output"])):
        assert shape is not None
        report = ParamValidator().validate(document, shape)
        assert not report.has_errors(), report.generate_report()
        _check_enumerations(shape, document)


def _check_enumerations(shape: Any, value: Any) -> None:
    if shape.type_name == "structure":
        for name, member in value.items():
            _check_enumerations(shape.members[name], member)
    elif shape.type_name == "list":
        for member in value:
            _check_enumerations(shape.member, member)
    elif getattr(shape, "enum", []):
        assert value in shape.enum
