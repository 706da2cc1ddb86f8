"""Layers in real execution environments, published and attached through boto3."""

from __future__ import annotations

import io
import json
import os
import urllib.request
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from keyturn.runtime import RuntimeSettings
from keyturn.runtime.package import code_sha256
from keyturn.runtime.spec import SandboxChoice
from keyturn.testing.functions import FunctionBench

from .conftest import ServerProcess
from .test_lambda_functions import RUNTIME, TRUST, create

SITE = f"python/lib/{RUNTIME}/site-packages"
LOOK = """
import os, shutil, subprocess, sys
import boto3, first, second, shadowed

def handler(event, context):
    program = shutil.which("hello")
    return {
        "modules": [first.NAME, second.NAME, shadowed.NAME],
        "own": __import__("own").NAME,
        "program": subprocess.run([program], capture_output=True, text=True, check=True).stdout,
        "below": program.removesuffix("/bin/hello"),
        "libraries": os.environ["LD_LIBRARY_PATH"].split(":")[-1],
        "writable": os.access(program, os.W_OK),
    }

lambda_handler = handler
"""
HELLO = "#!/bin/sh\necho hello\n"


def layer(files: dict[str, str]) -> bytes:
    """An archive as zip makes it: programs can be run."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if name.startswith("bin/") else 0o100644) << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


BASE = layer(
    {
        "python/first.py": "NAME = 'first'\n",
        "python/shadowed.py": "NAME = 'of the base'\n",
        "python/own.py": "NAME = 'of the layer'\n",
        "bin/hello": HELLO,
    }
)
ABOVE = layer({f"{SITE}/second.py": "NAME = 'second'\n", "python/shadowed.py": "NAME = 'of the layer above'\n"})


@pytest.fixture(scope="module", params=["auto", "none"])
def bench(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[FunctionBench]:
    choice: SandboxChoice = request.param
    directory = tmp_path_factory.mktemp("layers")
    bench = FunctionBench(RuntimeSettings(directory / "runtime", "http://127.0.0.1:9", choice, hidden=(directory,)))
    yield bench
    bench.runtime.close()


def test_a_function_finds_modules_programs_and_libraries_of_its_layers(bench: FunctionBench) -> None:
    spec = bench.function(
        LOOK,
        files={"own.py": "NAME = 'of the function'\n"},
        layers=(bench.store(BASE), bench.store(ABOVE)),
        runtime=RUNTIME,
    )

    for _ in range(2):
        invocation = bench.invoke(spec)
        assert invocation.function_error is None, invocation.payload
        found = json.loads(invocation.payload)
        assert found["modules"] == ["first", "second", "of the layer above"]
        assert found["own"] == "of the function"
        assert found["program"] == "hello\n"
        assert found["libraries"] == f"{found['below']}/lib"
        assert not found["writable"] or os.geteuid() == 0
        if "bubblewrap" in bench.runtime.sandbox_description:
            assert found["below"] == "/opt"


def test_a_layer_may_have_thousands_of_files_at_its_top(bench: FunctionBench) -> None:
    many = layer({f"file{number}": "" for number in range(4_000)})
    source = (
        "import os, sys\n\ndef handler(event, context):\n"
        "    return len(os.listdir(os.environ['LD_LIBRARY_PATH'].split(':')[-1].removesuffix('/lib')))\n"
    )
    spec = bench.function(source, layers=(bench.store(many), bench.store(BASE)), runtime=RUNTIME)

    assert json.loads(bench.invoke(spec).payload) == 4_002


def test_without_layers_there_is_nothing_of_them(bench: FunctionBench) -> None:
    spec = bench.function("import sys\n\ndef handler(event, context):\n    return sys.path\n")

    path = json.loads(bench.invoke(spec).payload)

    assert not [entry for entry in path if "packages/layers-" in entry or entry.startswith("/opt/python")]


@pytest.fixture(scope="module")
def role(server: ServerProcess) -> str:
    made = server.client("iam").create_role(RoleName="layered", AssumeRolePolicyDocument=json.dumps(TRUST))
    arn: str = made["Role"]["Arn"]
    return arn


def publish(client: Any, name: str, content: bytes, **more: Any) -> Any:
    return client.publish_layer_version(LayerName=name, Content={"ZipFile": content}, **more)


def answer(client: Any, name: str, qualifier: str = "$LATEST") -> Any:
    reply = client.invoke(FunctionName=name, Qualifier=qualifier)
    payload = json.loads(reply["Payload"].read())
    assert "FunctionError" not in reply, payload
    return payload


def test_a_deleted_layer_goes_on_working_for_functions_and_versions_that_have_it(
    server: ServerProcess, role: str
) -> None:
    client = server.client("lambda")
    source = "from driver import NAME\n\ndef lambda_handler(event, context):\n    return NAME\n"
    old = publish(client, "driver", layer({"python/driver.py": "NAME = 'old'\n"}))
    new = publish(client, "driver", layer({"python/driver.py": "NAME = 'new'\n"}))
    create(client, "layered", role, source, Layers=[old["LayerVersionArn"]], Publish=True)
    with urllib.request.urlopen(old["Content"]["Location"]) as reply:
        assert code_sha256(reply.read()) == old["Content"]["CodeSha256"]

    client.delete_layer_version(LayerName="driver", VersionNumber=1)
    assert answer(client, "layered") == "old"
    client.update_function_configuration(FunctionName="layered", Layers=[new["LayerVersionArn"]])
    assert (answer(client, "layered"), answer(client, "layered", "1")) == ("new", "old")
    server.stop()
    server.start()
    client = server.client("lambda")
    assert (answer(client, "layered"), answer(client, "layered", "1")) == ("new", "old")


def test_another_account_may_have_a_layer_that_is_shared_with_it(server: ServerProcess) -> None:
    other = server.create_account("Borrowers")
    owner, borrower = server.client("lambda"), server.client("lambda", other.admin)
    arn = publish(owner, "lent", layer({"python/lent.py": "NAME = 'lent'\n"}))["LayerVersionArn"]
    made = server.client("iam", other.admin).create_role(RoleName="layered", AssumeRolePolicyDocument=json.dumps(TRUST))
    source = "from lent import NAME\n\ndef lambda_handler(event, context):\n    return NAME\n"

    with pytest.raises(ClientError, match="no resource-based policy allows the lambda:GetLayerVersion action"):
        create(borrower, "borrower", made["Role"]["Arn"], source, Layers=[arn])
    owner.add_layer_version_permission(
        LayerName="lent",
        VersionNumber=1,
        StatementId="borrowers",
        Action="lambda:GetLayerVersion",
        Principal=other.account_id,
    )
    create(borrower, "borrower", made["Role"]["Arn"], source, Layers=[arn])
    owner.delete_layer_version(LayerName="lent", VersionNumber=1)

    assert answer(borrower, "borrower") == "lent"


def test_what_is_published_is_in_the_trail_under_aws_names_and_without_the_archive(server: ServerProcess) -> None:
    client = server.client("lambda")
    arn = publish(client, "recorded", layer({"python/marked.py": ""}), Description="seen")["LayerVersionArn"]
    client.delete_layer_version(LayerName="recorded", VersionNumber=1)

    def recorded(name: str) -> Any:
        about = {"AttributeKey": "EventName", "AttributeValue": name}
        found = server.client("cloudtrail").lookup_events(LookupAttributes=[about])["Events"]
        return json.loads(found[0]["CloudTrailEvent"])

    published = recorded("PublishLayerVersion20181031")
    assert published["requestParameters"]["description"] == "seen"
    assert published["responseElements"]["layerVersionArn"] == arn
    assert "zipFile" not in json.dumps(published)
    assert recorded("DeleteLayerVersion20181031")["requestParameters"]["layerName"] == "recorded"


def test_what_is_too_deep_is_refused_and_keeps_no_server_from_starting(server: ServerProcess, role: str) -> None:
    client = server.client("lambda")
    deep = layer({"a/" * depth + "f": "" for depth in (400, 800, 1200, 1600)})
    with pytest.raises(ClientError, match="Could not unzip uploaded file"):
        publish(client, "deep", deep)
    create(client, "shallow", role, "def lambda_handler(event, context):\n    return 'still here'\n")
    with pytest.raises(ClientError, match="Could not unzip uploaded file"):
        client.update_function_code(FunctionName="shallow", ZipFile=deep)

    # As an earlier release unpacked it.
    packages = server.data_dir / "runtime" / "packages"
    descriptor = os.open(packages, os.O_RDONLY)
    for _ in range(1_600):
        os.mkdir("a", dir_fd=descriptor)
        below = os.open("a", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    server.stop()
    server.start()

    assert list(packages.parent.glob("*packages*")) == [packages]
    assert not (packages / "a").exists()
    assert answer(server.client("lambda"), "shallow") == "still here"
