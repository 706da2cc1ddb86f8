import assert from "node:assert/strict";
import {
  CreateSecretCommand,
  DeleteSecretCommand,
  DescribeSecretCommand,
  GetRandomPasswordCommand,
  GetSecretValueCommand,
  ListSecretVersionIdsCommand,
  PutSecretValueCommand,
  ReplicateSecretToRegionsCommand,
  ResourceNotFoundException,
  RestoreSecretCommand,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
  paginateListSecrets,
} from "@aws-sdk/client-secrets-manager";
import { configuration, refusal } from "./client.mjs";

const client = new SecretsManagerClient(configuration);
const SecretId = "node/secret";
const text = "pässwörd 🔑 \u0000 \u2028 \\ \"";

const made = await client.send(
  new CreateSecretCommand({ Name: SecretId, SecretString: text, Tags: [{ Key: "a", Value: "b" }] }),
);
const read = await client.send(new GetSecretValueCommand({ SecretId }));
assert.equal(read.SecretString, text);
assert.deepEqual(read.VersionStages, ["AWSCURRENT"]);
assert.ok(Math.abs(read.CreatedDate - Date.now()) < 60_000);

const binary = Uint8Array.from({ length: 256 }, (_, index) => index);
const put = await client.send(
  new PutSecretValueCommand({ SecretId, SecretBinary: binary, VersionStages: ["AWSPENDING"] }),
);
const pending = await client.send(new GetSecretValueCommand({ SecretId, VersionStage: "AWSPENDING" }));
assert.deepEqual(pending.SecretBinary, binary);
assert.equal(pending.SecretString, undefined);

await client.send(
  new UpdateSecretVersionStageCommand({
    SecretId,
    VersionStage: "AWSCURRENT",
    MoveToVersionId: put.VersionId,
    RemoveFromVersionId: made.VersionId,
  }),
);
const described = await client.send(new DescribeSecretCommand({ SecretId: made.ARN }));
assert.deepEqual(described.VersionIdsToStages, {
  [made.VersionId]: ["AWSPREVIOUS"],
  [put.VersionId]: ["AWSCURRENT", "AWSPENDING"],
});
assert.deepEqual(described.Tags, [{ Key: "a", Value: "b" }]);
const versions = await client.send(new ListSecretVersionIdsCommand({ SecretId }));
assert.deepEqual(
  versions.Versions.map((version) => version.VersionId),
  [made.VersionId, put.VersionId],
);

const names = [];
for (const name of ["node/b", "node/c"]) await client.send(new CreateSecretCommand({ Name: name, SecretString: "x" }));
for await (const page of paginateListSecrets(
  { client, pageSize: 1 },
  { Filters: [{ Key: "name", Values: ["node/"] }], SortBy: "name", SortOrder: "asc" },
))
  names.push(...page.SecretList.map((secret) => secret.Name));
assert.deepEqual(names, ["node/b", "node/c", "node/secret"]);

const deleted = await client.send(new DeleteSecretCommand({ SecretId }));
assert.ok(deleted.DeletionDate > new Date());
assert.deepEqual(await refusal(client.send(new GetSecretValueCommand({ SecretId }))), {
  name: "InvalidRequestException",
  message: "You can't perform this operation on the secret because it was marked for deletion.",
  status: 400,
  fault: "client",
});
await client.send(new RestoreSecretCommand({ SecretId }));
assert.equal((await client.send(new GetRandomPasswordCommand({ PasswordLength: 64 }))).RandomPassword.length, 64);

await assert.rejects(client.send(new GetSecretValueCommand({ SecretId: "no/such" })), ResourceNotFoundException);
assert.equal((await refusal(client.send(new GetSecretValueCommand({})))).name, "ValidationException");
assert.equal(
  (await refusal(client.send(new PutSecretValueCommand({ SecretId, SecretString: "a".repeat(65_537) })))).name,
  "ValidationException",
);
const absent = new ReplicateSecretToRegionsCommand({ SecretId, AddReplicaRegions: [{ Region: "eu-west-1" }] });
assert.equal((await refusal(client.send(absent))).name, "NotImplementedException");

const credentials = { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: "A".repeat(40) };
const impostor = new SecretsManagerClient({ ...configuration, credentials });
assert.equal((await refusal(impostor.send(new GetSecretValueCommand({ SecretId })))).name, "InvalidSignatureException");

// Many at once, over the connections that the SDK keeps.
const values = await Promise.all(
  Array.from({ length: 60 }, () => client.send(new GetSecretValueCommand({ SecretId: "node/b" }))),
);
assert.deepEqual([...new Set(values.map((value) => value.SecretString))], ["x"]);
