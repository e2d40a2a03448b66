"""Fake providers that behave as the real ones document, refusals included.

Both echo what they were told, so that a test sees what reached them, and both keep every request. What
they do beyond that depends on words in the last message:

    FAIL 503       answers with that status
    COUNT          streams numbers until the client goes away
"""

import base64
import json
import re
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OPENAI_KEY = "fake-openai-provider-key"
ANTHROPIC_KEY = "fake-anthropic-provider-key"
CREATED_S = 1795478400


class Refused(Exception):
    def __init__(self, status, kind, message):
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


class Fake:
    """A server on a free port of loopback, one thread per connection."""

    def __init__(self):
        self.requests = []
        self.client_left = threading.Event()
        self.stopping = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Without this, the last small packet of a stream waits for an acknowledgement.
            disable_nagle_algorithm = True

            def do_POST(self):
                fake.serve(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()

    def forget(self):
        """Forgets what earlier tests sent."""
        self.requests = []
        self.client_left.clear()

    @property
    def last(self):
        return self.requests[-1]["body"]

    def serve(self, handler):
        raw = handler.rfile.read(int(handler.headers["content-length"]))
        try:
            body = json.loads(raw)
            self.requests.append({"path": handler.path, "headers": dict(handler.headers), "body": body, "raw": raw})
            self.check(handler, body)
            wish = re.search(r"FAIL (\d{3})", self.said(body))
            if wish:
                raise self.failure(int(wish[1]))
            if body.get("stream"):
                self.send_stream(handler, self.stream(body))
            else:
                self.send_json(handler, 200, self.whole(body))
        except Refused as refused:
            self.send_json(handler, refused.status, self.error(refused))
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True
            self.client_left.set()

    def send_json(self, handler, status, body):
        raw = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    def send_stream(self, handler, events):
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for event in events:
            raw = event.encode()
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))
        handler.wfile.write(b"0\r\n\r\n")

    def numbers(self):
        n = 0
        while not self.stopping.is_set():
            n += 1
            yield f"{n} "
            time.sleep(0.02)


def pieces(text, size=3):
    """Small pieces, so that whatever matters is cut somewhere."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def tokens(value):
    return max(1, len(json.dumps(value)) // 4)


def is_embedding(body):
    return "input" in body


class OpenAiFake(Fake):
    """Chat completions and embeddings as OpenAI answers them."""

    def __init__(self, key):
        super().__init__()
        self.key = key

    def check(self, handler, body):
        paths = {"/v1/chat/completions": False, "/v1/embeddings": True}
        if paths.get(handler.path) is not is_embedding(body):
            raise Refused(404, "invalid_request_error", f"Unknown request URL: {handler.path}")
        if self.key and handler.headers.get("authorization") != f"Bearer {self.key}":
            raise Refused(401, "invalid_request_error", "Incorrect API key provided")
        if is_embedding(body):
            return
        if not isinstance(body.get("model"), str) or not body.get("messages"):
            raise Refused(400, "invalid_request_error", "model and messages are required")
        if body.get("stream_options") is not None and not body.get("stream"):
            raise Refused(400, "invalid_request_error", "'stream_options' is only allowed when streaming")
        known = set()
        for message in body["messages"]:
            known |= {call["id"] for call in message.get("tool_calls") or []}
            if message["role"] == "tool" and message.get("tool_call_id") not in known:
                raise Refused(400, "invalid_request_error", "a 'tool' message must follow its 'tool_calls'")

    def failure(self, status):
        kind = "rate_limit_exceeded" if status == 429 else "server_error"
        return Refused(status, kind, "this provider was told to fail")

    def error(self, refused):
        return {"error": {"message": refused.message, "type": refused.kind, "param": None, "code": refused.kind}}

    def said(self, body):
        if is_embedding(body):
            return str(body["input"])
        content = body["messages"][-1].get("content") or ""
        if isinstance(content, list):
            content = " ".join(part.get("text", "") for part in content)
        return content

    def message(self, body):
        """What the model says, and why it stops."""
        last = body["messages"][-1]
        if last["role"] == "tool":
            return {"role": "assistant", "content": f"The tool said: {self.said(body)}"}, "stop"
        if body.get("tools"):
            function = {"name": body["tools"][0]["function"]["name"], "arguments": json.dumps({"city": "Bonn"})}
            calls = [{"id": "call_1", "type": "function", "function": function}]
            return {"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"
        if (body.get("response_format") or {}).get("type") == "json_schema":
            return {"role": "assistant", "content": '{"city": "Bonn", "inhabitants": 330000}'}, "stop"
        return {"role": "assistant", "content": f"You said: {self.said(body)}"}, "stop"

    def usage(self, body, message):
        prompt, completion = tokens(body["messages"]), tokens(message)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }

    def envelope(self, kind, body, choices):
        return {
            "id": "chatcmpl-fake", "object": kind, "created": CREATED_S, "model": f"{body['model']}-2026-01-01",
            "system_fingerprint": "fp_fake", "choices": choices,
        }

    def logprobs(self, body, text):
        if not body.get("logprobs"):
            return None
        tops = [{"token": "You", "logprob": -0.1, "bytes": [89, 111, 117]}]
        return {"content": [{**tops[0], "top_logprobs": tops}], "refusal": None}

    def embeddings(self, body):
        """A vector of the text's length and a half, in the form that was asked for."""
        inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
        data = []
        for index, text in enumerate(inputs):
            vector = [float(len(text)), 0.5]
            if body.get("encoding_format") == "base64":
                vector = base64.b64encode(struct.pack("<2f", *vector)).decode()
            data.append({"object": "embedding", "index": index, "embedding": vector})
        used = tokens(inputs)
        usage = {"prompt_tokens": used, "total_tokens": used}
        return {"object": "list", "data": data, "model": f"{body['model']}-2026-01-01", "usage": usage}

    def whole(self, body):
        if is_embedding(body):
            return self.embeddings(body)
        message, reason = self.message(body)
        choices = [
            {"index": n, "message": message, "logprobs": self.logprobs(body, message), "finish_reason": reason}
            for n in range(body.get("n") or 1)
        ]
        return {**self.envelope("chat.completion", body, choices), "usage": self.usage(body, message)}

    def stream(self, body):
        def chunk(delta, reason=None):
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
            data = self.envelope("chat.completion.chunk", body, [choice])
            return f"data: {json.dumps(data)}\n\n"

        message, reason = self.message(body)
        yield chunk({"role": "assistant", "content": ""})
        if "COUNT" in self.said(body):
            for number in self.numbers():
                yield chunk({"content": number})
        for call in message.get("tool_calls") or []:
            function = {"name": call["function"]["name"], "arguments": ""}
            yield chunk({"tool_calls": [{"index": 0, "id": call["id"], "type": "function", "function": function}]})
            for piece in pieces(call["function"]["arguments"]):
                yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        for piece in pieces(message["content"] or ""):
            yield chunk({"content": piece})
        yield chunk({}, reason)
        if (body.get("stream_options") or {}).get("include_usage"):
            data = {**self.envelope("chat.completion.chunk", body, []), "usage": self.usage(body, message)}
            yield f"data: {json.dumps(data)}\n\n"
        yield "data: [DONE]\n\n"


class AnthropicFake(Fake):
    """Messages as Anthropic answers them; strict about what it accepts, as Anthropic is."""

    FIELDS = {
        "model", "messages", "max_tokens", "metadata", "service_tier", "stop_sequences", "stream", "system",
        "temperature", "thinking", "tool_choice", "tools", "top_k", "top_p",
    }

    def check(self, handler, body):
        def need(condition, message, status=400, kind="invalid_request_error"):
            if not condition:
                raise Refused(status, kind, message)

        need(handler.path.split("?")[0] == "/v1/messages", "Not Found", 404, "not_found_error")
        need(handler.headers.get("x-api-key") == ANTHROPIC_KEY, "invalid x-api-key", 401, "authentication_error")
        need(handler.headers.get("authorization") is None, "two ways to authenticate", 401, "authentication_error")
        need(handler.headers.get("anthropic-version") == "2023-06-01", "anthropic-version: header is required")
        need("application/json" in handler.headers.get("content-type", ""), "content-type must be JSON")
        extra = set(body) - self.FIELDS
        need(not extra, f"{sorted(extra)}: Extra inputs are not permitted")
        need(isinstance(body.get("model"), str), "model: Field required")
        need(isinstance(body.get("max_tokens"), int) and body["max_tokens"] > 0, "max_tokens: Field required")
        need(0 <= body.get("temperature", 0) <= 1, "temperature: range: 0..1")
        system = body.get("system", "")
        blocks = isinstance(system, list) and all(block["type"] == "text" for block in system)
        need(isinstance(system, str) or blocks, "system: must be text")
        for tool in body.get("tools", []):
            need(isinstance(tool.get("name"), str), "tools: name required")
            need(tool.get("input_schema", {}).get("type") == "object", "tools: input_schema required")
            need("function" not in tool, "tools: Extra inputs are not permitted")
        if "tool_choice" in body:
            need(body["tool_choice"].get("type") in {"auto", "any", "tool", "none"}, "tool_choice: unknown type")
        self.check_messages(need, body.get("messages"))

    def check_messages(self, need, messages):
        need(isinstance(messages, list) and messages, "messages: at least one message is required")
        asked = set()
        for n, message in enumerate(messages):
            expected = "assistant" if n % 2 else "user"
            need(message["role"] == expected, f"messages.{n}: roles must alternate, beginning with user")
            need(set(message) == {"role", "content"}, f"messages.{n}: Extra inputs are not permitted")
            blocks = self.blocks(message)
            need(blocks, f"messages.{n}: content must not be empty")
            answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
            need(answered == asked, f"messages.{n}: each tool_use needs its tool_result in the next message")
            asked = {block["id"] for block in blocks if block["type"] == "tool_use"}
            for block in blocks:
                kinds = {"user": {"text", "image", "document", "tool_result"}, "assistant": {"text", "tool_use", "thinking"}}
                need(block["type"] in kinds[expected], f"messages.{n}: no {block['type']} here")
                if block["type"] == "text":
                    need(block["text"].strip(), f"messages.{n}: text content blocks must be non-empty")
                if block["type"] == "tool_use":
                    need(isinstance(block["input"], dict), f"messages.{n}: input must be an object")

    @staticmethod
    def blocks(message):
        content = message["content"]
        return [{"type": "text", "text": content}] if isinstance(content, str) else content

    def failure(self, status):
        kinds = {429: "rate_limit_error", 529: "overloaded_error"}
        return Refused(status, kinds.get(status, "api_error"), "this provider was told to fail")

    def error(self, refused):
        return {"type": "error", "error": {"type": refused.kind, "message": refused.message}, "request_id": "req_fake"}

    def said(self, body):
        return " ".join(block["text"] for block in self.blocks(body["messages"][-1]) if block["type"] == "text")

    def content(self, body):
        last = self.blocks(body["messages"][-1])
        results = [block for block in last if block["type"] == "tool_result"]
        if results:
            inner = results[0].get("content", "")
            text = inner if isinstance(inner, str) else " ".join(part["text"] for part in inner)
            return [{"type": "text", "text": f"The tool said: {text}"}], "end_turn"
        if body.get("tools"):
            tool = {"type": "tool_use", "id": "toolu_1", "name": body["tools"][0]["name"], "input": {"city": "Bonn"}}
            return [{"type": "text", "text": "I look it up."}, tool], "tool_use"
        return [{"type": "text", "text": f"You said: {self.said(body)}"}], "end_turn"

    def envelope(self, body, content, reason, output_tokens):
        usage = {
            "input_tokens": tokens(body["messages"]), "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0, "output_tokens": output_tokens,
        }
        return {
            "id": "msg_fake", "type": "message", "role": "assistant", "model": body["model"], "content": content,
            "stop_reason": reason, "stop_sequence": None, "usage": usage,
        }

    def whole(self, body):
        content, reason = self.content(body)
        return self.envelope(body, content, reason, tokens(content))

    def stream(self, body):
        def event(data):
            return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n"

        def delta(index, delta):
            return event({"type": "content_block_delta", "index": index, "delta": delta})

        content, reason = self.content(body)
        yield event({"type": "message_start", "message": self.envelope(body, [], None, 1)})
        yield event({"type": "ping"})
        for index, block in enumerate(content):
            empty = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
            yield event({"type": "content_block_start", "index": index, "content_block": empty})
            if block["type"] == "text":
                parts = self.numbers() if "COUNT" in self.said(body) else pieces(block["text"])
                for piece in parts:
                    yield delta(index, {"type": "text_delta", "text": piece})
            else:
                for piece in pieces(json.dumps(block["input"])):
                    yield delta(index, {"type": "input_json_delta", "partial_json": piece})
            yield event({"type": "content_block_stop", "index": index})
        end = {"stop_reason": reason, "stop_sequence": None}
        yield event({"type": "message_delta", "delta": end, "usage": {"output_tokens": tokens(content)}})
        yield event({"type": "message_stop"})
