// Arguments: the package that holds the client, a rotation function's ARN, the operations that the server offers.
// Every operation that the server offers and the client knows is called.
import assert from "node:assert/strict";
import { configuration } from "./client.mjs";

const [packageName, RotationLambdaARN, ...offered] = process.argv.slice(2);
const sdk = await import(packageName);
const client = new sdk.SecretsManagerClient(configuration);
const send = (operation, input, to = client) => to.send(new sdk[`${operation}Command`](input));

/** Make a secret that no other call has seen. */
let made = 0;
const create = async (input = { SecretString: "s" }) => {
  const Name = `${packageName.replaceAll("@", "")}/${(made += 1)}`;
  return { ...(await send("CreateSecret", { Name, ...input })), SecretId: Name };
};
const binary = Uint8Array.from({ length: 256 }, (_, index) => index);
// The first release has members without a value, too.
const present = ({ $metadata, ...members }) =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
const isRecent = (date) => date instanceof Date && Math.abs(date - Date.now()) < 60_000;
const policy = (identity) =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      { Effect: "Allow", Principal: { AWS: identity }, Action: "secretsmanager:GetSecretValue", Resource: "*" },
    ],
  });
const accountOf = (arn) => `arn:aws:iam::${arn.split(":")[4]}:root`;
const elsewhere = "eu-west-3";

const calls = {
  async CreateSecret() {
    const { ARN, Name, VersionId, $metadata } = await create({ SecretString: "s", Description: "ours" });
    assert.match(ARN, new RegExp(`:secret:${Name}-[A-Za-z0-9]{6}$`));
    assert.match(VersionId, /^[0-9a-f-]{36}$/);
    assert.ok($metadata.requestId);
    assert.equal((await create({})).VersionId, undefined);
  },
  async GetSecretValue() {
    const text = 'pässwörd 🔑 \u0000 \u2028 \\ "';
    const { ARN, SecretId, VersionId } = await create({ SecretString: text });
    const { CreatedDate, ...read } = present(await send("GetSecretValue", { SecretId }));
    assert.deepEqual(read, { ARN, Name: SecretId, SecretString: text, VersionId, VersionStages: ["AWSCURRENT"] });
    assert.ok(isRecent(CreatedDate));
    const { SecretId: other } = await create({ SecretBinary: binary });
    const { SecretBinary, SecretString } = await send("GetSecretValue", { SecretId: other });
    assert.ok(SecretBinary instanceof Uint8Array);
    assert.deepEqual(Uint8Array.from(SecretBinary), binary);
    assert.equal(SecretString, undefined);
    // Many at once, over the connections that the SDK keeps.
    const values = await Promise.all(Array.from({ length: 60 }, () => send("GetSecretValue", { SecretId })));
    assert.deepEqual([...new Set(values.map((value) => value.SecretString))], [text]);
  },
  async BatchGetSecretValue() {
    const [text, bytes] = [await create(), await create({ SecretBinary: binary })];
    const found = await send("BatchGetSecretValue", { SecretIdList: [text.SecretId, bytes.ARN, "no/such"] });
    const values = new Map(found.SecretValues.map((value) => [value.ARN, value]));
    assert.equal(values.get(text.ARN).SecretString, "s");
    assert.deepEqual(Uint8Array.from(values.get(bytes.ARN).SecretBinary), binary);
    assert.ok(isRecent(values.get(text.ARN).CreatedDate));
    assert.deepEqual(
      found.Errors.map((error) => [error.SecretId, error.ErrorCode]),
      [["no/such", "ResourceNotFoundException"]],
    );
    const filtered = await send("BatchGetSecretValue", { Filters: [{ Key: "name", Values: [text.SecretId] }] });
    assert.ok(filtered.SecretValues.some((value) => value.Name === text.SecretId));
  },
  async PutSecretValue() {
    const { ARN, SecretId } = await create();
    const ClientRequestToken = "a".repeat(32);
    const put = await send("PutSecretValue", {
      SecretId,
      ClientRequestToken,
      SecretBinary: binary,
      VersionStages: ["AWSPENDING"],
    });
    assert.deepEqual(present(put), { ARN, Name: SecretId, VersionId: ClientRequestToken, VersionStages: ["AWSPENDING"] });
    const pending = await send("GetSecretValue", { SecretId, VersionStage: "AWSPENDING" });
    assert.deepEqual(Uint8Array.from(pending.SecretBinary), binary);
  },
  async UpdateSecret() {
    const { SecretId, VersionId } = await create();
    assert.equal((await send("UpdateSecret", { SecretId, Description: "new" })).VersionId, undefined);
    const updated = await send("UpdateSecret", { SecretId, SecretString: "t" });
    assert.notEqual(updated.VersionId, VersionId);
    assert.equal((await send("DescribeSecret", { SecretId })).Description, "new");
  },
  async UpdateSecretVersionStage() {
    const { SecretId, VersionId } = await create();
    const put = await send("PutSecretValue", { SecretId, SecretString: "t", VersionStages: ["AWSPENDING"] });
    await send("UpdateSecretVersionStage", {
      SecretId,
      VersionStage: "AWSCURRENT",
      MoveToVersionId: put.VersionId,
      RemoveFromVersionId: VersionId,
    });
    assert.deepEqual((await send("DescribeSecret", { SecretId })).VersionIdsToStages, {
      [VersionId]: ["AWSPREVIOUS"],
      [put.VersionId]: ["AWSCURRENT", "AWSPENDING"],
    });
  },
  async DescribeSecret() {
    const { ARN, SecretId, VersionId } = await create({ SecretString: "s", Tags: [{ Key: "a", Value: "b" }] });
    await send("GetSecretValue", { SecretId });
    const described = await send("DescribeSecret", { SecretId: ARN.slice(0, -7) });
    assert.equal(described.ARN, ARN);
    assert.deepEqual(described.Tags, [{ Key: "a", Value: "b" }]);
    assert.deepEqual(described.VersionIdsToStages, { [VersionId]: ["AWSCURRENT"] });
    assert.ok(isRecent(described.CreatedDate) && isRecent(described.LastChangedDate));
    assert.equal(described.LastAccessedDate % 86_400_000, 0);
    assert.equal(described.DeletedDate, undefined);
  },
  async ListSecretVersionIds() {
    const { SecretId, VersionId } = await create();
    const put = await send("PutSecretValue", { SecretId, SecretString: "t" });
    const pages = [];
    for (let NextToken; pages.length === 0 || NextToken; ) {
      pages.push(await send("ListSecretVersionIds", { SecretId, MaxResults: 1, NextToken }));
      NextToken = pages.at(-1).NextToken;
    }
    const versions = pages.flatMap((page) => page.Versions);
    assert.deepEqual(versions.map((version) => version.VersionId).sort(), [VersionId, put.VersionId].sort());
    assert.ok(versions.every((version) => isRecent(version.CreatedDate)));
  },
  async ListSecrets() {
    const secrets = [await create(), await create(), await create()];
    const names = [];
    // The first release has its paginators, too.
    for await (const page of sdk.paginateListSecrets(
      { client, pageSize: 1 },
      { Filters: [{ Key: "name", Values: secrets.map((secret) => secret.SecretId) }], SortOrder: "asc" },
    ))
      names.push(...page.SecretList.map((secret) => secret.Name));
    for (const { SecretId } of secrets) assert.ok(names.includes(SecretId));
    assert.deepEqual(names, [...new Set(names)]);
  },
  async TagResource() {
    const { SecretId } = await create();
    await send("TagResource", { SecretId, Tags: [{ Key: "a", Value: "" }] });
    assert.deepEqual((await send("DescribeSecret", { SecretId })).Tags, [{ Key: "a", Value: "" }]);
  },
  async UntagResource() {
    const { SecretId } = await create({ Tags: [{ Key: "a", Value: "b" }] });
    await send("UntagResource", { SecretId, TagKeys: ["a"] });
    assert.deepEqual((await send("DescribeSecret", { SecretId })).Tags, []);
  },
  async DeleteSecret() {
    const { SecretId } = await create();
    const { DeletionDate } = await send("DeleteSecret", { SecretId, RecoveryWindowInDays: 7 });
    assert.ok(isRecent(new Date(DeletionDate - 7 * 86_400_000)));
    await send("DeleteSecret", { SecretId, ForceDeleteWithoutRecovery: true });
  },
  async RestoreSecret() {
    const { ARN, SecretId } = await create();
    await send("DeleteSecret", { SecretId });
    assert.ok((await send("DescribeSecret", { SecretId })).DeletedDate instanceof Date);
    assert.equal((await send("RestoreSecret", { SecretId })).ARN, ARN);
    assert.equal((await send("GetSecretValue", { SecretId })).SecretString, "s");
  },
  async GetRandomPassword() {
    const { RandomPassword } = await send("GetRandomPassword", { PasswordLength: 64, ExcludePunctuation: true });
    assert.match(RandomPassword, /^[A-Za-z0-9]{64}$/);
  },
  async RotateSecret() {
    const { SecretId } = await create();
    const RotationRules = { AutomaticallyAfterDays: 30 };
    const { VersionId } = await send("RotateSecret", { SecretId, RotationLambdaARN, RotationRules });
    const described = await send("DescribeSecret", { SecretId });
    assert.deepEqual(described.RotationRules, RotationRules);
    assert.equal(described.RotationEnabled, true);
    assert.ok(VersionId in described.VersionIdsToStages);
  },
  async CancelRotateSecret() {
    const { SecretId } = await create();
    await send("RotateSecret", { SecretId, RotationLambdaARN });
    await send("CancelRotateSecret", { SecretId });
    assert.equal((await send("DescribeSecret", { SecretId })).RotationEnabled, false);
  },
  async PutResourcePolicy() {
    const { ARN, SecretId } = await create();
    const put = await send("PutResourcePolicy", { SecretId, ResourcePolicy: policy(accountOf(ARN)) });
    assert.deepEqual([put.ARN, put.Name], [ARN, SecretId]);
  },
  async GetResourcePolicy() {
    const { ARN, SecretId } = await create();
    assert.equal((await send("GetResourcePolicy", { SecretId })).ResourcePolicy, undefined);
    await send("PutResourcePolicy", { SecretId, ResourcePolicy: policy(accountOf(ARN)) });
    const { ResourcePolicy } = await send("GetResourcePolicy", { SecretId });
    assert.deepEqual(JSON.parse(ResourcePolicy), JSON.parse(policy(accountOf(ARN))));
  },
  async DeleteResourcePolicy() {
    const { ARN, SecretId } = await create();
    await send("PutResourcePolicy", { SecretId, ResourcePolicy: policy(accountOf(ARN)) });
    await send("DeleteResourcePolicy", { SecretId });
    assert.equal((await send("GetResourcePolicy", { SecretId })).ResourcePolicy, undefined);
  },
  async ValidateResourcePolicy() {
    const { ARN } = await create();
    const good = await send("ValidateResourcePolicy", { ResourcePolicy: policy(accountOf(ARN)) });
    assert.equal(good.PolicyValidationPassed, true);
    const broad = await send("ValidateResourcePolicy", { ResourcePolicy: policy("*") });
    assert.equal(broad.PolicyValidationPassed, false);
    assert.ok(broad.ValidationErrors.every((error) => error.CheckName && error.ErrorMessage));
  },
  async ReplicateSecretToRegions() {
    const { ARN, SecretId } = await create();
    const input = { SecretId, AddReplicaRegions: [{ Region: elsewhere }] };
    const replicated = await send("ReplicateSecretToRegions", input);
    assert.equal(replicated.ARN, ARN);
    assert.deepEqual(
      replicated.ReplicationStatus.map((status) => status.Region),
      [elsewhere],
    );
  },
  async RemoveRegionsFromReplication() {
    const { SecretId } = await create({ SecretString: "s", AddReplicaRegions: [{ Region: elsewhere }] });
    const removed = await send("RemoveRegionsFromReplication", { SecretId, RemoveReplicaRegions: [elsewhere] });
    assert.deepEqual(removed.ReplicationStatus, []);
  },
  async StopReplicationToReplica() {
    const { ARN, SecretId } = await create({ SecretString: "s", AddReplicaRegions: [{ Region: elsewhere }] });
    const there = new sdk.SecretsManagerClient({ ...configuration, region: elsewhere });
    const stopped = await send("StopReplicationToReplica", { SecretId }, there);
    assert.equal(stopped.ARN, ARN.replace(process.env.AWS_REGION, elsewhere));
  },
};

// These need another account to be called with.
const betweenAccounts = ["AssociateCrossAccountReplica", "DisassociateCrossAccountReplica"];
const known = offered.filter((operation) => `${operation}Command` in sdk && !betweenAccounts.includes(operation));
assert.deepEqual(
  known.filter((operation) => !(operation in calls)),
  [],
  "offered, known and not called here",
);
for (const operation of known) {
  try {
    await calls[operation]();
  } catch (error) {
    throw new Error(`${operation}: ${error.message}`, { cause: error });
  }
}
console.log(known.join(" "));
