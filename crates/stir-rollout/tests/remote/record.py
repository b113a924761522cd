"""Records what two servers of the same model answer, for tests/remote.rs.

    llama-server -m SmolLM2-135M-Instruct.Q4_1.gguf --port 8081
    python -m llama_cpp.server --model SmolLM2-135M-Instruct.Q4_1.gguf --port 8080
    python record.py http://localhost:8081 http://localhost:8080 > recorded.json
"""

import json
import sys
import urllib.request

PROMPT = "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"
MODEL = "smollm2"


def post(url, body):
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def ask(server, prompt, max_tokens):
    body = {
        "model": MODEL, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0.0, "top_k": 49152, "top_p": 1.0,
        "min_p": 0.0, "repeat_penalty": 1.0, "stop": [], "seed": 1, "return_tokens": True, "verbose": True,
    }
    answer = post(f"{server}/v1/completions", body)
    # Which file it is and how fast it was says nothing.
    answer["model"] = MODEL
    for field in ("timings", "id", "created", "system_fingerprint"):
        answer.pop(field, None)
    if "__verbose" in answer:
        answer["__verbose"]["model"] = MODEL
        answer["__verbose"].pop("timings")
    return answer


llama_cpp, llama_cpp_python = sys.argv[1:]
tokenized = post(f"{llama_cpp}/tokenize", {"content": PROMPT, "add_special": True, "parse_special": True})
prompt_ids = tokenized["tokens"]
answers = {
    "llama_cpp": [ask(llama_cpp, prompt_ids, n) for n in (1, 96)],
    "llama_cpp_python": [ask(llama_cpp_python, PROMPT, n) for n in (1, 96)],
}
ids = sorted({token for answer in answers["llama_cpp"] for token in answer["__verbose"]["tokens"]})
pieces = {token: post(f"{llama_cpp}/detokenize", {"tokens": [token]})["content"] for token in ids}
print(json.dumps({"prompt": PROMPT, "prompt_ids": prompt_ids, "pieces": pieces, **answers}, indent=1))
