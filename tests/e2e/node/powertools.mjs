// Powertools for AWS Lambda (TypeScript): its parameters utility, which finds the server by the environment.
import assert from "node:assert/strict";
import { GetParameterError, ParameterNotFoundError, TransformParameterError } from "@aws-lambda-powertools/parameters/errors";
import { SecretsProvider, getSecret } from "@aws-lambda-powertools/parameters/secrets";
import { CreateSecretCommand, PutSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";

const client = new SecretsManagerClient({});
const create = (Name, value) => client.send(new CreateSecretCommand({ Name, ...value }));
const put = (SecretId, value) => client.send(new PutSecretValueCommand({ SecretId, ...value }));
const SecretId = "powertools/typescript";
const { VersionId } = await create(SecretId, { SecretString: '{"username":"app","password":"pä"}' });

assert.deepEqual(await getSecret(SecretId, { transform: "json", maxAge: 60 }), { username: "app", password: "pä" });
await put(SecretId, { SecretString: '{"password":"new"}' });
// Kept for a minute, unless somebody insists.
assert.deepEqual(await getSecret(SecretId, { transform: "json" }), { username: "app", password: "pä" });
assert.deepEqual(await getSecret(SecretId, { transform: "json", forceFetch: true }), { password: "new" });
for (const sdkOptions of [{ VersionId }, { VersionStage: "AWSPREVIOUS" }])
  assert.match(await getSecret(SecretId, { sdkOptions, forceFetch: true }), /"username":"app"/);

const provider = new SecretsProvider({ awsSdkV3Client: client });
await create(`${SecretId}/bytes`, { SecretBinary: Uint8Array.from([0, 255]) });
assert.deepEqual([...(await provider.get(`${SecretId}/bytes`))], [0, 255]);
await create(`${SecretId}/base64`, { SecretString: Buffer.from("päss").toString("base64") });
assert.equal(await provider.get(`${SecretId}/base64`, { transform: "binary" }), "päss");

await assert.rejects(provider.get("no/such"), (error) => {
  assert.ok(error instanceof GetParameterError);
  assert.equal(error.message, "Secrets Manager can't find the specified secret.");
  return true;
});
await assert.rejects(provider.get("no/such", { throwOnMissing: true }), ParameterNotFoundError);
await assert.rejects(provider.get(`${SecretId}/base64`, { transform: "json" }), TransformParameterError);
