// Asks a gateway as Node programs do, and tells what it got in one line of JSON.
//
//     node client.mjs http URL [CA]
//     node client.mjs grpc ADDRESS UNARY STREAM [CA]
//
// URL is that of a model of tests/e2e/model.py. UNARY and STREAM are files with a ModelInferRequest:
// one for an ordinary model, one for a decoupled model that still sleeps. CA is a file too.

import { readFileSync } from "node:fs";
import { overGRPC } from "./grpc.mjs";
import { overHTTP } from "./http.mjs";

const [how, where, ...files] = process.argv.slice(2);
const contents = files.map((file) => readFileSync(file));
const told =
  how === "http"
    ? await overHTTP(where, contents[0])
    : await overGRPC(where, contents[0], contents[1], contents[2]);
console.log(JSON.stringify(told));
