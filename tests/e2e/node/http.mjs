// Node's fetch, its older http module with a keep-alive agent, and undici's own pool.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import https from "node:https";
import { Readable } from "node:stream";
import { Agent, Pool, setGlobalDispatcher, fetch } from "undici";

const UPLOAD = 10 << 20;

export async function overHTTP(url, ca) {
  const told = { answers: 0, connections: 0, events: 0, downloaded: 0, pooled: 0 };
  setGlobalDispatcher(new Agent({ connect: { ca } }));
  // The first finds the model asleep.
  await byFetch(url, told);
  await byModule(url, ca, told);
  await byPool(url, ca, told);
  return told;
}

async function byFetch(url, told) {
  for (let n = 0; n < 20; n++) {
    const read = await (await answered(fetch(`${url}/echo?n=${n}`), told)).json();
    assert.equal(read.method, "GET");
    assert.equal(read.query, `n=${n}`);
  }
  const body = randomBytes(UPLOAD);
  const sha256 = createHash("sha256").update(body).digest("hex");
  const whole = { method: "POST", body };
  const streamed = { method: "POST", body: Readable.from(pieces(body)), duplex: "half" };
  for (const request of [whole, streamed]) {
    const read = await (await answered(fetch(`${url}/echo`, request), told)).json();
    assert.equal(read.length, UPLOAD);
    assert.equal(read.sha256, sha256);
  }
  const stream = await answered(fetch(`${url}/events?count=7`), told);
  assert.equal(stream.headers.get("content-type").split(";")[0], "text/event-stream");
  let text = "";
  for await (const piece of stream.body.pipeThrough(new TextDecoderStream())) text += piece;
  told.events = text.split("\n").filter((line) => line.startsWith("data: ")).length;
  for (const path of ["/large?bytes=20000000", "/large?bytes=20000000&chunked=1"]) {
    told.downloaded += (await (await answered(fetch(url + path), told)).arrayBuffer()).byteLength;
  }
}

async function answered(promise, told) {
  const answer = await promise;
  assert.equal(answer.status, 200);
  told.answers++;
  return answer;
}

function* pieces(body) {
  for (let at = 0; at < body.length; at += 65536) yield body.subarray(at, at + 65536);
}

// Ten calls in a row over one kept connection; the last asks whether its body may come.
async function byModule(url, ca, told) {
  const module = url.startsWith("https") ? https : http;
  const agent = new module.Agent({ keepAlive: true, maxSockets: 1, ca });
  const sockets = new Set();
  for (let n = 0; n < 10; n++) {
    const headers = n === 9 ? { expect: "100-continue" } : {};
    const body = Buffer.alloc(1000 * n, "x");
    const read = await new Promise((resolve, reject) => {
      const request = module.request(`${url}/echo`, { agent, method: "POST", headers }, (answer) => {
        assert.equal(answer.statusCode, 200);
        const got = [];
        answer.on("data", (piece) => got.push(piece));
        answer.on("error", reject);
        answer.on("end", () => resolve(JSON.parse(Buffer.concat(got))));
      });
      request.on("socket", (socket) => sockets.add(socket));
      request.on("error", reject);
      if (n === 9) request.on("continue", () => request.end(body));
      else request.end(body);
    });
    assert.equal(read.length, 1000 * n);
    told.answers++;
  }
  told.connections = sockets.size;
  agent.destroy();
}

async function byPool(url, ca, told) {
  const { origin, pathname } = new URL(url);
  const pool = new Pool(origin, { connections: 4, pipelining: 4, connect: { ca } });
  const calls = Array.from({ length: 64 }, async (_, n) => {
    const { statusCode, body } = await pool.request({ path: `${pathname}/echo?n=${n}`, method: "GET" });
    assert.equal(statusCode, 200);
    assert.equal((await body.json()).query, `n=${n}`);
    told.pooled++;
  });
  await Promise.all(calls);
  await pool.close();
}
