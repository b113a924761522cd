"""The llama.cpp contender: `llama_contender.py FILE.gguf`; protocol in protocol.py.

It calls the C interface of the library that llama-cpp-python builds. Settings are llama.cpp's own (flash attention
where it helps, keys and values in f16; all of it in f32 where logits are compared), two threads, and one sequence of
the context for each lane.
"""

import ctypes
import importlib.metadata
import sys
from time import perf_counter

import llama_cpp as llama
import numpy as np

from protocol import SAMPLE, VOCAB, prompt, serve

ROOM = 1024  # Positions of a sequence.


@llama.llama_log_callback
def quiet(level, text, data):
    pass


llama.llama_log_set(quiet, ctypes.c_void_p(0))
llama.llama_backend_init()
settings = llama.llama_model_default_params()
model = llama.llama_model_load_from_file(sys.argv[1].encode(), settings)
assert model, "the model does not load"
contexts = {}


def context(lanes, exact=False):
    """A context for so many sequences, empty; `exact` computes attention in f32 throughout."""
    if (lanes, exact) not in contexts:
        settings = llama.llama_context_default_params()
        settings.n_ctx, settings.n_seq_max = lanes * ROOM, lanes
        settings.n_threads = settings.n_threads_batch = 2
        if exact:
            settings.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
            settings.type_k = settings.type_v = llama.GGML_TYPE_F32
        contexts[lanes, exact] = llama.llama_init_from_model(model, settings)
        assert contexts[lanes, exact], "no context"
    llama.llama_memory_clear(llama.llama_get_memory(contexts[lanes, exact]), False)
    return contexts[lanes, exact]


def best(ctx, row):
    """The likeliest token after a row of the last batch, and the row's logits, which the next batch overwrites."""
    logits = np.ctypeslib.as_array(llama.llama_get_logits_ith(ctx, row), (VOCAB,))
    return int(logits.argmax()), logits


def run(ctx, batch, entries):
    """Decodes (token, position, sequence, whether logits are wanted) entries in one call."""
    batch.n_tokens = len(entries)
    for i, (token, position, sequence, wanted) in enumerate(entries):
        batch.token[i], batch.pos[i], batch.logits[i] = token, position, wanted
        batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
    status = llama.llama_decode(ctx, batch)
    assert status == 0, f"llama_decode: {status}"


def read_prompts(ctx, batch, lanes, tokens):
    """Encodes the prompts of all lanes; the first token of each."""
    first = []
    for lane in range(lanes):
        ids = prompt(lane, tokens)
        run(ctx, batch, [(token, i, lane, i == tokens - 1) for i, token in enumerate(ids)])
        first.append(best(ctx, -1))
    return first


def steps(lanes, tokens, past, exact=False):
    """Greedy steps of all lanes: yields the best tokens of every step, the first after the prompts."""
    ctx, batch = context(lanes, exact), llama.llama_batch_init(max(past, lanes), 0, 1)
    found = read_prompts(ctx, batch, lanes, past)
    yield found
    for step in range(tokens):
        run(ctx, batch, [(token, past + step, lane, True) for lane, (token, _) in enumerate(found)])
        found = [best(ctx, row) for row in range(lanes)]
        yield found
    llama.llama_batch_free(batch)


def greedy(tokens, past):
    found = [(token, [float(row[token]), *row[::SAMPLE].tolist()]) for [(token, row)] in steps(1, tokens - 1, past, exact=True)]
    return {"ids": [token for token, _ in found], "logits": [logits for _, logits in found]}


def decode(lanes, tokens, past):
    rounds = steps(lanes, tokens, past)
    next(rounds)
    start = perf_counter()
    for _ in rounds:
        pass
    return {"seconds": perf_counter() - start, "tokens": lanes * tokens}


def prefill(tokens):
    ctx, batch = context(1), llama.llama_batch_init(tokens, 0, 1)
    start = perf_counter()
    read_prompts(ctx, batch, 1, tokens)
    seconds = perf_counter() - start
    llama.llama_batch_free(batch)
    return {"seconds": seconds, "tokens": tokens}


version = f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')}"
system = llama.llama_print_system_info().decode()
serve({"greedy": greedy, "decode": decode, "prefill": prefill}, version=version, note=system)
