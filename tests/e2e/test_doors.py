"""Doors: calls that come out of a VPC, through one of its endpoints or a NAT gateway, against a real server."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .callers import Caller, allow, deny, document
from .conftest import Credentials, ServerProcess, run_keyturn, wait_until
from .test_serve_command import certificate

ENDPOINT, VPC, PRIVATE, GATEWAY = "vpce-0123456789abcdef0", "vpc-0123456789abcdef0", "10.0.1.5", "203.0.113.99"
EVERYTHING = document({**allow("*"), "Principal": "*"})


class DoorServer(ServerProcess):
    """A server that opens doors when it is told to."""

    def __init__(self, home: Path, *options: str) -> None:
        super().__init__(home, *options)
        self._control = home / "control"
        self.program = ("tests.e2e.door_server", str(self._control))

    def tell(self, what: str, told: Any, *descriptors: int) -> int:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._control))
            socket.send_fds(connection, [json.dumps({what: told}).encode()], list(descriptors))
            return int(connection.recv(64))

    def put_endpoint(self, policy: str = EVERYTHING, service: str = "secretsmanager", state: str = "available") -> None:
        body = {
            "VpcEndpointId": ENDPOINT,
            "VpcId": VPC,
            "VpcEndpointType": "Interface",
            "ServiceName": f"com.amazonaws.{self.region}.{service}",
            "State": state,
            "PolicyDocument": policy,
        }
        self.tell("endpoint", body)

    def delete_endpoint(self) -> None:
        self.tell("delete", {"VpcEndpointId": ENDPOINT, "VpcId": VPC})

    def open_door(self, endpoint_id: str = ENDPOINT, address: str = PRIVATE) -> tuple[int, int]:
        """Open a door; return its number and its port."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            entrance = {
                "vpc_endpoint_id": endpoint_id,
                "vpc_id": VPC,
                "source_address": address,
                "place": {"partition": "aws", "region": self.region, "account_id": self.account_id},
            }
            return self.tell("open", entrance, listener.fileno()), listener.getsockname()[1]

    @contextmanager
    def door(self, endpoint_id: str = ENDPOINT, address: str = PRIVATE) -> Iterator[_Outside]:
        """A door for a while, to call through."""
        number, port = self.open_door(endpoint_id, address)
        try:
            yield _Outside(self, port)
        finally:
            self.tell("close", number)

    def open_files(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())


class _Outside:
    """Calls a server by another port than its own."""

    def __init__(self, server: ServerProcess, port: int) -> None:
        self.server, self.port = server, port

    def client(self, service: str, credentials: Credentials | None = None) -> Any:
        own = self.server.endpoint_url
        self.server.endpoint_url = f"http://127.0.0.1:{self.port}"
        try:
            return self.server.client(service, credentials)
        finally:
            self.server.endpoint_url = own


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorServer]:
    process = DoorServer(tmp_path_factory.mktemp("keyturn"))
    process.start()
    yield process
    assert process.stop() == 0, process.log()


def kept_alive(port: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.connect()
    # A new connection would prove nothing.
    connection.auto_open = False
    return connection


def is_alive(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().read() == b"ok\n"
    except (ConnectionError, http.client.NotConnected):
        return False


def newest_event(server: ServerProcess, name: str) -> Any:
    attribute = {"AttributeKey": "EventName", "AttributeValue": name}
    found = server.client("cloudtrail").lookup_events(LookupAttributes=[attribute], MaxResults=1)
    return json.loads(found["Events"][0]["CloudTrailEvent"])


def test_an_endpoints_policy_must_allow_what_comes_through_it_as_it_is_now(server: DoorServer) -> None:
    arn = server.client("secretsmanager").create_secret(Name="through", SecretString="x")["ARN"]
    server.put_endpoint()
    with server.door() as door:
        inside = door.client("secretsmanager")
        assert inside.get_secret_value(SecretId="through")["SecretString"] == "x"

        server.put_endpoint(document({**allow("secretsmanager:DescribeSecret"), "Principal": "*"}))

        assert inside.describe_secret(SecretId="through")["ARN"] == arn
        with pytest.raises(ClientError) as refused:
            inside.get_secret_value(SecretId="through")
        assert refused.value.response["Error"] == {
            "Code": "AccessDeniedException",
            "Message": f"User: arn:aws:iam::{server.account_id}:user/administrator is not authorized to perform:"
            " secretsmanager:GetSecretValue on resource: through because no VPC endpoint policy allows the"
            " secretsmanager:GetSecretValue action",
        }

        server.put_endpoint(
            document({**allow("*"), "Principal": "*"}, {**deny("secretsmanager:Get*"), "Principal": "*"})
        )
        with pytest.raises(ClientError, match=r"with an explicit deny in a VPC endpoint policy$"):
            inside.get_secret_value(SecretId="through")
        assert server.client("secretsmanager").get_secret_value(SecretId="through")["SecretString"] == "x"

        server.delete_endpoint()
        with pytest.raises(ClientError, match="because no VPC endpoint policy allows"):
            inside.describe_secret(SecretId="through")


def test_the_trail_has_the_private_address_and_the_endpoint_and_explains_its_refusal(server: DoorServer) -> None:
    caller = Caller(server, "role")
    caller.may(allow("secretsmanager:*"))
    server.client("secretsmanager").create_secret(Name="explained", SecretString="x")
    server.put_endpoint(document({**allow("secretsmanager:Put*"), "Principal": "*"}))

    with server.door() as door, pytest.raises(ClientError, match="no VPC endpoint policy"):
        door.client("secretsmanager", caller.credentials).get_secret_value(SecretId="explained")

    event = newest_event(server, "GetSecretValue")
    assert (event["sourceIPAddress"], event["vpcEndpointId"], event["vpcEndpointAccountId"]) == (
        PRIVATE,
        ENDPOINT,
        server.account_id,
    )
    text = run_keyturn(
        "audit", "explain", event["eventID"], home=server.home, environ=server.environ(), check=False
    ).stdout
    assert f"{PRIVATE} through {ENDPOINT}" in text
    assert "Not allowed: no VPC endpoint policy allows it." in text
    assert f"It takes this statement in the policy of the VPC endpoint {ENDPOINT}:" in text
    assert f'"arn:aws:iam::{server.account_id}:role/{caller.name}"' in text
    assert f"aws ec2 modify-vpc-endpoint --vpc-endpoint-id {ENDPOINT} --policy-document" in text


def test_a_deny_of_an_endpoint_is_explained_with_how_to_change_it(server: DoorServer) -> None:
    server.put_endpoint(document({**deny("secretsmanager:*", Sid="Closed"), "Principal": "*"}))

    with server.door() as door, pytest.raises(ClientError):
        door.client("secretsmanager").describe_secret(SecretId="no-such-secret")

    event_id = newest_event(server, "DescribeSecret")["eventID"]
    text = run_keyturn("audit", "explain", event_id, home=server.home, environ=server.environ(), check=False).stdout
    assert f"Denied explicitly by statement 1 of the VPC endpoint policy {ENDPOINT}." in text
    assert '"Sid": "Closed"' in text
    changed = f"aws ec2 describe-vpc-endpoints, then aws ec2 modify-vpc-endpoint --vpc-endpoint-id {ENDPOINT}"
    assert f"Change it with: {changed} --policy-document DOCUMENT" in text


def test_a_call_that_nobody_signed_is_recorded_with_its_endpoint(server: DoorServer) -> None:
    server.put_endpoint()
    with server.door() as door, pytest.raises(ClientError):
        door.client("secretsmanager", Credentials("AKIAUNKNOWN00000000X", "x")).list_secrets()

    event = newest_event(server, "ListSecrets")
    assert (event["sourceIPAddress"], event["vpcEndpointId"]) == (PRIVATE, ENDPOINT)


def test_behind_a_nat_gateway_a_call_is_one_from_the_gateways_address(server: DoorServer) -> None:
    server.put_endpoint(document({**deny("*"), "Principal": "*"}))
    with server.door("", GATEWAY) as door:
        door.client("secretsmanager").list_secrets()
        door.client("sts").get_caller_identity()

    event = newest_event(server, "ListSecrets")
    assert event["sourceIPAddress"] == GATEWAY
    assert "vpcEndpointId" not in event


def test_a_secret_that_may_be_read_through_one_endpoint_only(server: DoorServer) -> None:
    secrets = server.client("secretsmanager")
    secrets.create_secret(Name="guarded", SecretString="x")
    # From the Secrets Manager User Guide, narrowed so that the policy can be taken away again.
    guard = {
        **deny("secretsmanager:GetSecretValue"),
        "Principal": "*",
        "Condition": {"StringNotEquals": {"aws:sourceVpce": ENDPOINT}},
    }
    validated = secrets.validate_resource_policy(SecretId="guarded", ResourcePolicy=document(guard))
    assert validated["PolicyValidationPassed"]
    secrets.put_resource_policy(SecretId="guarded", ResourcePolicy=document(guard), BlockPublicPolicy=True)
    caller = Caller(server, "role")
    caller.may(allow("secretsmanager:*"))
    server.put_endpoint()

    with server.door() as door:
        for credentials in (None, caller.credentials):
            got = door.client("secretsmanager", credentials).get_secret_value(SecretId="guarded")
            assert got["SecretString"] == "x"
    with server.door("", GATEWAY) as gateway:
        for client in (secrets, gateway.client("secretsmanager"), caller.client("secretsmanager")):
            with pytest.raises(ClientError, match="with an explicit deny in a resource-based policy"):
                client.get_secret_value(SecretId="guarded")


@pytest.mark.parametrize(
    ("key", "value"), [("aws:SourceVpce", ENDPOINT), ("aws:SourceVpc", VPC), ("aws:VpcSourceIp", "10.0.0.0/16")]
)
def test_an_allow_for_everybody_in_a_vpc(server: DoorServer, key: str, value: str) -> None:
    secrets = server.client("secretsmanager")
    name = f"shared-{key.rpartition(':')[2]}"
    secrets.create_secret(Name=name, SecretString="x")
    operator = "IpAddress" if key.endswith("Ip") else "StringEquals"
    statement = {
        **allow("secretsmanager:GetSecretValue"),
        "Principal": "*",
        "Condition": {operator: {key: value}},
    }
    # S3's list of conditions that make a policy not public has the first two.
    is_public = not secrets.validate_resource_policy(SecretId=name, ResourcePolicy=document(statement))[
        "PolicyValidationPassed"
    ]
    assert is_public is (operator == "IpAddress")
    secrets.put_resource_policy(SecretId=name, ResourcePolicy=document(statement), BlockPublicPolicy=not is_public)
    caller = Caller(server, "user")
    server.put_endpoint()

    with server.door() as door:
        assert door.client("secretsmanager", caller.credentials).get_secret_value(SecretId=name)["SecretString"] == "x"
    with pytest.raises(ClientError, match="no identity-based policy"):
        caller.client("secretsmanager").get_secret_value(SecretId=name)


def test_what_secrets_manager_does_for_the_caller_comes_from_secrets_manager(server: DoorServer) -> None:
    own = {**allow("kms:*"), "Principal": {"AWS": server.account_id}}
    through_endpoints = {**deny("kms:Decrypt"), "Principal": "*", "Condition": {"Null": {"aws:SourceVpce": "false"}}}
    key_id = server.client("kms").create_key(Policy=document(own, through_endpoints))["KeyMetadata"]["KeyId"]
    server.put_endpoint(document({**allow("secretsmanager:*"), "Principal": "*"}))

    with server.door() as door:
        inside = door.client("secretsmanager")
        inside.create_secret(Name="encrypted", SecretString="x", KmsKeyId=key_id)
        assert inside.get_secret_value(SecretId="encrypted")["SecretString"] == "x"

    assert newest_event(server, "Decrypt")["sourceIPAddress"] == "secretsmanager.amazonaws.com"
    assert "vpcEndpointId" not in newest_event(server, "Decrypt")


def test_an_endpoint_leads_to_its_service_and_region_only(server: DoorServer) -> None:
    server.put_endpoint(service="kms")
    with server.door() as door:
        assert door.client("kms").list_keys()["Keys"] is not None
        with pytest.raises(ClientError) as refused:
            door.client("secretsmanager").list_secrets()
        assert refused.value.response["Error"]["Code"] == "UnknownOperationException"
        assert newest_event(server, "ListSecrets")["vpcEndpointId"] == ENDPOINT


def test_a_door_speaks_plain_http_whatever_the_servers_own_address_speaks(tmp_path: Path) -> None:
    certificate_path, key_path = certificate(tmp_path)
    server = DoorServer(tmp_path, "--tls-certificate", str(certificate_path), "--tls-private-key", str(key_path))
    server.start()
    try:
        _, port = server.open_door("", GATEWAY)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
        connection.close()
    finally:
        assert server.stop() == 0, server.log()


def test_a_door_that_is_closed_cuts_what_came_in(server: DoorServer) -> None:
    number, port = server.open_door()
    other, other_port = server.open_door()
    with closing(kept_alive(port)) as one, closing(kept_alive(other_port)) as another:
        assert is_alive(one)
        assert is_alive(another)

        server.tell("close", number)

        wait_until(lambda: not is_alive(one), "the connection is cut", server)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 20)
        assert is_alive(another)
    server.tell("close", other)


def test_thousands_of_doors_leave_nothing_behind(server: DoorServer) -> None:
    before = server.open_files()

    for number in range(3000):
        opened, port = server.open_door()
        if number % 10 == 0:
            # One that is in use, and one that nobody has been accepted from.
            socket.create_connection(("127.0.0.1", port), 20).close()
        server.tell("close", opened)

    wait_until(lambda: server.open_files() <= before, "all sockets of closed doors are closed", server)


def test_a_server_with_open_doors_and_connections_ends_in_time(tmp_path: Path) -> None:
    server = DoorServer(tmp_path)
    server.start()
    ports = [server.open_door()[1] for _ in range(20)]
    connections = [socket.create_connection(("127.0.0.1", port), 20) for port in ports]

    assert server.stop() == 0, server.log()
    assert "Traceback" not in server.log()
    for connection in connections:
        connection.close()


def test_what_comes_in_by_a_door_cannot_be_listened_to_and_counts_as_secure(server: DoorServer) -> None:
    secrets = server.client("secretsmanager")
    secrets.create_secret(Name="private", SecretString="x")
    guard = {
        **deny("secretsmanager:GetSecretValue"),
        "Principal": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    secrets.put_resource_policy(SecretId="private", ResourcePolicy=document(guard))
    server.put_endpoint()

    for way in (server.door(), server.door("", GATEWAY)):
        with way as door:
            got = door.client("secretsmanager").get_secret_value(SecretId="private")
            assert got["SecretString"] == "x"
    # The server's own address speaks no TLS here.
    with pytest.raises(ClientError, match="with an explicit deny in a resource-based policy"):
        secrets.get_secret_value(SecretId="private")
