"""How fast Hugging Face transformers decodes the checkpoint that benches/gpu.rs measured, on the same device.

    python benches/gpu.py --model DIR --device cuda < LINES

LINES are those that gpu.rs printed: for each of them the same number of lanes decodes as many tokens greedily behind
prompts as long, twice, and the second run counts; prompts are not counted. Prints one line for each.
"""

import argparse
import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True)
parser.add_argument("--device", default="cuda")
args = parser.parse_args()

TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def synchronize():
    if torch.device(args.device).type == "cuda":
        torch.cuda.synchronize()


@torch.inference_mode()
def decode(model, lanes, prompt, tokens):
    """Seconds for `tokens` steps of `lanes` sequences."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (lanes, prompt), generator=generator).to(args.device)
    out = model(ids, use_cache=True, logits_to_keep=1)
    synchronize()
    start = time.perf_counter()
    for _ in range(tokens):
        next_ids = out.logits[:, -1].argmax(-1, keepdim=True)
        out = model(next_ids, past_key_values=out.past_key_values, use_cache=True)
    out.logits.argmax(-1).tolist()
    return time.perf_counter() - start


model = None
for line in map(json.loads, sys.stdin):
    if model is None:
        dtype = TYPES[line["compute"]]
        model = AutoModelForCausalLM.from_pretrained(args.model, torch_dtype=dtype).to(args.device).eval()
    lanes, tokens = line["lanes"], line["tokens"]
    seconds = [decode(model, lanes, line["prompt"], tokens) for _ in range(2)][-1]
    rate = lanes * tokens / seconds
    print(json.dumps({
        "engine": f"transformers on torch {torch.__version__}",
        "lanes": lanes,
        "tokens_per_s": rate,
        "share_of_bound": rate / line["bound_tokens_per_s"],
        "stir_is_faster_by": line["tokens_per_s"] / rate,
    }), flush=True)
