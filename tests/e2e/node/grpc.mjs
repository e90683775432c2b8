// @grpc/grpc-js with messages that stay bytes.

import assert from "node:assert/strict";
import { Client, Metadata, compressionAlgorithms, credentials, status } from "@grpc/grpc-js";

const INFER = "/inference.GRPCInferenceService/ModelInfer";
const STREAM = "/inference.GRPCInferenceService/ModelStreamInfer";
const asIs = (bytes) => bytes;

export async function overGRPC(address, unary, counting, ca) {
  const secured = ca ? credentials.createSsl(ca) : credentials.createInsecure();
  const plain = new Client(address, secured);
  const packed = new Client(address, secured, {
    "grpc.default_compression_algorithm": compressionAlgorithms.gzip,
  });
  const told = { answers: [] };
  // The first finds the model asleep.
  for (const client of [plain, plain, packed]) {
    told.answers.push((await call(client, unary, 60_000)).toString("base64"));
  }
  told.unknown = await failure(call(plain, Buffer.from("\x0a\x06nobody"), 60_000));
  told.late = await failure(call(plain, counting, 200));
  told.streamed = await bothWays(plain, counting);
  plain.close();
  packed.close();
  return told;
}

function call(client, request, within) {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + within };
    const done = (error, answer) => (error ? reject(error) : resolve(answer));
    client.makeUnaryRequest(INFER, asIs, asIs, request, new Metadata(), options, done);
  });
}

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return status[error.code];
  }
  return "OK";
}

function bothWays(client, request) {
  return new Promise((resolve, reject) => {
    const got = [];
    const stream = client.makeBidiStreamRequest(STREAM, asIs, asIs, new Metadata(), {
      deadline: Date.now() + 60_000,
    });
    stream.on("data", (message) => got.push(message.toString("base64")));
    stream.on("error", reject);
    stream.on("status", (ended) => {
      assert.equal(ended.code, status.OK);
      resolve(got);
    });
    stream.write(request);
    stream.write(request);
    stream.end();
  });
}
