"""CloudWatch's metrics of functions, as people and tools ask for them: in each of CloudWatch's three protocols."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from .conftest import DEADLINE_SECONDS, Credentials, ServerProcess, wait_until
from .rotation_function import create_rotation_function, document

DEBIANS_AWS = Path("/usr/bin/aws")
NAMESPACE = "AWS/Lambda"
HOUR = timedelta(hours=1)
_SOURCE = """
import time

def lambda_handler(event, context):
    if event == "fail":
        raise ValueError("as asked")
    time.sleep(event if isinstance(event, (int, float)) else 0)
"""


def _made(server: ServerProcess, name: str, **settings: Any) -> str:
    arn = create_rotation_function(server, name, _SOURCE)
    if settings:
        server.client("lambda").update_function_configuration(FunctionName=name, **settings)
    return arn


def _invoke(server: ServerProcess, name: str, *events: object, **options: Any) -> None:
    for event in events:
        server.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event), **options)


def _asked(name: str, metric: str, statistics: list[str], **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    dimensions = [{"Name": "FunctionName", "Value": name}] if name else []
    asked = {
        "Namespace": NAMESPACE,
        "MetricName": metric,
        "Dimensions": dimensions,
        "StartTime": now - HOUR,
        "EndTime": now + timedelta(minutes=1),
        "Period": 7200,
        "Statistics": statistics,
        **changes,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _one(client: Any, name: str, metric: str, *statistics: str, **changes: Any) -> tuple[float, ...]:
    """Statistics of the only point there is; nothing if there is none."""
    points = client.get_metric_statistics(**_asked(name, metric, list(statistics), **changes))["Datapoints"]
    assert len(points) <= 1
    return tuple(points[0][statistic] for statistic in statistics) if points else ()


def _speaking(server: ServerProcess, protocol: str) -> Any:
    """A client of CloudWatch that speaks one of its protocols: botocore would choose JSON."""
    session = boto3.Session(server.admin.access_key_id, server.admin.secret_access_key, region_name=server.region)
    loader = session._session.get_component("data_loader")
    load = loader.load_service_model

    def load_service_model(*arguments: Any, **options: Any) -> Any:
        model = load(*arguments, **options)
        if "metadata" not in model:
            return model
        return {**model, "metadata": {**model["metadata"], "protocol": protocol, "protocols": [protocol]}}

    loader.load_service_model = load_service_model
    return session.client("cloudwatch", endpoint_url=server.endpoint_url)


@pytest.fixture(scope="module", params=["json", "smithy-rpc-v2-cbor", "query"])
def cloudwatch(request: pytest.FixtureRequest, server: ServerProcess) -> Any:
    return _speaking(server, request.param)


@pytest.fixture(scope="module")
def invoked(server: ServerProcess) -> str:
    """A function with two good and three failed invocations, one of which took too long."""
    _made(server, "measured", Timeout=1)
    _invoke(server, "measured", 0.2, 0, "fail", "fail", 60)
    return "measured"


def test_invocations_and_errors_are_counted(cloudwatch: Any, invoked: str) -> None:
    assert _one(cloudwatch, invoked, "Invocations", "Sum", "SampleCount", "Average") == (5, 5, 1)
    assert _one(cloudwatch, invoked, "Errors", "Sum", "SampleCount", "Average", "Maximum") == (3, 5, 0.6, 1)
    assert _one(cloudwatch, invoked, "Throttles", "Sum", "SampleCount") == (0, 5)
    assert _one(cloudwatch, invoked, "ConcurrentExecutions", "Maximum") == (1,)


def test_durations_have_percentiles(cloudwatch: Any, invoked: str) -> None:
    count, total, least, most, mean = _one(
        cloudwatch, invoked, "Duration", "SampleCount", "Sum", "Minimum", "Maximum", "Average"
    )
    assert (count, most) == (5, 1000)
    assert 0 < least < 200 < mean == total / 5

    percentiles = {"Statistics": None, "ExtendedStatistics": ["p50", "p80", "p99.9"]}
    (point,) = cloudwatch.get_metric_statistics(**_asked(invoked, "Duration", [], **percentiles))["Datapoints"]
    assert (point["Unit"], point["ExtendedStatistics"]["p99.9"]) == ("Milliseconds", 1000)
    assert least <= point["ExtendedStatistics"]["p50"] < 200 <= point["ExtendedStatistics"]["p80"] < 1000


def test_metric_data_are_statistics_by_the_minute(cloudwatch: Any, invoked: str) -> None:
    metric = {"Namespace": NAMESPACE, "Dimensions": [{"Name": "FunctionName", "Value": invoked}]}
    queries = [
        {"Id": name.lower(), "MetricStat": {"Metric": {**metric, "MetricName": name}, "Period": 60, "Stat": "Sum"}}
        for name in ("Errors", "Invocations")
    ]
    now = datetime.now(UTC)

    found = cloudwatch.get_metric_data(MetricDataQueries=queries, StartTime=now - HOUR, EndTime=now + HOUR)

    errors, invocations = found["MetricDataResults"]
    assert (errors["Id"], errors["Label"], errors["StatusCode"]) == ("errors", "Errors", "Complete")
    assert (sum(errors["Values"]), sum(invocations["Values"])) == (3, 5)
    assert errors["Timestamps"] == sorted(invocations["Timestamps"], reverse=True)
    assert all((at.second, at.microsecond) == (0, 0) for at in errors["Timestamps"])


def test_metrics_are_listed(cloudwatch: Any, invoked: str) -> None:
    found = cloudwatch.list_metrics(Namespace=NAMESPACE, Dimensions=[{"Name": "FunctionName", "Value": invoked}])

    shown = {(metric["MetricName"], tuple(one["Value"] for one in metric["Dimensions"])) for metric in found["Metrics"]}
    names = {"ConcurrentExecutions", "Duration", "Errors", "Invocations", "Throttles"}
    assert shown == {(name, values) for name in names for values in ((invoked,), (invoked, invoked))}
    assert cloudwatch.list_metrics(Namespace="AWS/EC2")["Metrics"] == []


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"Statistics": None}, "InvalidParameterCombination", "At least one of the parameters Statistics and"),
        ({"ExtendedStatistics": ["tm99"]}, "InvalidParameterValue", "The value tm99 for parameter ExtendedStatistics"),
        ({"Period": 90}, "InvalidParameterValue", "The parameter Period must be a multiple of 60."),
        ({"StartTime": datetime(2100, 1, 1, tzinfo=UTC)}, "InvalidParameterValue", "StartTime must be less than"),
        (
            {"StartTime": datetime(2026, 1, 1, tzinfo=UTC), "EndTime": datetime(2026, 1, 3, tzinfo=UTC), "Period": 60},
            "InvalidParameterCombination",
            "You have requested up to 2,880 datapoints, which exceeds the limit of 1,440.",
        ),
    ],
    ids=["no statistic", "trimmed mean", "period", "start", "points"],
)
def test_errors_are_those_of_cloudwatch(
    cloudwatch: Any, invoked: str, changes: dict[str, Any], code: str, message: str
) -> None:
    asked = _asked(invoked, "Errors", ["Sum"], **changes)
    with pytest.raises(ClientError) as refused:
        cloudwatch.get_metric_statistics(**asked)

    error: Any = refused.value.response
    assert error["Error"]["Code"] == code
    assert message in error["Error"]["Message"]
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_metric_math_is_refused(cloudwatch: Any) -> None:
    now = datetime.now(UTC)
    with pytest.raises(ClientError, match="Keyturn does not offer metric math and queries: the query e1") as refused:
        cloudwatch.get_metric_data(
            MetricDataQueries=[{"Id": "e1", "Expression": "1 + 1"}], StartTime=now - HOUR, EndTime=now
        )
    assert refused.value.response["Error"]["Code"] == "NotImplemented"


def test_an_operation_that_is_not_offered_says_so(cloudwatch: Any) -> None:
    with pytest.raises(ClientError, match="Keyturn does not offer cloudwatch PutDashboard") as refused:
        cloudwatch.put_dashboard(DashboardName="d", DashboardBody="{}")
    assert refused.value.response["Error"]["Code"] == "NotImplemented"


def test_who_has_no_policy_sees_no_metrics(server: ServerProcess, invoked: str) -> None:
    iam = server.client("iam")
    iam.create_user(UserName="watcher")
    key = iam.create_access_key(UserName="watcher")["AccessKey"]
    client = server.client("cloudwatch", Credentials(key["AccessKeyId"], key["SecretAccessKey"]))
    with pytest.raises(ClientError) as refused:
        _one(client, invoked, "Errors", "Sum")
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    assert "is not authorized to perform: cloudwatch:GetMetricStatistics because" in str(refused.value)

    allow = {"Effect": "Allow", "Action": "cloudwatch:GetMetricStatistics", "Resource": "*"}
    iam.put_user_policy(UserName="watcher", PolicyName="watch", PolicyDocument=document(allow))
    assert _one(client, invoked, "Errors", "Sum") == (3,)
    with pytest.raises(ClientError, match="cloudwatch:ListMetrics"):
        client.list_metrics()

    attributes = [{"AttributeKey": "EventSource", "AttributeValue": "monitoring.amazonaws.com"}]
    events = server.client("cloudtrail").lookup_events(LookupAttributes=attributes)["Events"]
    found = [(event["EventName"], event["Username"], event["ReadOnly"]) for event in events]
    assert found.count(("GetMetricStatistics", "watcher", "true")) == 2


@pytest.fixture
def debians_aws(server: ServerProcess) -> Any:
    if not DEBIANS_AWS.exists():
        pytest.skip("Debian's AWS CLI is not installed")

    def run(*arguments: str) -> Any:
        done = subprocess.run(
            [DEBIANS_AWS, "--endpoint-url", server.endpoint_url, "--output", "json", "cloudwatch", *arguments],
            env={name: value for name, value in server.environ().items() if not name.startswith("PYTHON")},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_debians_aws_cli_shows_them(debians_aws: Any, invoked: str) -> None:
    now = datetime.now(UTC)
    between = ("--start-time", (now - HOUR).isoformat(), "--end-time", (now + HOUR).isoformat())

    shown = debians_aws(
        "get-metric-statistics", "--namespace", NAMESPACE, "--metric-name", "Errors", "--statistics", "Sum", "Average",
        "--dimensions", f"Name=FunctionName,Value={invoked}", "--period", "86400", *between,
    )  # fmt: skip
    assert (shown["Label"], shown["Datapoints"][0]["Sum"], shown["Datapoints"][0]["Unit"]) == ("Errors", 3, "Count")

    stat = {
        "Metric": {
            "Namespace": NAMESPACE,
            "MetricName": "Duration",
            "Dimensions": [{"Name": "FunctionName", "Value": invoked}],
        },
        "Period": 86400,
        "Stat": "p99",
    }
    queries = json.dumps([{"Id": "d", "MetricStat": stat}])
    found = debians_aws("get-metric-data", "--metric-data-queries", queries, *between)
    assert found["MetricDataResults"][0]["Values"] == [1000.0]
    listed = debians_aws("list-metrics", "--namespace", NAMESPACE, "--metric-name", "Errors")["Metrics"]
    assert {"Name": "FunctionName", "Value": invoked} in [one for each in listed for one in each["Dimensions"]]


def test_each_name_by_which_a_function_is_invoked_is_counted(server: ServerProcess) -> None:
    _made(server, "versioned")
    client, functions = server.client("cloudwatch"), server.client("lambda")
    version = functions.publish_version(FunctionName="versioned")["Version"]
    functions.create_alias(FunctionName="versioned", Name="live", FunctionVersion=version)
    _invoke(server, "versioned", 0)
    _invoke(server, "versioned", 0, "fail", Qualifier="live")
    _invoke(server, "versioned", 0, Qualifier=version)

    def errors(resource: str) -> tuple[float, ...]:
        dimensions = [{"Name": "FunctionName", "Value": "versioned"}, {"Name": "Resource", "Value": resource}]
        return _one(client, "versioned", "Errors", "SampleCount", "Sum", Dimensions=dimensions)

    found = {name: errors(f"versioned{name}") for name in ("", ":live", f":{version}", ":no-such")}
    assert found == {"": (1, 0), ":live": (2, 1), f":{version}": (1, 0), ":no-such": ()}
    assert _one(client, "versioned", "Errors", "SampleCount", "Sum") == (4, 1)
    assert _one(client, "", "Errors", "Sum")[0] >= 1


def test_what_is_throttled_is_no_invocation(server: ServerProcess) -> None:
    _made(server, "throttled")
    client, functions = server.client("cloudwatch"), server.client("lambda")
    functions.put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=0)
    for _ in range(3):
        with pytest.raises(functions.exceptions.TooManyRequestsException):
            functions.invoke(FunctionName="throttled")

    assert _one(client, "throttled", "Throttles", "Sum") == (3,)
    assert _one(client, "throttled", "Invocations", "Sum") == ()
    dimensions = [{"Name": "FunctionName", "Value": "throttled"}]
    listed = client.list_metrics(Namespace=NAMESPACE, Dimensions=dimensions)["Metrics"]
    assert {metric["MetricName"] for metric in listed} == {"Throttles"}


def test_those_that_run_at_once_are_counted(server: ServerProcess) -> None:
    _made(server, "crowded")
    with ThreadPoolExecutor(3) as threads:
        for _ in threads.map(lambda _: _invoke(server, "crowded", 1.5), range(3)):
            pass
    client = server.client("cloudwatch")

    assert _one(client, "crowded", "ConcurrentExecutions", "Maximum", "Minimum") == (3, 1)


def test_rotations_and_events_are_invocations_and_preflights_are_not(server: ServerProcess) -> None:
    function = create_rotation_function(server, "rotating")
    client, secrets, keyturn = server.client("cloudwatch"), server.client("secretsmanager"), server.client("keyturn")
    secrets.create_secret(Name="counted", SecretString="first")
    secrets.rotate_secret(SecretId="counted", RotationLambdaARN=function)
    wait_until(lambda: secrets.get_secret_value(SecretId="counted")["SecretString"] == "rotated", "rotation", server)
    wait_until(lambda: _one(client, "rotating", "Invocations", "Sum") == (4,), "the four steps", server)

    keyturn.preflight_rotation(SecretId="counted")
    assert _one(client, "rotating", "Invocations", "Sum") == (4,)

    nothing = {"Step": "", "SecretId": "counted", "ClientRequestToken": ""}
    _invoke(server, "rotating", nothing, InvocationType="Event")
    wait_until(lambda: _one(client, "rotating", "Invocations", "Sum") == (5,), "the event", server)


def test_metrics_survive_the_death_of_the_server(own_server: ServerProcess) -> None:
    own_server.start()
    _made(own_server, "lasting")
    _invoke(own_server, "lasting", 0, "fail")
    assert _one(own_server.client("cloudwatch"), "lasting", "Errors", "SampleCount", "Sum") == (2, 1)
    own_server.kill()
    own_server.start()
    _invoke(own_server, "lasting", "fail")
    assert _one(own_server.client("cloudwatch"), "lasting", "Errors", "SampleCount", "Sum") == (3, 2)

    _invoke(own_server, "lasting", "fail")
    own_server.stop()
    own_server.start()
    assert _one(own_server.client("cloudwatch"), "lasting", "Errors", "SampleCount", "Sum") == (4, 3)


def test_what_several_servers_count_adds_up(servers: list[ServerProcess]) -> None:
    first, last = servers[0], servers[-1]
    _made(first, "shared")
    _invoke(first, "shared", 0, "fail")
    _invoke(last, "shared", "fail", "fail", 0)

    def errors(server: ServerProcess) -> tuple[float, ...]:
        return _one(server.client("cloudwatch"), "shared", "Errors", "SampleCount", "Sum")

    # Each shows at once what it has counted itself, and what the other has some seconds later.
    wait_until(lambda: errors(first) == errors(last) == (5, 3), "both counts", first)
