"""Reads the GGUF files that `check_artefact.py` left in a folder with llama.cpp itself: tokens and rendered
conversations are equal, the probabilities of the next token agree.

Use: check_llama_cpp.py FOLDER (the folder that check_artefact.py was given), with requirements-llama-cpp.txt installed.
"""

import json
import sys
import urllib.request
from pathlib import Path

import numpy
import xllamacpp

CLOSE = 1e-3
passed = 0


def check(name, holds, more=""):
    global passed
    if not holds:
        sys.exit(f"FAILED: {name} {more}")
    passed += 1


def start(file):
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.n_ctx = 256
    parameters.n_parallel = 1
    parameters.n_gpu_layers = 0
    parameters.cpuparams.n_threads = 1
    parameters.use_jinja = True
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    # Keys and values are half numbers unless told otherwise.
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.hostnames, parameters.port, parameters.warmup = ["127.0.0.1"], 0, False
    return xllamacpp.Server(parameters)


def ask(server, path, body):
    request = urllib.request.Request(server.listening_address + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def next_probabilities(server, tokens):
    answer = ask(server, "/completion", {"prompt": tokens, "n_predict": 1, "temperature": 0, "n_probs": 20,
                                         "post_sampling_probs": False, "cache_prompt": False})
    # It says nothing where the next token ends the text or is half a character.
    first = next(iter(answer.get("completion_probabilities", [])), {"top_logprobs": []})
    return {entry["id"]: entry["logprob"] for entry in first["top_logprobs"]}


def main():
    made = Path(sys.argv[1]) / "made"
    for name in ["grouped", "tied", "wide"]:
        ours = json.loads((made / f"{name}.json").read_text())
        server = start(made / f"{name}.gguf")
        worst, compared = 0.0, 0
        for entry in ours["texts"]:
            # llama.cpp's own interface ends a text at a zero byte.
            if "\x00" not in entry["text"]:
                tokens = ask(server, "/tokenize", {"content": entry["text"], "parse_special": False})["tokens"]
                check(f"{name}: tokens of {entry['text']!r}", tokens == entry["tokens"], f"{tokens} {entry['tokens']}")
            if entry["logits"]:
                last = numpy.asarray(entry["logits"]).reshape(-1, ours["vocab_size"])[-1].astype(numpy.float64)
                logprobs = last - last.max() - numpy.log(numpy.exp(last - last.max()).sum())
                for token, theirs in next_probabilities(server, entry["tokens"]).items():
                    worst, compared = max(worst, abs(theirs - logprobs[token])), compared + 1
                check(f"{name}: next token after {entry['text']!r}", worst <= CLOSE, worst)
        for entry in ours["chats"]:
            # llama.cpp continues an answer at the end, so it is asked for that answer instead.
            turns, expected = entry["turns"], entry["prompt"]
            if turns[-1]["role"] == "assistant":
                expected = entry["rendered"].removesuffix(turns[-1]["content"] + "<|end|>")
                turns = turns[:-1]
            prompt = ask(server, "/apply-template", {"messages": turns})["prompt"]
            check(f"{name}: template", prompt == expected, f"{prompt!r} {expected!r}")
        check(f"{name}: enough compared", compared >= 100, compared)
        print(f"{name}: worst difference of {compared} log probabilities {worst:.1e}")
    print(f"{passed} passed, 0 failed")


main()
