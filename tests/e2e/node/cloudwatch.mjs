// The metrics of a function that has failed once, with one release of the client: older ones speak AWS Query, newer ones JSON 1.0.
import assert from "node:assert/strict";

const [packageName, FunctionName, contentType] = process.argv.slice(2);
const { CloudWatchClient, GetMetricDataCommand, GetMetricStatisticsCommand, ListMetricsCommand } = await import(packageName);

const client = new CloudWatchClient({ maxAttempts: 1 });
const spoken = new Set();
client.middlewareStack.add((next) => (sent) => (spoken.add(sent.request.headers["content-type"]), next(sent)), {
  step: "finalizeRequest",
});
const Dimensions = [{ Name: "FunctionName", Value: FunctionName }];
const metric = { Namespace: "AWS/Lambda", MetricName: "Errors", Dimensions };
const [StartTime, EndTime] = [-1, 1].map((hours) => new Date(Date.now() + hours * 3_600_000));

const { Datapoints } = await client.send(
  new GetMetricStatisticsCommand({ ...metric, StartTime, EndTime, Period: 86_400, Statistics: ["Sum", "Average"] }),
);
assert.deepEqual(
  Datapoints.map(({ Sum, Average, Unit }) => ({ Sum, Average, Unit })),
  [{ Sum: 1, Average: 1, Unit: "Count" }],
);
assert.ok(Datapoints[0].Timestamp instanceof Date);

const MetricDataQueries = [{ Id: "e", MetricStat: { Metric: metric, Period: 60, Stat: "Sum" } }];
const { MetricDataResults } = await client.send(new GetMetricDataCommand({ MetricDataQueries, StartTime, EndTime }));
assert.deepEqual(MetricDataResults[0].Values, [1]);

const { Metrics } = await client.send(new ListMetricsCommand({ Namespace: "AWS/Lambda", MetricName: "Errors", Dimensions }));
assert.deepEqual(Metrics[0], metric);

await assert.rejects(
  client.send(new GetMetricStatisticsCommand({ ...metric, StartTime, EndTime, Period: 61, Statistics: ["Sum"] })),
  { name: "InvalidParameterValueException", message: "The parameter Period must be a multiple of 60." },
);
assert.deepEqual([...spoken], [contentType]);
