"""The official `openai` package for Python, unmodified, tunes an own model through the built binary.

Run by `cargo xtask test --only sdk-python`, like `test_openai.py`. The model to begin with is a tiny one that
`pintle model train` makes of a few documents.
"""

import json
import sys
import time

import openai
from openai import OpenAI

import harness

#: The number that every payment provider gives to test with.
CARD = "4111 1111 1111 1111"
PRICE = '\n[models]\ntraining_price_per_hour = "3.60"\n'
RECIPE = """\
name = "places"
licences = ["own text"]
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
warm_up_steps = 4
[tune]
epochs = 1
[tune.generate]
variants = 2
[evaluation]
samples = 2
[evaluation.gate]
contaminated_share_max = 1.0
"""

pintle = harness.Pintle()
client = None
others = None


def connect(key):
    return OpenAI(base_url=f"{pintle.url}/v1", api_key=key, timeout=harness.PATIENCE_S, max_retries=0)


def chat(question, answer):
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns}) + "\n"


def chats(count):
    return "".join(chat(f"Which shelf holds box {n}?", f"Shelf {n * 7 % 40}.") for n in range(count)).encode()


def upload(content, name="chats.jsonl"):
    return client.files.create(file=(name, content), purpose="fine-tune")


def order(file, **options):
    return client.fine_tuning.jobs.create(model="places@1", training_file=file.id, seed=5, **options)


def until_over(job):
    def is_over():
        now = client.fine_tuning.jobs.retrieve(job.id)
        return now if now.status in ("succeeded", "failed", "cancelled") else None

    return harness.until("the end of the job", is_over)


def refusal(kind, act):
    """The exception of this kind that `act` raises."""
    try:
        act()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, got an answer")


def test_a_file_is_uploaded_listed_read_and_deleted():
    content = chats(3)
    file = client.files.create(
        file=("three.jsonl", content), purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert (file.object, file.bytes, file.filename, file.purpose) == ("file", len(content), "three.jsonl", "fine-tune")
    assert file.expires_at == file.created_at + 3600
    assert client.files.wait_for_processing(file.id).status == "processed"
    assert client.files.content(file.id).content == content
    assert file.id in [one.id for one in client.files.list(purpose="fine-tune", limit=1)], "every page is read"
    assert refusal(openai.NotFoundError, lambda: others.files.retrieve(file.id)).code == "not_found"
    assert client.files.delete(file.id).deleted
    assert refusal(openai.NotFoundError, lambda: client.files.content(file.id)).code == "not_found"


def test_a_bad_file_says_which_line():
    error = refusal(openai.BadRequestError, lambda: upload(chats(2) + b'{"messages": []}\n'))
    assert error.code == "invalid_training_file" and "Line 3" in error.message, error.message
    error = refusal(openai.BadRequestError, lambda: client.files.create(file=("a.txt", b"x"), purpose="assistants"))
    assert error.code == "unsupported" and error.param == "purpose"
    content = chats(1) + chat(f"Pay {CARD}", "Done.").encode()
    error = refusal(openai.PermissionDeniedError, lambda: upload(content))
    assert error.code == "policy_refused" and error.body["findings"][0]["place"] == "line 2"
    assert CARD not in json.dumps(error.body)


def test_a_job_from_files_to_a_candidate_version():
    training, validation = upload(chats(30)), upload(chats(4), "valid.jsonl")
    job = order(
        training,
        validation_file=validation.id,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": 5}}},
        metadata={"ticket": "4711"},
    )
    assert job.object == "fine_tuning.job" and job.id.startswith("ftjob-") and job.fine_tuned_model is None
    assert (job.model, job.training_file, job.validation_file) == ("places@1", training.id, validation.id)
    assert job.hyperparameters.n_epochs == 3 and job.method.supervised.hyperparameters.batch_size == 5
    job = until_over(job)
    assert job.status == "succeeded", job
    assert job.fine_tuned_model == "places@2" and job.seed == 5 and job.metadata == {"ticket": "4711"}
    assert job.trained_tokens > 500 and job.finished_at >= job.created_at and job.error is None
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=5))
    metrics = [event for event in events if event.type == "metrics"]
    assert len(events) > 18 and {event.object for event in events} == {"fine_tuning.job.event"}
    assert sorted(event.data["step"] for event in metrics) == list(range(1, 19)), "each step once, page by page"
    assert sum(event.data["valid_loss"] is not None for event in metrics) == 3
    (checkpoint,) = client.fine_tuning.jobs.checkpoints.list(job.id)
    assert checkpoint.fine_tuned_model_checkpoint == "places@2" and checkpoint.step_number == 18
    assert checkpoint.metrics.full_valid_loss > 0
    assert client.files.retrieve(job.result_files[0]).purpose == "fine-tune-results"
    table = client.files.content(job.result_files[0]).text.splitlines()
    assert table[0] == "step,train_loss,learning_rate,valid_loss" and len(table) == 19
    assert job.id in [one.id for one in client.fine_tuning.jobs.list(limit=1)]
    assert refusal(openai.NotFoundError, lambda: others.fine_tuning.jobs.retrieve(job.id)).code == "not_found"
    version = json.loads(pintle.run("model", "show", "places@2", "--json"))
    assert version["base"] == "places@1" and version["energy"]["milliwatt_hours"] >= 0
    own = job.model_extra["pintle"]
    assert own["cost"].endswith(" EUR") and own["energy"]["method"] in ("measured", "estimated")
    row = harness.until("the entry", lambda: pintle.usage_of("sdk"))
    assert row["cost_nanos"] > 0 and row["input_tokens"] == job.trained_tokens


def test_a_job_is_cancelled():
    file = upload(chats(40))
    job = order(file, hyperparameters={"n_epochs": 50, "batch_size": 1})
    harness.until(
        "a step", lambda: any(event.type == "metrics" for event in client.fine_tuning.jobs.list_events(job.id).data)
    )
    assert refusal(openai.ConflictError, lambda: client.files.delete(file.id)).code == "conflict"
    paused = client.fine_tuning.jobs.pause(job.id)
    assert paused.status == "paused", paused.status
    assert client.fine_tuning.jobs.resume(job.id).status in ("queued", "validating_files", "running")
    begun = time.monotonic()
    ended = client.fine_tuning.jobs.cancel(job.id)
    assert ended.status == "cancelled" and time.monotonic() - begun < 3
    assert ended.fine_tuned_model is None and ended.result_files == []
    assert client.files.delete(file.id).deleted


def test_what_cannot_be_done_is_refused():
    file = upload(chats(3))
    error = refusal(openai.BadRequestError, lambda: order(file, method={"type": "dpo"}))
    assert error.code == "unsupported" and error.param == "method.type"
    unknown = lambda: client.fine_tuning.jobs.create(model="gpt-4o-mini", training_file=file.id)
    assert refusal(openai.NotFoundError, unknown).code == "model_not_found"
    pintle.run("budget", "set", "use_case:sdk", "0.001")
    error = refusal(openai.RateLimitError, lambda: order(file))
    assert error.code == "budget_exceeded" and error.type == "insufficient_quota"
    pintle.run("budget", "set", "use_case:sdk", "100")


def own_model():
    """A tiny model of a few documents: `places@1`."""
    folder = pintle.home / "documents"
    folder.mkdir()
    for index, place in enumerate(["Harbour", "Bridge", "Garden", "Library", "Station", "Market"]):
        text = f"# {place}\n\nThe {place} opens early and is kept by number {index}. People like it in summer and in "
        text += "winter, and many of them come back with their friends for the view.\n\n| Item | Value |\n|---|---|\n"
        (folder / f"{place}.md").write_text(text + f"| Opening hours | {6 + index}:00 to 18:00 |\n| Floor | {index} |\n")
    (pintle.home / "recipe.toml").write_text(RECIPE)
    pintle.run("model", "train", "recipe.toml")


def main():
    global client, others
    harness.guard_against_hangs(pintle)
    pintle.config.write_text(pintle.config.read_text() + PRICE)
    with pintle:
        own_model()
        client = connect(pintle.use_case("sdk"))
        others = connect(pintle.use_case("sdk-others"))
        tests = [value for name, value in globals().items() if name.startswith("test_")]
        return harness.run(tests, pintle)


if __name__ == "__main__":
    sys.exit(main())
