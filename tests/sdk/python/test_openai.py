"""The official `openai` package for Python, unmodified, drives the built binary.

Run by `cargo xtask test --only sdk-python`. Only the base URL and the key differ from a program that
talks to OpenAI itself.
"""

import asyncio
import json
import re
import sys

import openai
from openai import AsyncOpenAI, OpenAI

import harness
from fakes import ANTHROPIC_KEY, OPENAI_KEY

#: A valid IBAN of a bank's own documentation, not a customer's.
IBAN = "DE89370400440532013000"
#: Built from parts: no secret, and none that a scanner of this repository should find.
PRIVATE_KEY = "-----BEGIN " + "PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 8 + "-----END " + "PRIVATE KEY-----"
CODE = re.compile(r"[a-z][a-z0-9_]+")

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CITY = {
    "type": "json_schema",
    "json_schema": {
        "name": "city",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "inhabitants": {"type": "integer"}},
            "required": ["city", "inhabitants"],
            "additionalProperties": False,
        },
    },
}

pintle = harness.Pintle()
client = None


def connect(key, **options):
    return OpenAI(base_url=f"{pintle.url}/v1", api_key=key, timeout=harness.PATIENCE_S, max_retries=0, **options)


def user(text):
    return [{"role": "user", "content": text}]


def ask(text, model="cloud-mini", **options):
    return client.chat.completions.create(model=model, messages=user(text), **options)


def refusal(kind, act):
    """The exception of this kind that `act` raises."""
    try:
        act()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, got an answer")


def joined(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def test_models_are_listed():
    ids = {model.id for model in client.models.list()}
    assert {"cloud-mini", "claude", "house"} <= ids, ids


def test_a_plain_answer_carries_its_receipt():
    raw = client.chat.completions.with_raw_response.create(model="cloud-mini", messages=user("Good morning"))
    answer = raw.parse()
    assert answer.choices[0].message.content == "You said: Good morning"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0
    assert raw.headers["x-pintle-placement"] == "cloud-mini"
    assert raw.headers["x-pintle-zone"] == "public_cloud"
    for name in ("request-id", "class", "cost"):
        assert raw.headers.get(f"x-pintle-{name}"), name
    assert pintle.openai.last["model"] == "gpt-4o-mini", "the provider is told its own model name"


def test_keys_stay_on_their_side():
    ask("Hello")
    request = pintle.openai.requests[-1]
    headers = json.dumps(request["headers"])
    assert OPENAI_KEY in headers and client.api_key not in headers
    assert client.api_key.encode() not in request["raw"]


def test_auto_lets_pintle_place_it():
    assert ask("Good morning", model="auto").choices[0].message.content == "You said: Good morning"


def test_a_stream_with_usage():
    chunks = list(ask("Tell me something", stream=True, stream_options={"include_usage": True}))
    assert joined(chunks) == "You said: Tell me something"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert reasons[-1] == "stop" and set(reasons[:-1]) == {None}


def test_a_stream_without_usage_has_no_usage_chunk():
    chunks = list(ask("Tell me something", stream=True))
    assert joined(chunks) == "You said: Tell me something"
    assert all(chunk.choices and chunk.usage is None for chunk in chunks), "the client did not ask for usage"


def tools_round_trip(model):
    messages = user("How is the weather in Bonn?")
    answer = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER], max_tokens=200)
    assert answer.choices[0].finish_reason == "tool_calls"
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "weather" and json.loads(call.function.arguments) == {"city": "Bonn"}
    messages += [answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "12 degrees, rain"}]
    answer = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER], max_tokens=200)
    assert answer.choices[0].message.content == "The tool said: 12 degrees, rain"


def tools_streamed(model):
    chunks = list(ask("How is the weather in Bonn?", model=model, tools=[WEATHER], max_tokens=200, stream=True))
    calls = [call for chunk in chunks if chunk.choices for call in chunk.choices[0].delta.tool_calls or []]
    assert calls[0].id and calls[0].function.name == "weather"
    assert json.loads("".join(call.function.arguments or "" for call in calls)) == {"city": "Bonn"}
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "tool_calls"


def test_tools_round_trip():
    tools_round_trip("cloud-mini")
    assert pintle.openai.last["tools"] == [WEATHER], "the schema arrives as it was sent"


def test_tools_streamed():
    tools_streamed("cloud-mini")


def test_structured_output():
    answer = ask("Which city?", response_format=CITY)
    assert json.loads(answer.choices[0].message.content) == {"city": "Bonn", "inhabitants": 330000}
    assert pintle.openai.last["response_format"] == CITY


def test_two_choices():
    answer = ask("Twice, please", n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert {choice.message.content for choice in answer.choices} == {"You said: Twice, please"}


def test_logprobs_pass_through():
    answer = ask("Hello", logprobs=True, top_logprobs=1)
    assert answer.choices[0].logprobs.content[0].top_logprobs[0].logprob == -0.1
    assert pintle.openai.last["top_logprobs"] == 1


def test_unknown_fields_are_preserved():
    ask("Hello", extra_body={"seed_of_tomorrow": {"deep": [1, 2.5, "x"]}})
    assert pintle.openai.last["seed_of_tomorrow"] == {"deep": [1, 2.5, "x"]}


def test_a_wrong_key_is_401():
    for key in ("no-such-key", client.api_key[:-1] + ("a" if client.api_key[-1] != "a" else "b")):
        error = refusal(openai.AuthenticationError, lambda key=key: connect(key).models.list())
        assert error.code == "invalid_api_key", error.code
        assert key not in str(error)
    assert pintle.openai.requests == []


def test_an_unknown_model_is_404():
    error = refusal(openai.NotFoundError, lambda: ask("Hello", model="no-such-model"))
    assert error.code == "model_not_found" and "no-such-model" in error.message


def test_a_refusal_is_403_with_guidance_and_does_not_poison_the_conversation():
    messages = user(f"Is this key still good?\n{PRIVATE_KEY}")
    act = lambda: client.chat.completions.create(model="cloud-mini", messages=messages)
    error = refusal(openai.PermissionDeniedError, act)
    assert error.code == "policy_refused", error.code
    assert len(error.message) > 40, "guidance is a sentence"
    assert "MIIEvQIBADANBgkqhkiG9w0" not in json.dumps(error.body), "the value is never repeated"
    assert pintle.openai.requests == [] and pintle.anthropic.requests == []
    messages = user("Then without the key: how do I renew one?")
    answer = client.chat.completions.create(model="cloud-mini", messages=messages)
    assert answer.choices[0].message.content.endswith("how do I renew one?")


def test_a_busy_provider_is_429():
    error = refusal(openai.RateLimitError, lambda: ask("FAIL 429"))
    assert error.code == "provider_rate_limited", error.code
    assert len(pintle.openai.requests) >= 1


def test_a_broken_provider_is_a_5xx():
    error = refusal(openai.InternalServerError, lambda: ask("FAIL 500"))
    assert error.status_code >= 500 and CODE.fullmatch(error.code), error.code
    assert "told to fail" not in str(error), "a provider's own words stay inside"


def test_an_empty_budget_says_so_and_is_not_retried():
    key = pintle.use_case("sdk-poor", budget="0.000001")
    poor = OpenAI(base_url=f"{pintle.url}/v1", api_key=key, timeout=harness.PATIENCE_S, max_retries=3)
    act = lambda: poor.chat.completions.create(model="cloud-mini", messages=user("Hello"), max_tokens=100)
    error = refusal(openai.RateLimitError, act)
    assert error.code == "budget_exceeded", error.code
    assert error.response.headers["x-should-retry"] == "false"
    assert pintle.openai.requests == []


def test_a_cancelled_stream_ends_upstream_and_is_settled():
    key = pintle.use_case("sdk-cancel")
    stream = connect(key).chat.completions.create(model="cloud-mini", messages=user("COUNT"), stream=True)
    seen = 0
    for chunk in stream:
        seen += bool(chunk.choices and chunk.choices[0].delta.content)
        if seen == 3:
            break
    stream.close()
    assert pintle.openai.client_left.wait(harness.PATIENCE_S), "the provider was left counting"
    harness.until("the settlement", lambda: (pintle.usage_of("sdk-cancel") or {}).get("requests") == 1)


def test_the_async_client():
    async def many():
        async with AsyncOpenAI(base_url=f"{pintle.url}/v1", api_key=client.api_key, max_retries=0) as asynchronous:
            ask = asynchronous.chat.completions.create
            whole = [ask(model="cloud-mini", messages=user(f"Question {n}")) for n in range(8)]
            answers = [answer.choices[0].message.content for answer in await asyncio.gather(*whole)]
            text = ""
            async for chunk in await ask(model="cloud-mini", messages=user("streamed"), stream=True):
                text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            return answers, text

    answers, text = asyncio.run(many())
    assert answers == [f"You said: Question {n}" for n in range(8)]
    assert text == "You said: streamed"


def iban_never_leaves(fake, model, **options):
    question = f"Please transfer the rent to {IBAN} today."
    if options.get("stream"):
        answer = joined(ask(question, model=model, **options))
    else:
        answer = ask(question, model=model, **options).choices[0].message.content
    assert answer == f"You said: {question}", answer
    assert len(fake.requests) == 1 and IBAN.encode() not in fake.requests[0]["raw"]
    assert b"IBAN" in fake.requests[0]["raw"], "the provider sees a pseudonym in its place"


def test_an_iban_is_restored_and_never_leaves():
    iban_never_leaves(pintle.openai, "cloud-mini")


def test_an_iban_is_restored_in_a_stream():
    iban_never_leaves(pintle.openai, "cloud-mini", stream=True)


def test_an_iban_is_restored_from_anthropic():
    iban_never_leaves(pintle.anthropic, "claude", max_tokens=200)
    pintle.anthropic.forget()
    iban_never_leaves(pintle.anthropic, "claude", max_tokens=200, stream=True)


def test_content_on_premises_stays_as_it_is():
    answer = ask(f"Check {IBAN}", model="house")
    assert answer.choices[0].message.content == f"You said: Check {IBAN}"
    assert IBAN.encode() in pintle.house.requests[0]["raw"]
    assert pintle.openai.requests == [] and pintle.anthropic.requests == []


def test_anthropic_whole():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One"},
        {"role": "user", "content": "Two"},
    ]
    answer = client.chat.completions.create(
        model="claude", messages=messages, temperature=0.5, stop=["END"], user="someone"
    )
    assert answer.object == "chat.completion" and answer.choices[0].finish_reason == "stop"
    assert "One" in answer.choices[0].message.content and "Two" in answer.choices[0].message.content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    sent = pintle.anthropic.last
    assert sent["model"] == "claude-test" and "Be brief." in json.dumps(sent["system"])
    assert sent["stop_sequences"] == ["END"] and sent["temperature"] == 0.5 and sent["max_tokens"] > 0
    assert pintle.anthropic.requests[-1]["headers"]["x-api-key"] == ANTHROPIC_KEY


def test_anthropic_streamed():
    chunks = list(ask("Tell me", model="claude", stream=True, stream_options={"include_usage": True}))
    assert joined(chunks) == "You said: Tell me"
    assert chunks[-1].usage.prompt_tokens > 0 and chunks[-1].usage.completion_tokens > 0
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


def test_anthropic_tools_round_trip():
    tools_round_trip("claude")
    assert pintle.anthropic.last["tools"][0]["input_schema"] == WEATHER["function"]["parameters"]


def test_anthropic_tools_streamed():
    tools_streamed("claude")


def test_anthropic_errors_arrive_in_the_clients_dialect():
    error = refusal(openai.RateLimitError, lambda: ask("FAIL 429", model="claude"))
    assert error.code == "provider_rate_limited", error.code
    error = refusal(openai.InternalServerError, lambda: ask("FAIL 529", model="claude"))
    assert CODE.fullmatch(error.code), error.code


def test_anthropic_cancelled():
    stream = ask("COUNT", model="claude", stream=True)
    next(chunk for chunk in stream if chunk.choices and chunk.choices[0].delta.content)
    stream.close()
    assert pintle.anthropic.client_left.wait(harness.PATIENCE_S), "the provider was left counting"


def test_embeddings():
    # The SDK asks for Base64 unless told otherwise, and gives numbers either way.
    for options in ({}, {"encoding_format": "float"}, {"encoding_format": "float", "dimensions": 2}):
        answer = client.embeddings.create(model="cloud-mini", input=["Good morning", "Hello"], **options)
        assert [item.embedding for item in answer.data] == [[12.0, 0.5], [5.0, 0.5]], answer.data
        assert answer.usage.prompt_tokens > 0
        sent = pintle.openai.last
        assert sent["model"] == "gpt-4o-mini" and sent.get("dimensions") == options.get("dimensions")


def test_embeddings_never_see_an_iban():
    client.embeddings.create(model="cloud-mini", input=f"Transfer the rent to {IBAN}")
    assert IBAN.encode() not in pintle.openai.requests[0]["raw"] and b"IBAN" in pintle.openai.requests[0]["raw"]
    error = refusal(openai.PermissionDeniedError, lambda: client.embeddings.create(model="cloud-mini", input=PRIVATE_KEY))
    assert error.code == "policy_refused" and len(pintle.openai.requests) == 1
    error = refusal(openai.BadRequestError, lambda: client.embeddings.create(model="auto", input="Hello"))
    assert error.code == "invalid_field" and error.param == "model"


def test_completions_say_who_serves_them():
    error = refusal(openai.BadRequestError, lambda: client.completions.create(model="cloud-mini", prompt="Once"))
    assert error.code == "endpoint_unsupported" and error.param == "model", error.body


def test_completions_of_the_demonstrations_own_model():
    with harness.Demo(pintle.binary) as demo:
        own = OpenAI(base_url=f"{demo.url}/v1", api_key=demo.key, timeout=60, max_retries=0)
        ask = lambda **options: own.completions.create(model="onprem-assistant", prompt="Travel is booked", **options)
        owner = next(model.owned_by for model in own.models.list() if model.id == "onprem-assistant")
        if owner != "embedded":
            # A demonstration without a trained model: nobody serves completions, and it says so.
            assert refusal(openai.BadRequestError, ask).code == "endpoint_unsupported"
            return
        fields = {"max_tokens": 8, "temperature": 0, "seed": 1}
        whole = ask(logprobs=2, echo=True, **fields)
        text, logprobs = whole.choices[0].text, whole.choices[0].logprobs
        assert text.startswith("Travel is booked") and whole.usage.completion_tokens > 0
        assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.text_offset)
        assert logprobs.token_logprobs[0] is None and logprobs.token_logprobs[1] < 0
        streamed = "".join(chunk.choices[0].text for chunk in ask(stream=True, echo=True, **fields) if chunk.choices)
        assert streamed == text, (streamed, text)
        two = own.completions.create(model="onprem-assistant", prompt=["Travel is", [40, 41]], n=2, **fields)
        assert [choice.index for choice in two.choices] == [0, 1, 2, 3]


def main():
    global client
    harness.guard_against_hangs(pintle)
    with pintle:
        client = connect(pintle.use_case("sdk", "--transformation", "pseudonymise"))
        tests = [value for name, value in globals().items() if name.startswith("test_")]
        return harness.run(tests, pintle)


if __name__ == "__main__":
    sys.exit(main())
