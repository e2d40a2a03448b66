"""Starts the built binary against fake providers, and runs test functions.

The configuration, the use cases and the keys are made as an operator makes them: a `pintle.toml` and the
command line. Nothing here reaches into Pintle by another way.
"""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request

from fakes import ANTHROPIC_KEY, OPENAI_KEY, AnthropicFake, OpenAiFake

PATIENCE_S = 20
#: All tests together; a hang must not become a hung build.
LIMIT_S = 300

CONFIGURATION = """\
[organisation]
name = "Example AG"
currency = "EUR"
time_zone = "Europe/Berlin"
monthly_budget = "5000"

[server]
listen = "127.0.0.1:{port}"

[limits]
retries = 1

[[placement]]
name = "cloud-mini"
provider = "openai"
base_url = "{openai}/v1"
api_key = {{ env = "FAKE_OPENAI_KEY" }}
model = "gpt-4o-mini"
zone = "public_cloud"
region = "eu"
clearance = "internal"
price = {{ input = "0.15", output = "0.60", cached_input = "0.075" }}

[[placement]]
name = "claude"
provider = "anthropic"
base_url = "{anthropic}/v1"
api_key = {{ env = "FAKE_ANTHROPIC_KEY" }}
model = "claude-test"
zone = "public_cloud"
region = "eu"
clearance = "internal"
price = {{ input = "3", output = "15", cached_input = "0.3", cache_write = "3.75" }}

[[placement]]
name = "house"
provider = "openai"
base_url = "{house}/v1"
model = "house-model"
zone = "on_premises"
region = "eu"
clearance = "restricted"
price = {{ input = "0.05", output = "0.10" }}
"""


class Pintle:
    """The running server and what stands behind it."""

    def __init__(self):
        self.binary = os.environ.get("PINTLE_BIN")
        if not self.binary:
            sys.exit("PINTLE_BIN must name the built binary")
        self.openai, self.house, self.anthropic = OpenAiFake(OPENAI_KEY), OpenAiFake(None), AnthropicFake()
        self.folder = tempfile.TemporaryDirectory(prefix="pintle-sdk-")
        self.home = pathlib.Path(self.folder.name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = self.home / "pintle.toml"
        self.config.write_text(
            CONFIGURATION.format(
                port=self.port, openai=self.openai.url, house=self.house.url, anthropic=self.anthropic.url
            )
        )
        self.log = self.home / "server.log"
        self.process = None

    def __enter__(self):
        environment = {**os.environ, "FAKE_OPENAI_KEY": OPENAI_KEY, "FAKE_ANTHROPIC_KEY": ANTHROPIC_KEY}
        command = [self.binary, "--config", str(self.config), "--data", str(self.home / "data"), "serve"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.home, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_until_ready(self):
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(OSError, urllib.error.URLError):
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=1) as answer:
                    if answer.status == 200:
                        return
            time.sleep(0.02)
        raise SystemExit(f"`pintle serve` did not become ready; it said:\n{self.log.read_text()}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for fake in (self.openai, self.house, self.anthropic):
            fake.stop()
        self.folder.cleanup()

    def run(self, *arguments):
        """The command line, against the running server."""
        command = [self.binary, "--data", str(self.home / "data"), *arguments]
        done = subprocess.run(
            command, cwd=self.home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S
        )
        if done.returncode != 0:
            raise AssertionError(f"`pintle {' '.join(arguments)}` ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def use_case(self, name, *more, budget="100"):
        """A use case in production, for confidential data; gives a key of it."""
        self.run(
            "usecase", "create", "--title", f"SDK test {name}",
            "--business-owner", "Jana Novak <jana.novak@example.com>",
            "--it-owner", "Tom Weber <tom.weber@example.com>", "--cost-centre", "4711",
            "--data-class", "confidential", "--stage", "production", "--budget", budget, *more, name,
        )
        return json.loads(self.run("key", "create", "--use-case", name, "--json"))["key"]

    def usage_of(self, use_case):
        """The row of the usage report for one use case, or None."""
        report = json.loads(self.run("usage", "--by", "use-case", "--json"))
        rows = report if isinstance(report, list) else report["rows"]
        return next((row for row in rows if use_case in row.values()), None)


class Demo:
    """The demonstration, as `pintle` serves it without a configuration: its placements and a key of its own."""

    def __init__(self, binary):
        self.binary = binary
        self.folder = tempfile.TemporaryDirectory(prefix="pintle-sdk-demo-")
        self.home = pathlib.Path(self.folder.name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.listen = f"127.0.0.1:{port}"
        self.process = None

    def command(self, *arguments):
        return [self.binary, "--data", str(self.home / "data"), *arguments]

    def __enter__(self):
        with (self.home / "server.log").open("wb") as log:
            self.process = subprocess.Popen(
                self.command("serve", "--demo", "--listen", self.listen),
                cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        try:
            until("the demonstration", self.is_ready)
            command = self.command("key", "create", "--use-case", "customer-replies", "--json")
            made = subprocess.run(command, cwd=self.home, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
            self.key = json.loads(made.stdout)["key"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def is_ready(self):
        with contextlib.suppress(OSError, urllib.error.URLError):
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=1) as answer:
                return answer.status == 200
        return False

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()


def until(what, probe):
    """Asks until the answer is true, and gives it."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if answer := probe():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {PATIENCE_S} s")


def run(tests, pintle):
    """Runs each test, prints a line for each and the summary; gives the exit status."""
    failed = 0
    for test in tests:
        name = test.__name__.removeprefix("test_").replace("_", " ")
        for fake in (pintle.openai, pintle.house, pintle.anthropic):
            fake.forget()
        begin = time.monotonic()
        try:
            test()
        except Exception:
            failed += 1
            print(f"FAIL {name}\n{traceback.format_exc()}")
        else:
            print(f"ok   {name} ({(time.monotonic() - begin) * 1000:.0f} ms)")
        sys.stdout.flush()
    if failed:
        print(f"the server said:\n{pintle.log.read_text()[-8000:]}")
    print(f"{len(tests) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def guard_against_hangs(pintle):
    """Ends the server and this process when the tests take too long or are asked to stop."""

    def give_up():
        print(f"the tests did not end within {LIMIT_S} s", flush=True)
        if pintle.process:
            pintle.process.kill()
        os._exit(1)

    timer = threading.Timer(LIMIT_S, give_up)
    timer.daemon = True
    timer.start()
    # Turns the signal into an exception, so that `with` stops the server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
