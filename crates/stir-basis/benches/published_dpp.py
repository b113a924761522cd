"""Greedy DPP selection as it was published, in numpy: the yardstick of `selection.rs`, which calls it.

    python published_dpp.py FOLDER N BUDGET LAMBDA EPSILON each|together

FOLDER holds `keys.f32`, `[n, width]`, and `quality.f64`, `[n]`. At every pick a triangular system is solved anew for
every candidate: `each` solves them one by one, as published, `together` all at once, the best that numpy can make of
the same algorithm. Prints seconds, then the picks.
"""

import os
import sys
import time

# A system of at most a few hundred unknowns: more threads only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np


def solve_lower(lower, right):
    """Forward substitution: `lower @ x = right`, `right` being `[t]` or `[t, candidates]`."""
    x = right.copy()
    for i in range(len(x)):
        x[i] = (x[i] - lower[i, :i] @ x[:i]) / lower[i, i]
    return x


def greedy(keys, quality, budget, lam, epsilon, together):
    keys = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    kernel = keys @ keys.T
    n = len(quality)
    picks, lower = [], np.zeros((budget, budget))
    left = np.ones(n, dtype=bool)
    while len(picks) < budget:
        t = len(picks)
        variance = kernel.diagonal() + epsilon
        if together:
            variance = variance - (solve_lower(lower[:t, :t], kernel[picks]) ** 2).sum(axis=0)
        else:
            for i in np.flatnonzero(left):
                x = solve_lower(lower[:t, :t], kernel[picks, i])
                variance[i] -= x @ x
        usable = left & (variance > 1e-12)
        if not usable.any():
            break
        gain = np.full(n, -np.inf)
        gain[usable] = np.log1p(quality[usable]) + lam * np.log(variance[usable])
        best = int(np.argmax(gain))
        lower[t, :t] = solve_lower(lower[:t, :t], kernel[picks, best])
        lower[t, t] = np.sqrt(variance[best])
        left[best] = False
        picks.append(best)
    return picks


def main():
    folder, n, budget, lam, epsilon, form = sys.argv[1:]
    keys = np.fromfile(os.path.join(folder, "keys.f32"), dtype="<f4").astype(np.float64).reshape(int(n), -1)
    quality = np.fromfile(os.path.join(folder, "quality.f64"), dtype="<f8")
    start = time.perf_counter()
    picks = greedy(keys, quality, int(budget), float(lam), float(epsilon), form == "together")
    print(time.perf_counter() - start)
    print(*picks)


main()
