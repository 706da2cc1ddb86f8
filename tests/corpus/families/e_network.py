"""The network: the way to Secrets Manager, and the way to the database."""

from __future__ import annotations

import json

from tests.corpus import lines
from tests.corpus.account import FAILED_AT, OTHER_SECRET, REGION, SECRET, Account
from tests.corpus.cases import HEALTHY, INCONCLUSIVE, Family
from tests.corpus.network import EVERYWHERE, LOCAL, Network, allow, entry, route, table

network = Family(
    "network", "AWS documentation: Troubleshoot rotation, No activity after ...; Network access for the function"
)
healthy = Family("network, healthy", "AWS documentation: Network access for the rotation function; VPC User Guide")

VPCE = f"https://vpce-0abc-xyz.secretsmanager.{REGION}.vpce.amazonaws.com"


def _hangs(account: Account, step: str = "createSecret", retries: int = 1) -> Network:
    account.failing(step, retries=retries)
    account.timed_out()
    return account.in_vpc()


def _cannot_log_in(account: Account, seconds: float = 15.2) -> Network:
    account.failing("setSecret")
    account.template(
        f"setSecret: Unable to log into database with previous, current, or pending secret of secret arn {SECRET}",
        ms=seconds * 1000,
        at=FAILED_AT,
    )
    found = account.in_vpc()
    account.with_instance()
    return found


@network.fault("network-no-route-to-secretsmanager", source="public thread: aws-cdk#17265")
def private_without_nat(account: Account) -> None:
    _hangs(account).without_nat()


@network.fault("network-no-route-to-secretsmanager")
def only_the_main_route_table_and_no_line_of_log(account: Account) -> None:
    account.failing()
    found = account.in_vpc()
    found.tables = [table("rtb-main", is_main=True)]


@network.fault("network-no-route-to-secretsmanager")
def one_of_two_subnets_has_no_way(account: Account) -> None:
    found = _hangs(account, retries=3)
    found.table("rtb-private")["Associations"] = [
        {"Main": False, "SubnetId": "subnet-private-a", "RouteTableId": "rtb-private"}
    ]


@network.fault("network-no-route-to-secretsmanager")
def an_endpoint_for_another_service(account: Account) -> None:
    _hangs(account).with_endpoint(ServiceName=f"com.amazonaws.{REGION}.ssm")


@network.fault("network-public-subnet-no-nat", source="public thread: aws-cdk#17265, the function in a public subnet")
def in_public_subnets(account: Account) -> None:
    _hangs(account)
    account.configuration["VpcConfig"]["SubnetIds"] = ["subnet-public"]


@network.fault("network-public-subnet-no-nat", source="public thread: aws-cdk#8935")
def one_of_two_is_public(account: Account) -> None:
    _hangs(account, retries=2)
    account.configuration["VpcConfig"]["SubnetIds"] = ["subnet-private-a", "subnet-public"]


@network.fault("network-nat-broken")
def the_gateway_was_deleted(account: Account) -> None:
    found = _hangs(account)
    found.gateways[0]["State"] = "deleted"
    found.table("rtb-private")["Routes"] = [LOCAL, route(NatGatewayId="nat-1") | {"State": "blackhole"}]


@network.fault("network-nat-broken")
def the_gateway_was_deleted_long_ago_and_is_listed_no_more(account: Account) -> None:
    found = _hangs(account)
    found.gateways.clear()
    found.table("rtb-private")["Routes"] = [LOCAL, route(NatGatewayId="nat-1") | {"State": "blackhole"}]


@network.fault("network-nat-broken")
def the_gateway_failed(account: Account) -> None:
    found = _hangs(account)
    found.gateways[0] |= {
        "State": "failed",
        "FailureCode": "Gateway.NotAttached",
        "FailureMessage": "Network vpc-1 has no Internet gateway attached",
    }


@network.fault("network-nat-broken")
def the_gateway_is_in_a_private_subnet(account: Account) -> None:
    _hangs(account).gateways[0]["SubnetId"] = "subnet-database"


@network.fault("endpoint-private-dns-off")
def the_endpoints_name_is_not_used(account: Account) -> None:
    _hangs(account).with_endpoint(PrivateDnsEnabled=False)


@network.fault("vpc-dns-off")
def the_vpc_resolves_nothing(account: Account) -> None:
    found = _hangs(account)
    found.with_endpoint()
    found.dns["enableDnsSupport"] = False


@network.fault("vpc-dns-off")
def the_vpc_has_no_host_names(account: Account) -> None:
    account.failing()
    said = f'Could not connect to the endpoint URL: "https://secretsmanager.{REGION}.amazonaws.com/"'
    account.raised("EndpointConnectionError", said, function="lambda_handler", ms=28000)
    found = account.in_vpc()
    found.with_endpoint()
    found.dns["enableDnsHostnames"] = False


@network.fault("secretsmanager-unanswered")
def nothing_is_in_the_way_and_nobody_answers(account: Account) -> None:
    account.failing()
    said = f'Connect timeout on endpoint URL: "https://secretsmanager.{REGION}.amazonaws.com/"'
    account.raised("ConnectTimeoutError", said, function="lambda_handler", ms=12000)
    account.in_vpc()


@network.fault("endpoint-not-available")
def the_endpoint_waits_to_be_accepted(account: Account) -> None:
    _hangs(account).with_endpoint(State="pendingAcceptance")


@network.fault("endpoint-not-available")
def the_endpoint_was_rejected(account: Account) -> None:
    _hangs(account).with_endpoint(State="rejected")


@network.fault(
    "endpoint-sg-blocks-https", source="AWS documentation: Troubleshoot rotation, No activity after createSecret"
)
def the_endpoint_lets_others_in_only(account: Account) -> None:
    found = _hangs(account, "setSecret")
    found.with_endpoint()
    found.group("sg-endpoint")["IpPermissions"] = [allow("tcp", 443, "192.168.0.0/16")]


@network.fault("endpoint-sg-blocks-https")
def the_endpoint_lets_another_group_in(account: Account) -> None:
    found = _hangs(account)
    found.with_endpoint()
    found.group("sg-endpoint")["IpPermissions"] = [
        allow("tcp", 443, groups=("sg-database",)),
        allow("tcp", 80, EVERYWHERE),
    ]


def _policy(resource: object, effect: str = "Allow", action: str = "secretsmanager:*") -> str:
    found = {"Effect": effect, "Principal": "*", "Action": action, "Resource": resource}
    everything = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    return json.dumps({"Statement": [found] if effect == "Allow" else [everything, found]})


@network.fault("endpoint-policy-denies")
def the_endpoints_policy_names_another_secret(account: Account) -> None:
    account.failing()
    account.in_vpc().with_endpoint(PolicyDocument=_policy(OTHER_SECRET))
    why = "because no VPC endpoint policy allows the secretsmanager:DescribeSecret action"
    account.refused("secretsmanager:DescribeSecret", SECRET, why)


@network.fault("endpoint-policy-denies")
def the_endpoints_policy_denies(account: Account) -> None:
    account.failing()
    account.in_vpc().with_endpoint(PolicyDocument=_policy("*", "Deny", "secretsmanager:PutSecretValue"))
    account.refused("secretsmanager:PutSecretValue", SECRET, "with an explicit deny in a VPC endpoint policy")


@network.fault("nacl-blocks-https")
def the_acl_denies_https_out(account: Account) -> None:
    _hangs(account).first_entries(entry(90, "deny", egress=True, protocol="6", ports=(443, 443)))


@network.fault("nacl-blocks-https")
def the_acl_lets_no_answer_in(account: Account) -> None:
    found = _hangs(account)
    found.acls[0]["Entries"] = [
        entry(100, "allow", egress=True),
        entry(32767, "deny", egress=True),
        entry(100, "allow", egress=False, protocol="6", ports=(443, 443)),
        entry(110, "allow", egress=False, protocol="6", ports=(22, 22)),
        entry(32767, "deny", egress=False),
    ]


@network.fault("nacl-blocks-database")
def the_acl_denies_the_database(account: Account) -> None:
    _cannot_log_in(account).first_entries(entry(90, "deny", egress=True, protocol="6", ports=(5432, 5432)))


@network.fault("function-sg-blocks-egress")
def the_functions_group_lets_nothing_out(account: Account) -> None:
    _hangs(account).group("sg-function")["IpPermissionsEgress"] = []


@network.fault("function-sg-blocks-egress")
def the_functions_group_lets_https_out_only(account: Account) -> None:
    _cannot_log_in(account).group("sg-function")["IpPermissionsEgress"] = [allow("tcp", 443, EVERYWHERE)]


@network.fault("db-sg-blocks-function")
def the_database_lets_nobody_in(account: Account) -> None:
    _cannot_log_in(account).group("sg-database")["IpPermissions"] = []


@network.fault("db-sg-blocks-function")
def the_database_lets_another_port_in(account: Account) -> None:
    found = _cannot_log_in(account, seconds=30.0)
    found.group("sg-database")["IpPermissions"] = [
        allow("tcp", 3306, groups=("sg-function",)),
        allow("tcp", 5432, "10.0.9.0/24"),
    ]


@network.fault("function-outside-db-vpc")
def the_function_is_in_no_vpc(account: Account) -> None:
    _cannot_log_in(account)
    account.configuration.pop("VpcConfig")
    account.role_policies.pop("vpc")


@network.fault("function-outside-db-vpc")
def the_function_is_in_another_vpc(account: Account) -> None:
    found = _cannot_log_in(account)
    found.subnets[3] |= {"VpcId": "vpc-2", "CidrBlock": "10.9.20.0/24"}
    found.group("sg-database")["VpcId"] = "vpc-2"
    found.tables.append(table("rtb-2", is_main=True, vpc="vpc-2"))
    account.databases["DBInstances"][0]["DBSubnetGroup"]["VpcId"] = "vpc-2"


@network.fault("db-host-gone")
def the_host_is_no_database_any_more(account: Account) -> None:
    account.failing("setSecret")
    account.in_vpc()
    account.with_instance()
    account.databases["DBInstances"] = []
    account.raised(
        "OperationalError",
        'could not translate host name "orders.abc123.eu-west-1.rds.amazonaws.com" to address: Name or service not known',
        function="set_secret",
    )


@network.fault(
    "function-timeout-too-short",
    source="AWS documentation: Troubleshoot rotation, timeout is too short to perform the task",
)
def three_seconds_are_not_enough(account: Account) -> None:
    account.failing("setSecret", retries=2)
    account.configuration["Timeout"] = 3
    account.ran(
        lines.CREDENTIALS,
        lines.info(f"createSecret: Successfully put secret for ARN {SECRET} and version v."),
        timed_out=3.0,
    )


@network.fault("function-timeout-too-short")
def three_seconds_are_not_enough_in_a_good_vpc(account: Account) -> None:
    three_seconds_are_not_enough(account)
    account.in_vpc()


@network.nothing(*INCONCLUSIVE, also=("pending-stuck",), guesses=("function-unhandled-error",))
def thirty_seconds_and_a_good_vpc(account: Account) -> None:
    _hangs(account)


@network.fault("function-endpoint-wrong", source="AWS samples: os.environ['SECRETS_MANAGER_ENDPOINT']")
def the_variable_is_missing(account: Account) -> None:
    account.failing()
    account.configuration["Environment"] = {"Variables": {}}
    account.raised("KeyError", "'SECRETS_MANAGER_ENDPOINT'", function="lambda_handler")


@network.fault("function-endpoint-wrong")
def the_variable_names_another_region(account: Account) -> None:
    account.failing()
    account.configuration["Environment"]["Variables"]["SECRETS_MANAGER_ENDPOINT"] = (
        "https://secretsmanager.us-east-1.amazonaws.com"
    )
    account.raised(
        "ResourceNotFoundException",
        "An error occurred (ResourceNotFoundException) when calling the DescribeSecret operation: Secrets Manager can't find the specified secret.",
        function="lambda_handler",
    )


@network.fault("function-endpoint-wrong")
def the_variable_names_an_endpoint_of_elsewhere(account: Account) -> None:
    found = _hangs(account)
    found.with_endpoint()
    elsewhere = VPCE.replace("vpce-0abc-xyz", "vpce-0fff-old")
    account.configuration["Environment"]["Variables"]["SECRETS_MANAGER_ENDPOINT"] = elsewhere


# All is well.


@healthy.nothing(*HEALTHY)
def behind_a_nat_gateway(account: Account) -> None:
    account.in_vpc()


@healthy.nothing(*HEALTHY)
def with_an_endpoint(account: Account) -> None:
    account.in_vpc().with_endpoint()


@healthy.nothing(*HEALTHY)
def with_an_endpoint_by_its_own_name(account: Account) -> None:
    account.in_vpc().with_endpoint(PrivateDnsEnabled=False)
    account.configuration["Environment"]["Variables"]["SECRETS_MANAGER_ENDPOINT"] = VPCE


@healthy.nothing(*HEALTHY)
def the_endpoint_admits_a_prefix_list(account: Account) -> None:
    found = account.in_vpc()
    found.with_endpoint()
    found.lists["pl-1"] = ["10.0.1.0/24", "10.0.2.0/24"]
    found.group("sg-endpoint")["IpPermissions"] = [allow("tcp", 443, lists=("pl-1",))]


@healthy.nothing(*HEALTHY)
def the_endpoint_admits_the_vpc(account: Account) -> None:
    found = account.in_vpc()
    found.with_endpoint()
    found.group("sg-endpoint")["IpPermissions"] = [allow("-1", None, "10.0.0.0/16")]
    found.group("sg-function")["IpPermissionsEgress"] = [
        allow("tcp", 443, groups=("sg-endpoint",)),
        allow("tcp", 5432, "10.0.0.0/16"),
    ]


@healthy.nothing(*HEALTHY)
def an_acl_with_the_ports_that_it_takes(account: Account) -> None:
    found = account.in_vpc()
    found.acls[0]["Entries"] = [
        entry(100, "allow", egress=True, protocol="6", ports=(443, 443)),
        entry(110, "allow", egress=True, protocol="6", ports=(1024, 65535)),
        entry(100, "allow", egress=False, protocol="6", ports=(443, 443)),
        entry(110, "allow", egress=False, protocol="6", ports=(1024, 65535)),
        entry(32767, "deny", egress=True),
        entry(32767, "deny", egress=False),
    ]


@healthy.nothing(*HEALTHY)
def by_a_transit_gateway(account: Account) -> None:
    account.in_vpc().table("rtb-private")["Routes"] = [LOCAL, route(TransitGatewayId="tgw-1")]


@healthy.nothing(*HEALTHY)
def a_deny_behind_an_allow(account: Account) -> None:
    found = account.in_vpc()
    found.acls[0]["Entries"].append(entry(200, "deny", egress=True, protocol="6", ports=(443, 443)))


@healthy.nothing(*HEALTHY)
def a_private_database_beside_it(account: Account) -> None:
    account.in_vpc()
    account.with_instance()


@healthy.nothing(*HEALTHY)
def a_public_database_and_no_vpc(account: Account) -> None:
    account.vpc = Network()
    account.vpc.group("sg-database")["IpPermissions"] = [allow("tcp", 5432, EVERYWHERE)]
    account.with_instance(PubliclyAccessible=True)


@healthy.nothing(*HEALTHY)
def another_endpoint_is_broken(account: Account) -> None:
    found = account.in_vpc()
    found.with_endpoint()
    found.with_endpoint(
        VpcEndpointId="vpce-0s3", ServiceName=f"com.amazonaws.{REGION}.s3", State="failed", PrivateDnsEnabled=False
    )


@healthy.nothing(*HEALTHY)
def a_database_that_is_none_of_rds(account: Account) -> None:
    account.in_vpc()
    account.with_instance()
    account.databases["DBInstances"] = []
    account.value = {
        "engine": "postgres",
        "host": "db.corp.example",
        "port": 5432,
        "username": "orders",
        "password": "x",
    }
