"""Evaluates a model that Pintle serves with the unmodified lm-evaluation-harness, and compares: the log-likelihoods that
it reads from `/v1/completions` are those that our training engine computes from the same files, within 1e-3. Both ways
of making tokens are tried, Pintle's own (`/tokenize`) and that of `transformers`, and one task generates.

Use: check_lm_eval.py PINTLE EXAMPLE VERSION
  PINTLE   the built binary
  EXAMPLE  the built example `artefact` of pintle-model
  VERSION  the folder of a version, such as demo-data/models/nordwind-handbook/1; it is copied and not changed
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

CLOSE = 1e-3
PATIENCE_S = 60
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ.update(OFFLINE)

from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

CONFIGURATION = """\
[organisation]
name = "Example AG"
currency = "EUR"
time_zone = "Europe/Berlin"

[server]
listen = "127.0.0.1:{port}"

[[placement]]
name = "evaluated"
provider = "embedded"
model = "{model}"
zone = "on_premises"
region = "eu"
clearance = "restricted"
price = {{ input = "0.05", output = "0.10" }}
"""

CHOICES = [
    {"question": "Question: Who approves an absence of more than one day?\nAnswer:",
     "choices": [" the head of the team", " nobody", " a storm in the harbour, 17:30"], "answer": 0},
    {"question": "The canteen in Hamburg opens at", "choices": [" 11:30", " half past ten.", " naïve café, Straße"], "answer": 0},
    {"question": "Trailing space ", "choices": ["and more", "42", "|"], "answer": 1},
    {"question": "Gifts above a value of 50 euros", "choices": [" are reported to the office", ".", "\n\n## Gifts"], "answer": 0},
]
DOCUMENTS = [
    {"text": "Every site has a first aider. The list hangs at the entrance and is renewed every quarter."},
    {"text": "| Item | Limit |\n|---|---|\n| Hotel | 120 euros |\n| Meal | 28 euros |\n"},
    # Longer than the context, so that it is read in windows.
    {"text": "Travel is booked through the portal, and the receipt is handed in within two weeks. " * 60},
]
TASKS = {
    "pintle_choice": """\
task: pintle_choice
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
target_delimiter: ""
metric_list:
  - metric: acc
""",
    "pintle_rolling": """\
task: pintle_rolling
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - metric: byte_perplexity
""",
    "pintle_generate": """\
task: pintle_generate
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[answer]}}"
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 12
metric_list:
  - metric: exact_match
""",
}
passed = 0


def check(name, holds, more=""):
    global passed
    if not holds:
        sys.exit(f"FAILED: {name} {more}")
    passed += 1


class Server:
    """A running Pintle with one model in production and one use case."""

    def __init__(self, binary, version, folder):
        name = json.loads((version / "version.json").read_text())["id"]
        self.binary, self.folder, (self.model, number) = str(binary), folder, name.split("@")
        shutil.copytree(version, folder / "data" / "models" / self.model / number)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        (folder / "pintle.toml").write_text(CONFIGURATION.format(port=port, model=self.model))
        self.run("model", "promote", name, "--reason", "to be evaluated")

    def command(self, *arguments):
        return [self.binary, "--config", str(self.folder / "pintle.toml"), "--data", str(self.folder / "data"), *arguments]

    def run(self, *arguments):
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=PATIENCE_S)
        if done.returncode != 0:
            sys.exit(f"`pintle {' '.join(arguments)}` failed: {done.stderr}")
        return done.stdout

    def __enter__(self):
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(self.command("serve"), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.wait()
            self.run("usecase", "create", "--title", "Evaluation", "--business-owner", "Jana Novak <jana@example.com>",
                     "--it-owner", "Tom Weber <tom@example.com>", "--cost-centre", "1", "--data-class", "restricted",
                     "--stage", "production", "--budget", "100", "evaluation")
            self.key = json.loads(self.run("key", "create", "--use-case", "evaluation", "--json"))["key"]
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE_S)

    def wait(self):
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=1):
                    return
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
        sys.exit(f"`pintle serve` did not become ready: {(self.folder / 'log').read_text()}")


def write_tasks(folder):
    folder.mkdir()
    for name, text in TASKS.items():
        rows = DOCUMENTS if name == "pintle_rolling" else CHOICES
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        source = f"dataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {data}\ntest_split: test\n"
        (folder / f"{name}.yaml").write_text(text + source)


def evaluate(server, tasks, out, context, **arguments):
    """The harness's own command line; gives each task's samples."""
    model = {"model": "evaluated", "base_url": f"{server.url}/v1/completions", "max_length": context, "auth_token": server.key,
             "num_concurrent": 2, **arguments}
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "local-completions",
               "--model_args", ",".join(f"{name}={value}" for name, value in model.items()),
               "--tasks", ",".join(TASKS), "--include_path", str(tasks), "--output_path", str(out), "--log_samples"]
    environment = {**os.environ, "OPENAI_API_KEY": server.key, "HF_HOME": str(out / "cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    if done.returncode != 0:
        sys.exit(f"lm_eval failed: {done.stderr[-4000:]}")
    samples = {}
    for name in TASKS:
        files = list(out.rglob(f"samples_{name}_*.jsonl"))
        check(f"{name} left its samples", len(files) == 1, str(files))
        samples[name] = [json.loads(line) for line in files[0].read_text().splitlines()]
    return samples


class Ours:
    """The model's tokens and log-likelihoods, by our own files and training engine."""

    def __init__(self, example, version, scratch):
        self.example, self.version, self.scratch = example, version, scratch
        settings = json.loads((version / "tokenizer_config.json").read_text())
        added = {token["content"]: token["id"] for token in json.loads((version / "tokenizer.json").read_text())["added_tokens"]}
        begin, end = (added.get(settings.get(name)) for name in ("bos_token", "eos_token"))
        # What a text begins after. With the remote tokeniser, the harness takes a token whose id is 0 for none.
        self.begins = {"remote": begin or end, "huggingface": end if begin is None else begin}

    def ask(self, mode, task):
        question, answer = self.scratch / "task.json", self.scratch / "answer.json"
        question.write_text(json.dumps(task))
        subprocess.run([self.example, mode, self.version, question, answer], check=True)
        return json.loads(answer.read_text())

    def tokens(self, texts):
        answer = self.ask("read", {"texts": texts, "chats": [], "logits": False})
        return [entry["tokens"] for entry in answer["texts"]]

    def likelihoods(self, pairs):
        """Of each continuation after its context, both of them lists of tokens."""
        scores = self.ask("score", [context + continuation for context, continuation in pairs])
        # The first token of a list has no probability.
        return [sum(score[len(context) - 1:]) for score, (context, _) in zip(scores, pairs)]


def split(context, continuation):
    """The harness cuts tokens where the context's own tokens end, and gives white space to what follows."""
    stripped = context.rstrip()
    return stripped, context[len(stripped):] + continuation


def expected_choices(ours, samples):
    texts = []
    for sample in samples:
        for arguments in sample["arguments"].values():
            context, continuation = split(arguments["arg_0"], arguments["arg_1"])
            texts += [context + continuation, context]
    tokens = ours.tokens(texts)
    pairs = [(context, whole[len(context):]) for whole, context in zip(tokens[::2], tokens[1::2])]
    return ours.likelihoods(pairs)


def expected_rolling(ours, samples, context, backend):
    tokens = ours.tokens([sample["arguments"]["gen_args_0"]["arg_0"] for sample in samples])
    totals = []
    # One token is left for the one that is generated, and one for what stands before the window.
    room = context - 2
    for one in tokens:
        windows = get_rolling_token_windows(one, prefix_token=ours.begins[backend], max_seq_len=room, context_len=1)
        totals.append(sum(ours.likelihoods([make_disjoint_window(window) for window in windows])))
    return totals


def compare(name, seen, expected):
    check(f"{name}: as many answers as questions", len(seen) == len(expected), f"{len(seen)} {len(expected)}")
    worst = max(abs(a - b) for a, b in zip(seen, expected))
    check(f"{name}: log-likelihoods", worst <= CLOSE, f"differ by {worst}: {seen} {expected}")
    print(f"{name}: {len(seen)} log-likelihoods from {min(seen):.3f} to {max(seen):.3f}, worst difference {worst:.2e}")


def check_backend(server, ours, tasks, out, context, **arguments):
    samples = evaluate(server, tasks, out, context, **arguments)
    name = arguments["tokenizer_backend"]
    seen = [float(answer[0][0]) for sample in samples["pintle_choice"] for answer in sample["resps"]]
    compare(f"{name}, choices", seen, expected_choices(ours, samples["pintle_choice"]))
    rolling = samples["pintle_rolling"]
    seen = [float(sample["resps"][0][0][0] if isinstance(sample["resps"][0][0], list) else sample["resps"][0][0])
            for sample in rolling]
    compare(f"{name}, rolling", seen, expected_rolling(ours, rolling, context, name))
    for sample in samples["pintle_generate"]:
        text = sample["resps"][0][0]
        check(f"{name}, generated text", isinstance(text, str) and "\n" not in text, repr(text))


def main():
    binary, example, version = (Path(argument).resolve() for argument in sys.argv[1:4])
    context = json.loads((version / "config.json").read_text())["max_position_embeddings"]
    with tempfile.TemporaryDirectory(prefix="pintle-lm-eval-") as folder:
        folder = Path(folder)
        ours = Ours(example, version, folder)
        write_tasks(folder / "tasks")
        with Server(binary, version, folder) as server:
            for backend, more in [("remote", {}), ("huggingface", {"tokenizer": version})]:
                out = folder / backend
                out.mkdir()
                check_backend(server, ours, folder / "tasks", out, context, tokenizer_backend=backend, **more)
    print(f"{passed} passed, 0 failed")


if __name__ == "__main__":
    main()
