// Arguments: a zip file, its runtime.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import {
  CloudWatchLogsClient,
  FilterLogEventsCommand,
  paginateDescribeLogStreams,
} from "@aws-sdk/client-cloudwatch-logs";
import { CreateRoleCommand, IAMClient } from "@aws-sdk/client-iam";
import {
  AddPermissionCommand,
  CreateFunctionCommand,
  DeleteFunctionCommand,
  GetFunctionCommand,
  GetPolicyCommand,
  InvokeCommand,
  LambdaClient,
  ResourceNotFoundException,
  waitUntilFunctionActiveV2,
} from "@aws-sdk/client-lambda";
import { configuration, refusal } from "./client.mjs";

const [zip, runtime] = process.argv.slice(2);
const client = new LambdaClient(configuration);
const logs = new CloudWatchLogsClient(configuration);
const FunctionName = "node-function";

const trust = { Effect: "Allow", Principal: { Service: "lambda.amazonaws.com" }, Action: "sts:AssumeRole" };
const { Role } = await new IAMClient(configuration).send(
  new CreateRoleCommand({
    RoleName: "node-function",
    AssumeRolePolicyDocument: JSON.stringify({ Version: "2012-10-17", Statement: [trust] }),
  }),
);
const made = await client.send(
  new CreateFunctionCommand({
    FunctionName,
    Runtime: runtime,
    Role: Role.Arn,
    Handler: "lambda_function.lambda_handler",
    Code: { ZipFile: await readFile(zip) },
    Environment: { Variables: { GREETING: "hello" } },
  }),
);
await waitUntilFunctionActiveV2({ client, maxWaitTime: 30 }, { FunctionName });
const { Configuration, Code } = await client.send(new GetFunctionCommand({ FunctionName: made.FunctionArn }));
assert.deepEqual(Configuration.Environment, { Variables: { GREETING: "hello" } });
assert.deepEqual(Buffer.from(await (await fetch(Code.Location)).arrayBuffer()), await readFile(zip));

const payload = { text: "pässwörd 🔑", deep: [{ a: null }] };
const answered = await client.send(
  new InvokeCommand({ FunctionName, Payload: JSON.stringify(payload), LogType: "Tail" }),
);
assert.equal(answered.StatusCode, 200);
assert.deepEqual(JSON.parse(answered.Payload.transformToString()), payload);
assert.match(Buffer.from(answered.LogResult, "base64").toString(), /hello[^]*REPORT RequestId/);

const failed = await client.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify({ fail: "so it is" }) }));
assert.equal(failed.FunctionError, "Unhandled");
assert.equal(JSON.parse(failed.Payload.transformToString()).errorMessage, "so it is");

const logGroupName = `/aws/lambda/${FunctionName}`;
const streams = [];
for await (const page of paginateDescribeLogStreams({ client: logs }, { logGroupName }))
  streams.push(...page.logStreams);
assert.ok(streams.length >= 1);
const { events } = await logs.send(new FilterLogEventsCommand({ logGroupName, filterPattern: "hello" }));
assert.ok(events.length >= 1);

const permission = {
  FunctionName,
  StatementId: "SecretsManagerAccess",
  Action: "lambda:InvokeFunction",
  Principal: "secretsmanager.amazonaws.com",
};
await client.send(new AddPermissionCommand(permission));
const { Policy } = await client.send(new GetPolicyCommand({ FunctionName }));
assert.equal(JSON.parse(Policy).Statement[0].Principal.Service, "secretsmanager.amazonaws.com");

const conflict = await refusal(client.send(new AddPermissionCommand(permission)));
assert.deepEqual([conflict.name, conflict.status], ["ResourceConflictException", 409]);
await client.send(new DeleteFunctionCommand({ FunctionName }));
await assert.rejects(client.send(new GetFunctionCommand({ FunctionName })), ResourceNotFoundException);
