// The official `openai` package for Node, unmodified, drives the built binary. Run by
// `cargo xtask test --only sdk-node`. Only the base URL and the key differ from a program that talks to
// OpenAI itself.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import OpenAI, { toFile } from "openai";

import { Pintle, until } from "./harness.mjs";

// A valid IBAN of a bank's own documentation, not a customer's.
const IBAN = "DE89370400440532013000";
const PRIVATE_KEY = `-----BEGIN ${"PRIVATE"} KEY-----\n${"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n".repeat(8)}-----END ${"PRIVATE"} KEY-----`;
const WEATHER = {
  type: "function",
  function: {
    name: "weather",
    description: "The weather in a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

const pintle = new Pintle();
const counts = { passed: 0, failed: 0 };
let client;

const connect = (apiKey) => new OpenAI({ baseURL: `${pintle.url}/v1`, apiKey, maxRetries: 0, timeout: 20_000 });
const user = (content) => [{ role: "user", content }];
const ask = (content, more = {}) =>
  client.chat.completions.create({ model: "cloud-mini", messages: user(content), ...more });

async function joined(stream) {
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  return text;
}

// Counts beside the runner, for the summary line that `cargo xtask test` adds up.
function check(name, act) {
  test(name, { timeout: 60_000 }, async () => {
    try {
      await act();
      counts.passed += 1;
    } catch (error) {
      counts.failed += 1;
      throw error;
    }
  });
}

before(async () => {
  try {
    await pintle.start();
    client = connect(await pintle.useCase("sdk", "--transformation", "pseudonymise"));
  } catch (error) {
    counts.failed += 1;
    throw error;
  }
});

beforeEach(() => {
  pintle.upstream.requests = [];
});

after(async () => {
  if (counts.failed > 0 && pintle.home) console.log(`the server said:\n${(await pintle.log()).slice(-8000)}`);
  await pintle.stop();
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
});

check("models are listed", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes("cloud-mini"), ids.join(" "));
});

check("a plain answer carries its receipt", async () => {
  const { data, response } = await ask("Good morning").withResponse();
  assert.equal(data.choices[0].message.content, "You said: Good morning");
  assert.equal(data.usage.total_tokens, 19);
  assert.equal(response.headers.get("x-pintle-placement"), "cloud-mini");
  assert.equal(response.headers.get("x-pintle-zone"), "public_cloud");
  for (const name of ["request-id", "class", "cost"]) assert.ok(response.headers.get(`x-pintle-${name}`), name);
  assert.equal(pintle.upstream.last.body.model, "gpt-4o-mini");
  assert.ok(!JSON.stringify(pintle.upstream.last.headers).includes(client.apiKey), "the key stays on its side");
});

check("a stream with usage", async () => {
  const chunks = [];
  for await (const chunk of await ask("Tell me", { stream: true, stream_options: { include_usage: true } })) {
    chunks.push(chunk);
  }
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), "You said: Tell me");
  assert.equal(chunks.at(-1).usage.completion_tokens, 7);
  assert.deepEqual(chunks.at(-1).choices, []);
});

check("a stream without usage has no usage chunk", async () => {
  for await (const chunk of await ask("Tell me", { stream: true })) {
    assert.equal(chunk.choices.length, 1);
    assert.equal(chunk.usage ?? null, null);
  }
});

check("the stream helper assembles the answer", async () => {
  const stream = client.chat.completions.stream({ model: "cloud-mini", messages: user("Tell me") });
  assert.equal(await stream.finalContent(), "You said: Tell me");
});

check("tools make a round trip", async () => {
  const messages = user("How is the weather in Bonn?");
  const first = await client.chat.completions.create({ model: "cloud-mini", messages, tools: [WEATHER] });
  const [call] = first.choices[0].message.tool_calls;
  assert.equal(first.choices[0].finish_reason, "tool_calls");
  assert.deepEqual(JSON.parse(call.function.arguments), { city: "Bonn" });
  assert.deepEqual(pintle.upstream.last.body.tools, [WEATHER]);
  messages.push(first.choices[0].message, { role: "tool", tool_call_id: call.id, content: "12 degrees, rain" });
  const second = await client.chat.completions.create({ model: "cloud-mini", messages, tools: [WEATHER] });
  assert.equal(second.choices[0].message.content, "The tool said: 12 degrees, rain");
});

check("tool calls are streamed", async () => {
  let text = "";
  for await (const chunk of await ask("How is the weather?", { tools: [WEATHER], stream: true })) {
    for (const call of chunk.choices[0]?.delta.tool_calls ?? []) text += call.function.arguments ?? "";
  }
  assert.deepEqual(JSON.parse(text), { city: "Bonn" });
});

check("structured output, choices and log probabilities pass", async () => {
  const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  const response_format = { type: "json_schema", json_schema: { name: "city", schema } };
  const city = await ask("Which city?", { response_format });
  assert.deepEqual(JSON.parse(city.choices[0].message.content), { city: "Bonn" });
  assert.deepEqual(pintle.upstream.last.body.response_format, response_format);
  const twice = await ask("Twice", { n: 2, logprobs: true });
  assert.deepEqual(twice.choices.map((choice) => choice.index), [0, 1]);
  assert.equal(twice.choices[1].logprobs.content[0].logprob, -0.1);
});

check("errors are the SDK's own", async () => {
  await assert.rejects(connect("no-such-key").models.list(), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.code, "invalid_api_key");
    return true;
  });
  await assert.rejects(ask("Hello", { model: "no-such-model" }), OpenAI.NotFoundError);
  await assert.rejects(ask("FAIL 429"), OpenAI.RateLimitError);
  await assert.rejects(ask("FAIL 500"), OpenAI.InternalServerError);
});

check("a refusal explains itself and does not poison the conversation", async () => {
  await assert.rejects(ask(`Is this key still good?\n${PRIVATE_KEY}`), (error) => {
    assert.ok(error instanceof OpenAI.PermissionDeniedError);
    assert.equal(error.code, "policy_refused");
    assert.ok(error.message.length > 40, "guidance is a sentence");
    assert.ok(!JSON.stringify(error.error).includes("MIIEvQIBADANBgkqhkiG9w0"), "the value is never repeated");
    return true;
  });
  assert.deepEqual(pintle.upstream.requests, []);
  const answer = await ask("Then without it: how do I renew one?");
  assert.match(answer.choices[0].message.content, /how do I renew one/);
});

check("a cancelled stream ends upstream and is settled", async () => {
  const before = pintle.upstream.clientLeft;
  const own = connect(await pintle.useCase("sdk-cancel"));
  const stream = await own.chat.completions.create({ model: "cloud-mini", messages: user("COUNT"), stream: true });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content?.startsWith("3")) break;
  await until("the provider's notice", () => pintle.upstream.clientLeft > before);
  await until("the settlement", async () => (await pintle.usageOf("sdk-cancel"))?.requests === 1);
});

check("an aborted request ends upstream", async () => {
  const before = pintle.upstream.clientLeft;
  const abort = new AbortController();
  const stream = await client.chat.completions.create(
    { model: "cloud-mini", messages: user("COUNT"), stream: true },
    { signal: abort.signal },
  );
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) abort.abort();
  await until("the provider's notice", () => pintle.upstream.clientLeft > before);
});

check("an IBAN is restored and never leaves", async () => {
  const question = `Please transfer the rent to ${IBAN} today.`;
  const whole = await ask(question);
  assert.equal(whole.choices[0].message.content, `You said: ${question}`);
  assert.equal(await joined(await ask(question, { stream: true })), `You said: ${question}`);
  assert.equal(pintle.upstream.requests.length, 2);
  for (const { raw } of pintle.upstream.requests) {
    assert.ok(!raw.includes(IBAN) && raw.includes("IBAN"), "the provider sees a pseudonym in its place");
  }
});

check("embeddings come as numbers, whatever was asked for", async () => {
  for (const more of [{}, { encoding_format: "float" }]) {
    const { data, usage } = await client.embeddings.create({ model: "cloud-mini", input: ["Hello", "Hi"], ...more });
    assert.deepEqual(data.map(({ embedding }) => [...embedding]), [[5, 0.5], [2, 0.5]]);
    assert.equal(usage.prompt_tokens, 4);
    assert.equal(pintle.upstream.last.body.model, "gpt-4o-mini");
  }
  await client.embeddings.create({ model: "cloud-mini", input: `Transfer it to ${IBAN}` });
  assert.ok(!pintle.upstream.last.raw.includes(IBAN), "a pseudonym goes in its place");
});

check("completions say who serves them", async () => {
  await assert.rejects(client.completions.create({ model: "cloud-mini", prompt: "Once" }), (error) => {
    assert.equal(error.status, 400);
    assert.equal(error.code, "endpoint_unsupported");
    return true;
  });
});

check("an own model is tuned from a file to a candidate version", async () => {
  await pintle.ownModel();
  const own = connect(await pintle.useCase("sdk-tuning"));
  const chat = (n) => {
    const messages = [
      { role: "user", content: `Which shelf holds box ${n}?` },
      { role: "assistant", content: `Shelf ${n % 40}.` },
    ];
    return JSON.stringify({ messages });
  };
  const text = Array.from({ length: 24 }, (_, n) => chat(n)).join("\n");
  const file = await own.files.create({ file: await toFile(Buffer.from(text), "chats.jsonl"), purpose: "fine-tune" });
  assert.equal(file.filename, "chats.jsonl");
  assert.equal(await (await own.files.content(file.id)).text(), text);
  const wish = { model: "places@1", training_file: file.id, hyperparameters: { n_epochs: 2 } };
  const job = await own.fineTuning.jobs.create(wish);
  const ended = await until("the end of the job", async () => {
    const now = await own.fineTuning.jobs.retrieve(job.id);
    return ["succeeded", "failed"].includes(now.status) && now;
  });
  assert.equal(ended.fine_tuned_model, "places@2", JSON.stringify(ended));
  const steps = [];
  for await (const event of own.fineTuning.jobs.listEvents(job.id, { limit: 3 })) {
    if (event.type === "metrics") steps.push(event.data.step);
  }
  assert.deepEqual(steps, [...steps.keys()].map((n) => steps.length - n), "each step once, newest first");
  const [checkpoint] = (await own.fineTuning.jobs.checkpoints.list(job.id)).data;
  assert.equal(checkpoint.fine_tuned_model_checkpoint, "places@2");
  const long = await own.fineTuning.jobs.create({ ...wish, hyperparameters: { n_epochs: 50, batch_size: 1 } });
  assert.equal((await own.fineTuning.jobs.cancel(long.id)).status, "cancelled");
  assert.equal((await own.files.delete(file.id)).deleted, true);
  await assert.rejects(client.fineTuning.jobs.retrieve(job.id), OpenAI.NotFoundError);
  assert.ok((await pintle.usageOf("sdk-tuning")).cost_nanos > 0);
});
