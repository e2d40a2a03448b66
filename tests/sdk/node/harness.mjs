// Starts the built binary against a fake provider, for `openai.test.mjs`. The configuration, the use case
// and the key are made as an operator makes them: a `pintle.toml` and the command line.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { mkdir, mkdtemp, open, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

const PATIENCE_MS = 20_000;
// All tests together; a hang must not become a hung build.
const LIMIT_MS = 300_000;
const PROVIDER_KEY = "fake-openai-provider-key";
const CREATED_S = 1795478400;

// Asks until the answer is truthy, and gives it.
export async function until(what, probe) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; ) {
    const answer = await probe();
    if (answer) return answer;
    await delay(20);
  }
  throw new Error(`${what} did not happen within ${PATIENCE_MS} ms`);
}

// Chat completions as OpenAI answers them. It echoes what it was told, so that a test sees what reached
// it; `FAIL 503` in the last message makes it answer so, `COUNT` makes it stream until the client leaves.
export class Fake {
  requests = [];
  clientLeft = 0;
  #server = createServer((request, response) => this.#serve(request, response));

  async start() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.url = `http://127.0.0.1:${this.#server.address().port}/v1`;
  }

  stop() {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  get last() {
    return this.requests.at(-1);
  }

  async #serve(request, response) {
    request.setEncoding("utf8");
    let raw = "";
    for await (const part of request) raw += part;
    if (!["/v1/chat/completions", "/v1/embeddings"].includes(request.url) || request.headers.authorization !== `Bearer ${PROVIDER_KEY}`) {
      return this.#send(response, 401, { error: { message: "wrong path or key", type: "invalid_request_error" } });
    }
    const body = JSON.parse(raw);
    this.requests.push({ headers: request.headers, body, raw });
    if (request.url === "/v1/embeddings") return this.#embeddings(response, body);
    const said = body.messages.at(-1).content ?? "";
    const wish = /FAIL (\d{3})/.exec(said);
    if (wish) {
      const error = { message: "this provider was told to fail", type: "server_error", param: null, code: "told" };
      return this.#send(response, Number(wish[1]), { error });
    }
    return body.stream ? this.#stream(response, body, said) : this.#whole(response, body, said);
  }

  #send(response, status, body) {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  }

  // A vector of the text's length and a half, in the form that was asked for.
  #embeddings(response, body) {
    const data = [body.input].flat().map((text, index) => {
      const vector = Float32Array.of(text.length, 0.5);
      const embedding = body.encoding_format === "base64" ? Buffer.from(vector.buffer).toString("base64") : [...vector];
      return { object: "embedding", index, embedding };
    });
    const usage = { prompt_tokens: 4, total_tokens: 4 };
    this.#send(response, 200, { object: "list", data, model: body.model, usage });
  }

  #message(body, said) {
    if (body.messages.at(-1).role === "tool") return { role: "assistant", content: `The tool said: ${said}` };
    if (body.tools) {
      const call = { name: body.tools[0].function.name, arguments: JSON.stringify({ city: "Bonn" }) };
      return { role: "assistant", content: null, tool_calls: [{ id: "call_1", type: "function", function: call }] };
    }
    if (body.response_format?.type === "json_schema") return { role: "assistant", content: '{"city":"Bonn"}' };
    return { role: "assistant", content: `You said: ${said}` };
  }

  #envelope(object, body, choices) {
    return { id: "chatcmpl-fake", object, created: CREATED_S, model: body.model, choices };
  }

  #usage = { prompt_tokens: 12, completion_tokens: 7, total_tokens: 19 };

  #whole(response, body, said) {
    const message = this.#message(body, said);
    const finish_reason = message.tool_calls ? "tool_calls" : "stop";
    const logprobs = body.logprobs ? { content: [{ token: "You", logprob: -0.1, bytes: null, top_logprobs: [] }] } : null;
    const choices = Array.from({ length: body.n ?? 1 }, (_, index) => ({ index, message, logprobs, finish_reason }));
    this.#send(response, 200, { ...this.#envelope("chat.completion", body, choices), usage: this.#usage });
  }

  async #stream(response, body, said) {
    response.socket.setNoDelay(true);
    response.writeHead(200, { "content-type": "text/event-stream" });
    const chunk = (delta, finish_reason = null) => {
      const data = this.#envelope("chat.completion.chunk", body, [{ index: 0, delta, finish_reason }]);
      response.write(`data: ${JSON.stringify(data)}\n\n`);
    };
    chunk({ role: "assistant", content: "" });
    if (said.includes("COUNT")) {
      for (let n = 1; !response.destroyed; n += 1) {
        chunk({ content: `${n} ` });
        await delay(20);
      }
      this.clientLeft += 1;
      return;
    }
    const message = this.#message(body, said);
    for (const { id, type, function: call } of message.tool_calls ?? []) {
      chunk({ tool_calls: [{ index: 0, id, type, function: { name: call.name, arguments: "" } }] });
      for (const piece of call.arguments.match(/.{1,3}/gs)) {
        chunk({ tool_calls: [{ index: 0, function: { arguments: piece } }] });
      }
    }
    // Small pieces, so that whatever matters is cut somewhere.
    for (const piece of (message.content ?? "").match(/.{1,3}/gs) ?? []) chunk({ content: piece });
    chunk({}, message.tool_calls ? "tool_calls" : "stop");
    if (body.stream_options?.include_usage) {
      const data = { ...this.#envelope("chat.completion.chunk", body, []), usage: this.#usage };
      response.write(`data: ${JSON.stringify(data)}\n\n`);
    }
    response.end("data: [DONE]\n\n");
  }
}

async function freePort() {
  const server = createTcpServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

const configuration = (port, upstream) => `
[organisation]
name = "Example AG"
currency = "EUR"
time_zone = "Europe/Berlin"
monthly_budget = "5000"

[server]
listen = "127.0.0.1:${port}"

[limits]
retries = 1

[[placement]]
name = "cloud-mini"
provider = "openai"
base_url = "${upstream}"
api_key = { env = "FAKE_OPENAI_KEY" }
model = "gpt-4o-mini"
zone = "public_cloud"
region = "eu"
clearance = "internal"
price = { input = "0.15", output = "0.60", cached_input = "0.075" }

[models]
training_price_per_hour = "3.60"
`;

// As small as a model can be: a few documents, a few steps.
const RECIPE = `
name = "places"
[corpus]
sources = ["documents"]
held_out_percent = 20
[tokeniser]
vocab_size = 320
[network]
hidden_size = 32
intermediate_size = 48
layers = 2
heads = 4
key_value_heads = 2
context = 256
[base]
steps = 20
sequence_length = 48
sequences = 4
[evaluation]
samples = 2
[evaluation.gate]
contaminated_share_max = 1.0
`;

// The running server and the fake behind it.
export class Pintle {
  upstream = new Fake();
  #limit;

  async start() {
    this.binary = process.env.PINTLE_BIN;
    if (!this.binary) throw new Error("PINTLE_BIN must name the built binary");
    await this.upstream.start();
    this.home = await mkdtemp(join(tmpdir(), "pintle-sdk-"));
    const port = await freePort();
    this.url = `http://127.0.0.1:${port}`;
    await writeFile(join(this.home, "pintle.toml"), configuration(port, this.upstream.url));
    const log = await open(join(this.home, "server.log"), "w");
    const flags = ["--config", join(this.home, "pintle.toml"), "--data", join(this.home, "data"), "serve"];
    const env = { ...process.env, FAKE_OPENAI_KEY: PROVIDER_KEY };
    this.process = spawn(this.binary, flags, { cwd: this.home, env, stdio: ["ignore", log.fd, log.fd] });
    this.ended = once(this.process, "exit");
    // Whatever ends this process ends the server.
    process.on("exit", () => {
      this.process.kill("SIGKILL");
      rmSync(this.home, { recursive: true, force: true });
    });
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
    this.#limit = setTimeout(() => {
      console.log(`the tests did not end within ${LIMIT_MS} ms`);
      process.exit(1);
    }, LIMIT_MS);
    await log.close();
    await until("the server's readiness", async () => {
      if (this.process.exitCode !== null) throw new Error(`the server ended; it said:\n${await this.log()}`);
      return fetch(`${this.url}/readyz`).then((answer) => answer.ok, () => false);
    });
  }

  log() {
    return readFile(join(this.home, "server.log"), "utf8");
  }

  async stop() {
    clearTimeout(this.#limit);
    if (this.process) {
      this.process.kill("SIGTERM");
      const stubborn = setTimeout(() => this.process.kill("SIGKILL"), PATIENCE_MS);
      await this.ended;
      clearTimeout(stubborn);
    }
    this.upstream.stop();
  }

  // The command line, against the running server.
  async run(...args) {
    const options = { cwd: this.home, timeout: PATIENCE_MS };
    return (await promisify(execFile)(this.binary, ["--data", join(this.home, "data"), ...args], options)).stdout;
  }

  // A use case in production, for confidential data; gives a key of it.
  async useCase(name, ...more) {
    await this.run(
      "usecase", "create", "--title", `SDK test ${name}`,
      "--business-owner", "Jana Novak <jana.novak@example.com>",
      "--it-owner", "Tom Weber <tom.weber@example.com>", "--cost-centre", "4711",
      "--data-class", "confidential", "--stage", "production", "--budget", "100", ...more, name,
    );
    return JSON.parse(await this.run("key", "create", "--use-case", name, "--json")).key;
  }

  // An own model to begin with: `places@1`.
  async ownModel() {
    await mkdir(join(this.home, "documents"));
    for (const [index, place] of ["Harbour", "Bridge", "Garden", "Library", "Station", "Market"].entries()) {
      const text = `# ${place}\n\nThe ${place} opens early and is kept by number ${index}. People like it in summer and \
in winter, and many of them come back with their friends for the view.\n\n| Item | Value |\n|---|---|\n| Opening hours | \
${6 + index}:00 to 18:00 |\n| Floor | ${index} |\n`;
      await writeFile(join(this.home, "documents", `${place}.md`), text);
    }
    await writeFile(join(this.home, "recipe.toml"), RECIPE);
    await this.run("model", "train", "recipe.toml");
  }

  // The row of the usage report for one use case, or undefined.
  async usageOf(useCase) {
    const report = JSON.parse(await this.run("usage", "--by", "use-case", "--json"));
    const rows = Array.isArray(report) ? report : report.rows;
    return rows.find((row) => Object.values(row).includes(useCase));
  }
}
