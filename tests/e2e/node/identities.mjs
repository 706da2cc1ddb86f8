import assert from "node:assert/strict";
import {
  CreateRoleCommand,
  GetRoleCommand,
  IAMClient,
  ListRolesCommand,
  NoSuchEntityException,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import { GetSecretValueCommand, ListSecretsCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { configuration, refusal } from "./client.mjs";

const iam = new IAMClient(configuration);
const sts = new STSClient(configuration);

const identity = await sts.send(new GetCallerIdentityCommand({}));
assert.equal(identity.Arn, `arn:aws:iam::${identity.Account}:user/administrator`);

const document = (...statements) => JSON.stringify({ Version: "2012-10-17", Statement: statements });
const RoleName = "node-reader";
const trust = document({ Effect: "Allow", Principal: { AWS: identity.Account }, Action: "sts:AssumeRole" });
await iam.send(new CreateRoleCommand({ RoleName, AssumeRolePolicyDocument: trust, Description: "a & b < c" }));
// What CreateRole answers does not have the description, as recorded in 2026.
const { Role } = await iam.send(new GetRoleCommand({ RoleName }));
assert.equal(Role.Description, "a & b < c");
await iam.send(
  new PutRolePolicyCommand({
    RoleName,
    PolicyName: "list",
    PolicyDocument: document({ Effect: "Allow", Action: "secretsmanager:ListSecrets", Resource: "*" }),
  }),
);
const found = await iam.send(new GetRoleCommand({ RoleName }));
assert.equal(decodeURIComponent(found.Role.AssumeRolePolicyDocument), trust);
assert.ok((await iam.send(new ListRolesCommand({}))).Roles.some((role) => role.Arn === Role.Arn));
await assert.rejects(iam.send(new GetRoleCommand({ RoleName: "nobody" })), NoSuchEntityException);

const { Credentials } = await sts.send(new AssumeRoleCommand({ RoleArn: Role.Arn, RoleSessionName: "node" }));
assert.ok(Credentials.Expiration > new Date());
const session = new SecretsManagerClient({
  ...configuration,
  credentials: {
    accessKeyId: Credentials.AccessKeyId,
    secretAccessKey: Credentials.SecretAccessKey,
    sessionToken: Credentials.SessionToken,
  },
});
assert.ok((await session.send(new ListSecretsCommand({}))).SecretList);
const refused = await refusal(session.send(new GetSecretValueCommand({ SecretId: "no/such" })));
assert.equal(refused.name, "AccessDeniedException");
assert.match(refused.message, /assumed-role\/node-reader\/node is not authorized to perform: secretsmanager:GetSecretValue/);
