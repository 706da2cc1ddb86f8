// Argument: the package that holds the client.
import assert from "node:assert/strict";
import { configuration, refusal } from "./client.mjs";

const [packageName] = process.argv.slice(2);
const sdk = await import(packageName);
const client = new sdk.SecretsManagerClient(configuration);
const send = (operation, input, to = client) => to.send(new sdk[`${operation}Command`](input));
const Name = `errors/${packageName.replaceAll("@", "")}`;
const SecretId = Name;
const { ARN, VersionId } = await send("CreateSecret", { Name, SecretString: "s" });
await send("CreateSecret", { Name: `${Name}/dead`, SecretString: "s" });
await send("DeleteSecret", { SecretId: `${Name}/dead` });
const hasClasses = typeof sdk.ResourceNotFoundException === "function";

// Errors of the model: by name, and by class since releases have classes.
const modelled = {
  ResourceNotFoundException: ["GetSecretValue", { SecretId: "no/such" }, "Secrets Manager can't find the specified secret."],
  InvalidRequestException: [
    "GetSecretValue",
    { SecretId: `${Name}/dead` },
    "You can't perform this operation on the secret because it was marked for deletion.",
  ],
  InvalidParameterException: [
    "GetRandomPassword",
    { PasswordLength: 3 },
    "Password length is too short based on the required types.",
  ],
  ResourceExistsException: [
    "CreateSecret",
    { Name, SecretString: "t" },
    `The operation failed because the secret ${Name} already exists.`,
  ],
  InvalidNextTokenException: ["ListSecrets", { NextToken: "made up" }, "Invalid token"],
};
for (const [name, [operation, input, message]] of Object.entries(modelled)) {
  const promise = send(operation, input);
  assert.deepEqual(await refusal(promise), { name, message, status: 400, fault: "client" });
  if (hasClasses) await assert.rejects(promise, (error) => error instanceof sdk[name] && error instanceof Error);
}

// Errors that no model has: a message all the same, and the service's own class for all.
const secret = { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: "A".repeat(40) };
const impostor = new sdk.SecretsManagerClient({ ...configuration, credentials: secret });
const unknown = { accessKeyId: `AKIA${"A".repeat(16)}`, secretAccessKey: "A".repeat(40) };
const stranger = new sdk.SecretsManagerClient({ ...configuration, credentials: unknown });
const unmodelled = {
  ValidationException: [
    () => send("PutSecretValue", { SecretId, SecretString: "a".repeat(65_537) }),
    "1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have length less than or equal to 65536",
  ],
  // The first release keeps what it derives from a secret key by the access key's id alone, and would sign with the right one.
  ...(hasClasses && {
    InvalidSignatureException: [
      () => send("GetSecretValue", { SecretId }, impostor),
      "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
    ],
  }),
  UnrecognizedClientException: [
    () => send("GetSecretValue", { SecretId }, stranger),
    "The security token included in the request is invalid.",
  ],
};
for (const [name, [call, message]] of Object.entries(unmodelled)) {
  const promise = call();
  assert.deepEqual(await refusal(promise), { name, message, status: 400, fault: "client" });
  if (hasClasses) await assert.rejects(promise, sdk.SecretsManagerServiceException);
}
assert.equal((await refusal(send("GetSecretValue", {}))).name, "ValidationException");

// Nothing changed by being refused.
assert.deepEqual((await send("DescribeSecret", { SecretId: ARN })).VersionIdsToStages, { [VersionId]: ["AWSCURRENT"] });

// A client that may try again does not, for what cannot get better.
const patient = new sdk.SecretsManagerClient({ ...configuration, maxAttempts: 5 });
const attempts = await send("GetSecretValue", { SecretId: "no/such" }, patient).catch((error) => error.$metadata.attempts);
assert.equal(attempts, 1);

// Whose clock is wrong is told so, takes the server's and is answered. The first release asked again without doing so.
if (hasClasses) {
  const { now } = Date;
  for (const wrong of [-600_000, 600_000]) {
    Date.now = () => now() + wrong;
    const confused = new sdk.SecretsManagerClient({ ...configuration, maxAttempts: 2 });
    const { $metadata } = await send("GetSecretValue", { SecretId }, confused).finally(() => (Date.now = now));
    assert.equal($metadata.attempts, 2);
  }
}
