"""What the Python contenders share: prompts, and the loop that answers commands.

A contender says one line of JSON when its model is loaded ({"ready": true, ...}) and then answers every line:

    greedy TOKENS CONTEXT        ids of TOKENS greedy tokens after a prompt of CONTEXT, and some logits of each
    decode LANES TOKENS CONTEXT  seconds of TOKENS greedy steps of LANES sequences, without the prompts
    prefill TOKENS               seconds of one prompt, up to the logits after its last token
    quit
"""

import json
import sys

VOCAB = 151_936
# What is compared of a row of logits: the largest, and every so-many-th.
SAMPLE = 9973


def prompt(lane, tokens):
    """The prompt of a lane, the same for all contenders."""
    return [(17 + 7919 * lane + 104_729 * i) % VOCAB for i in range(tokens)]


def serve(commands, **about):
    """Answers commands with the functions of that name until told to quit."""
    say = lambda value: print(json.dumps(value), flush=True)
    say({"ready": True, **about})
    for line in sys.stdin:
        name, *numbers = line.split()
        if name == "quit":
            return
        try:
            say(commands[name](*map(int, numbers)))
        except Exception as error:  # The driver prints it in place of a number.
            say({"error": f"{type(error).__name__}: {error}".splitlines()[0]})
