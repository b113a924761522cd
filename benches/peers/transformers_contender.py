"""The transformers contender: `transformers_contender.py FOLDER f32|bf16`; protocol in protocol.py.

The model is called step by step with a DynamicCache, which is what `generate` does inside, without the bookkeeping of
`generate` around it. Of the two attention implementations for CPUs (eager, sdpa) each measure uses the faster, which
is found out when the measure is first asked for.
"""

import sys
from time import perf_counter

import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

from protocol import SAMPLE, prompt, serve

torch.set_num_threads(2)
dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[sys.argv[2]]
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=dtype, attn_implementation="sdpa").eval()
faster = {}


def step(ids, cache):
    """One pass; the logits after the last token of each row."""
    return model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]


@torch.inference_mode()
def greedy(tokens, context):
    cache, ids, found, logits = DynamicCache(config=model.config), torch.tensor([prompt(0, context)]), [], []
    for _ in range(tokens):
        row = step(ids, cache).float()
        ids = row.argmax(-1, keepdim=True)
        found.append(ids.item())
        logits.append([row.max().item(), *row[0, ::SAMPLE].tolist()])
    return {"ids": found, "logits": logits}


@torch.inference_mode()
def decode_once(lanes, tokens, context):
    cache = DynamicCache(config=model.config)
    ids = step(torch.tensor([prompt(lane, context) for lane in range(lanes)]), cache).argmax(-1, keepdim=True)
    start = perf_counter()
    for _ in range(tokens):
        ids = step(ids, cache).argmax(-1, keepdim=True)
    return perf_counter() - start


@torch.inference_mode()
def prefill_once(tokens):
    ids, cache = torch.tensor([prompt(0, tokens)]), DynamicCache(config=model.config)
    start = perf_counter()
    step(ids, cache).argmax(-1).item()
    return perf_counter() - start


def at_best(measure, key, numbers, brief):
    """Seconds of a measure under the attention implementation that suits it, as a brief measure tells at first."""
    if key not in faster:
        seconds = {"eager": [], "sdpa": []}
        for attention in list(seconds) * 2:
            model.set_attn_implementation(attention)
            seconds[attention].append(measure(*brief))
        faster[key] = min(seconds, key=lambda attention: min(seconds[attention]))
    model.set_attn_implementation(faster[key])
    return measure(*numbers)


def decode(lanes, tokens, context):
    seconds = at_best(decode_once, ("decode", lanes), (lanes, tokens, context), (lanes, min(tokens, 8), context))
    return {"seconds": seconds, "tokens": lanes * tokens, "note": faster["decode", lanes]}


def prefill(tokens):
    return {"seconds": at_best(prefill_once, "prefill", (tokens,), (tokens,)), "tokens": tokens, "note": faster["prefill"]}


version = f"{transformers.__version__}, torch {torch.__version__}"
serve({"greedy": greedy, "decode": decode, "prefill": prefill}, version=version)
