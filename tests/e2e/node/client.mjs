// Clients of the AWS SDK for JavaScript, and what the tests check with. Everything else comes from the environment.
import assert from "node:assert/strict";

// Not asked to try again: a test wants the first answer. The first release does not read the endpoint by itself.
export const configuration = { endpoint: process.env.AWS_ENDPOINT_URL, maxAttempts: 1 };

/** Make a call that must be refused, and return the error's name, message, status and fault. */
export async function refusal(promise) {
  const error = await promise.then(
    () => assert.fail("was not refused"),
    (thrown) => thrown,
  );
  assert.ok(error.$metadata?.requestId, `no request id: ${error}`);
  return {
    name: error.name,
    message: error.message,
    status: error.$metadata.httpStatusCode,
    fault: error.$fault,
  };
}
