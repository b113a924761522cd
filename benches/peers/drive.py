"""Measures the contenders side by side and prints a table: what `benches/peers.sh` runs when all is built.

Every contender is a process that has loaded the model and answers commands (protocol.py). They take turns, round after
round, so that what else the machine does hits all alike; what is printed is the median of the rounds. Nothing is
printed unless all compute the same: greedy tokens after one prompt in f32.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
THREADS = 2
# Of each group: the command, and what the table calls it.
MEASURES = {
    "f32": [
        ("decode 1 64 32", "decode, 1 lane"),
        ("decode 16 32 32", "decode, 16 lanes"),
        ("prefill 512", "prefill of 512"),
    ],
    "bf16": [
        ("decode 1 64 32", "decode, 1 lane"),
        ("decode 8 32 32", "decode, 8 lanes"),
        ("prefill 512", "prefill of 512"),
    ],
    "gguf": [
        ("decode 1 64 32", "decode, 1 lane"),
        ("decode 8 32 32", "decode, 8 lanes"),
        ("decode 16 32 32", "decode, 16 lanes"),
        ("prefill 512", "prefill of 512"),
    ],
}
# Whether all of it works: the numbers say nothing.
QUICK = {kind: [("decode 1 2 32", "decode, 1 lane"), ("decode 4 2 32", "decode, 4 lanes")] for kind in MEASURES}
STREAM = f"stream {2 << 30} 5 {THREADS}"
# Tokens that are compared, how many must agree, and how far apart logits may be, relative to the largest of them. The
# prompt is no text, and behind it products with 8-bit activations, in blocks of different sizes, drift apart at once: of
# quantised models only the token after the prompt is compared.
SAME = {"f32": (32, 8, 1e-3), "gguf": (1, 1, 0.1)}


class Contender:
    def __init__(self, name, command):
        # OpenMP's threads spin for a moment before they sleep. To have them sleep at once (OMP_WAIT_POLICY=PASSIVE in the
        # environment) costs torch and llama.cpp speed, except on a machine that others keep busy.
        threads = ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"]
        env = os.environ | dict.fromkeys(threads, str(THREADS)) | {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
        self.name, self.notes, self.idle = name, {}, 0.0
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(list(map(str, command)), env=env, text=True, **pipes)
        about = self.read()
        self.version = about["version"]
        print(f"loaded {name}: {self.version} {about.get('note', '')}", file=sys.stderr)

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.read()

    def quit(self):
        self.process.stdin.write("quit\n")
        self.process.stdin.close()
        self.process.wait()

    def cpu(self):
        """Seconds of processor time used so far; None where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            return None


def busy():
    """Seconds of processor time that the whole machine has used."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        return sum(int(fields[i]) for i in (0, 1, 2, 5, 6, 7)) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


def check(contenders, count, tokens, gap):
    """Whether all continue a prompt alike; ends the program where they do not."""
    answers = {contender.name: contender.ask(f"greedy {count} 32") for contender in contenders}
    for name, answer in answers.items():
        if "error" in answer:
            sys.exit(f"{name}: {answer['error']}")
    first, reference = next(iter(answers.items()))
    said = []
    for name, answer in answers.items():
        same = sum(1 for _ in takewhile_equal(answer["ids"], reference["ids"]))
        # Behind tokens that differ logits are not comparable.
        rows = list(zip(answer["logits"], reference["logits"]))[: same + 1]
        largest = max(abs(b) for _, row in rows for b in row)
        apart = max(abs(a - b) for pair in rows for a, b in zip(*pair)) / largest
        said.append(f"{name} {same} of {len(reference['ids'])} tokens, logits within {apart:.1e}")
        if same < tokens or apart > gap:
            sys.exit(f"{name} and {first} disagree, nothing is measured: {said[-1]}")
    return f"agreement with {first}: " + "; ".join(said[1:])


def takewhile_equal(a, b):
    for x, y in zip(a, b):
        if x != y:
            return
        yield x


def rounds(contenders, measures, count):
    """Seconds per token, or the reason why there are none, of every measure and contender, round by round."""
    found = {(label, c.name): [] for _, label in measures for c in contenders}
    streams, away, strangers = [], 0.0, []
    for turn in range(count + 1):
        for command, label in measures:
            for contender in contenders:
                others = [c for c in contenders if c is not contender]
                time.sleep(0.3)  # The one before has fallen asleep.
                before, start = [c.cpu() for c in others], time.perf_counter()
                used, all_used = contender.cpu(), busy()
                answer = contender.ask(command)
                seconds = time.perf_counter() - start
                away += seconds
                if all_used and "error" not in answer:
                    strangers.append((busy() - all_used - contender.cpu() + used) / seconds)
                for other, was in zip(others, before):
                    other.idle += (other.cpu() or 0) - (was or 0)
                if "note" in answer:
                    contender.notes[label] = answer["note"]
                said = answer.get("error") or f"{answer['tokens'] / answer['seconds']:.1f} tokens/s"
                print(f"  {label}, {contender.name}: {said}", file=sys.stderr)
                # The first round warms up.
                if turn > 0 or "error" in answer:
                    found[label, contender.name].append(answer.get("error") or answer["seconds"] / answer["tokens"])
        if turn > 0 and contenders[0].name == "stir":
            streams.append(contenders[0].ask(STREAM)["rate"])
        print(f"round {turn} of {count}", file=sys.stderr)
    for contender in contenders:
        share = contender.idle / away
        if share > 0.02:
            print(f"warning: {contender.name} used {share:.0%} of a core while it waited", file=sys.stderr)
    return found, streams, max(median(strangers), 0.0) if strangers else None


def matrix_bytes(file):
    """Bytes of the matrices that every token reads: all of a GGUF file's but an embedding with a head of its own."""
    from gguf import GGUFReader

    sizes = {tensor.name: tensor.n_bytes for tensor in GGUFReader(file).tensors if len(tensor.shape) == 2}
    return sum(sizes.values()) - ("output.weight" in sizes and sizes["token_embd.weight"])


def matrix_weights(model):
    """Weights that every token reads: all matrices; of the embedding, which is the head too, each row."""
    with open(model, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
    return sum(shape[0] * shape[1] for shape in shapes if len(shape) == 2)


def group(kind, args):
    """Measures one group; its part of the report."""
    model = args.gguf if kind == "gguf" else args.scratch / "model" / kind
    python = [args.scratch / "venv/bin/python"]
    # candle has no products in bf16 on the CPU; f16 takes the same room.
    candle_kind = {"f32": "f32", "bf16": "f16"}.get(kind)
    commands = {
        "stir": [args.stir, model, *([] if kind == "gguf" else ["--compute", kind])],
        "llama.cpp": [*python, HERE / "llama_contender.py", model.with_suffix(".gguf")],
    }
    if kind != "gguf":
        commands["transformers"] = [*python, HERE / "transformers_contender.py", model, kind]
        commands["candle" if kind == "f32" else "candle (f16)"] = [args.candle, model, candle_kind]
    wanted = {name: command for name, command in commands.items() if not args.only or name.split()[0] in args.only}
    contenders = [Contender(name, command) for name, command in wanted.items()]
    agreement = check(contenders, *SAME[kind]) if kind in SAME else ""
    measures = (QUICK if args.quick else MEASURES)[kind]
    found, streams, strangers = rounds(contenders, measures, args.rounds)
    for contender in contenders:
        contender.quit()
    if kind == "gguf":
        weight_bytes = matrix_bytes(model)
    else:
        weight_bytes = matrix_weights(model / "model.safetensors") * {"f32": 4, "bf16": 2}[kind]
    return {
        "agreement": agreement,
        "cores_used_by_others": strangers,
        "versions": {c.name.split()[0]: c.version for c in contenders},
        "notes": {c.name: c.notes for c in contenders if c.notes},
        "weight_bytes": weight_bytes,
        "stream_bytes_per_s": median(streams) if streams else None,
        "tokens_per_s": {
            label: {c.name: rate(found[label, c.name]) for c in contenders} for _, label in measures
        },
    }


def rate(values):
    """Median and range of the tokens per second of all rounds, or what went wrong."""
    wrong = [value for value in values if isinstance(value, str)]
    if wrong:
        return {"error": wrong[0]}
    rates = [1 / value for value in values]
    return {"median": median(rates), "low": min(rates), "high": max(rates), "rounds": rates}


def table(kind, report):
    names = list(next(iter(report["tokens_per_s"].values())))
    best = "stir / best other"
    lines = [f"\n### {kind}, tokens/s\n", "| | " + " | ".join([*names, best]) + " |"]
    lines.append("|---|" + "---:|" * (len(names) + 1))
    for label, rates in report["tokens_per_s"].items():
        cells = [f"{r['median']:.1f} ({r['low']:.1f} to {r['high']:.1f})" if "median" in r else "-" for r in rates.values()]
        others = [r["median"] for name, r in rates.items() if name != "stir" and "median" in r]
        ours = rates.get("stir", {}).get("median")
        cells.append(f"{ours / max(others):.2f}" if ours and others else "-")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    if report["stream_bytes_per_s"]:
        bound = report["stream_bytes_per_s"] / report["weight_bytes"]
        single = report["tokens_per_s"]["decode, 1 lane"]
        shares = [f"{r['median'] / bound:.0%}" if "median" in r else "-" for r in single.values()]
        lines.append("| decode, 1 lane, of the bound | " + " | ".join([*shares, ""]) + " |")
        lines.append(
            f"\nMemory is read at {report['stream_bytes_per_s'] / 1e9:.1f} GB/s by {THREADS} threads; a token reads "
            f"{report['weight_bytes'] / 1e6:.0f} MB of weights: at most {bound:.1f} tokens/s for one lane."
        )
    if report["cores_used_by_others"] is not None:
        lines.append(f"\nMeanwhile other programs kept {report['cores_used_by_others']:.2f} cores busy.")
    for label, rates in report["tokens_per_s"].items():
        lines += [f"- {label}, {name}: {r['error']}" for name, r in rates.items() if "error" in r]
    for name, notes in report["notes"].items():
        lines.append(f"- {name}: " + ", ".join(f"{label} with {note}" for label, note in notes.items()))
    return "\n".join(lines)


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--stir", type=Path, required=True, help="our contender")
    parser.add_argument("--candle", type=Path, help="candle's")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--groups", nargs="+", default=["f32", "bf16"], choices=list(MEASURES))
    parser.add_argument("--gguf", type=Path, help="the model of the group gguf: of the family Qwen2, a .gguf file")
    parser.add_argument("--only", nargs="+", help="only these contenders")
    parser.add_argument("--quick", action="store_true", help="too short to mean anything: does it work?")
    parser.add_argument("--json", type=Path, help="where the numbers go; in the scratch folder by default")
    args = parser.parse_args()
    if "gguf" in args.groups and not args.gguf:
        parser.error("the group gguf needs --gguf FILE")
    report = {"processor": processor(), "threads": THREADS, "rounds": args.rounds}
    report |= {kind: group(kind, args) for kind in args.groups}
    print(f"{report['processor']}, {THREADS} threads, {args.rounds} rounds; median (range)")
    versions = {name: version for kind in args.groups for name, version in report[kind]["versions"].items()}
    print("; ".join(f"{name} {version}" for name, version in versions.items()))
    for kind in args.groups:
        if report[kind]["agreement"]:
            print(report[kind]["agreement"])
        print(table(kind, report[kind]))
    path = args.json or args.scratch / "peers.json"
    path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
