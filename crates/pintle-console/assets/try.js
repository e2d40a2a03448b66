// The chat of "Try it": streams the answer, then asks the server what became of the request. Every card
// with facts or a refusal is drawn by the server; this script only puts it in its place.
"use strict";
(() => {
  const form = document.getElementById("try");
  const log = document.getElementById("log");
  if (!form || !log) return;
  const { use_case, model, message } = form.elements;
  const send = form.querySelector("button[type=submit]");
  const stop = document.getElementById("stop");
  const anew = document.getElementById("anew");
  let turns = [];
  let running = null;

  const bubble = (kind, title, text) => {
    const turn = document.createElement("div");
    turn.className = `turn ${kind}`;
    const head = document.createElement("h3");
    head.textContent = title;
    const body = document.createElement("p");
    body.textContent = text;
    turn.append(head, body);
    log.append(turn);
    turn.scrollIntoView({ block: "nearest" });
    return body;
  };

  const card = (html) => {
    log.insertAdjacentHTML("beforeend", html);
    log.lastElementChild?.scrollIntoView({ block: "nearest" });
  };

  // Calls `each` with the JSON of every event. Lines may be cut anywhere between two reads.
  const events = async (response, each) => {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r?\n/);
      rest = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.slice(5).trim();
        if (data && data !== "[DONE]") each(JSON.parse(data));
      }
    }
  };

  // The record is written when the stream has ended, a moment after its last byte.
  const facts = async (id) => {
    for (let wait = 50; wait < 2000; wait *= 2) {
      const response = await fetch(`/console/try/facts/${encodeURIComponent(id)}`);
      if (response.status !== 204) return card(await response.text());
      await new Promise((then) => setTimeout(then, wait));
    }
  };

  const ask = async (text, signal) => {
    const asked = [...turns, { role: "user", content: text }];
    const response = await fetch("/console/try/send", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ use_case: use_case.value, model: model.value, messages: asked }),
      signal,
    });
    const kind = response.headers.get("content-type") ?? "";
    if (!kind.startsWith("text/event-stream")) return card(await response.text());
    const id = response.headers.get("x-pintle-request-id");
    const place = response.headers.get("x-pintle-placement");
    const answer = bubble("model", place ? `Answer of ${place}` : "Answer", "");
    let broken = false;
    try {
      await events(response, (event) => {
        if (event.error) {
          broken = true;
          bubble("stop card", "The answer was cut off", event.error.message);
        }
        answer.textContent += event.choices?.[0]?.delta?.content ?? "";
      });
      // What was refused or cut off is left out, so that it does not spoil the turns that follow.
      if (!broken) turns = [...asked, { role: "assistant", content: answer.textContent }];
    } finally {
      if (id) await facts(id);
    }
  };

  const busy = (is) => {
    send.disabled = is;
    stop.hidden = !is;
    log.setAttribute("aria-busy", is);
    anew.hidden = is || !log.children.length;
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = message.value.trim();
    if (!text || running) return;
    document.getElementById("hint")?.remove();
    bubble("user", "You", text);
    running = new AbortController();
    busy(true);
    try {
      await ask(text, running.signal);
      message.value = "";
    } catch (error) {
      const stopped = error.name === "AbortError";
      bubble("stop card", stopped ? "Stopped" : "No answer", stopped ? "You stopped it." : "The connection broke off.");
    }
    running = null;
    busy(false);
    message.focus();
  });

  message.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  stop.addEventListener("click", () => running?.abort());
  const begin = () => {
    running?.abort();
    turns = [];
    log.replaceChildren();
    anew.hidden = true;
  };
  anew.addEventListener("click", () => {
    begin();
    message.focus();
  });
  // What was said to one use case is none of another's business.
  use_case.addEventListener("change", begin);
  for (const sample of form.querySelectorAll("[data-sample]")) {
    sample.addEventListener("click", (event) => {
      event.preventDefault();
      message.value = sample.dataset.sample;
      message.focus();
    });
  }
})();
