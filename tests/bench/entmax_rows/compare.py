"""Rows of sparsemax and entmax15 through torch.ops against the package entmax and torch.softmax. In: the path of
libgiantrabbit_ops.so. Out: a table of milliseconds and of ratios, minimum of the one through minimum of the other and
the median over the rounds. The functions take turns in this process, in an order that changes with every round; each
result is compared with entmax in double before anything is timed."""

import argparse
import statistics
import sys
import time

import entmax
import torch

SHAPES = ((4096, 128), (4096, 1024), (1024, 4096), (256, 32768))


def check(name, actual, expected):
    """2e-7 for our fp32 weights, as in the operators' tests; entmax in double adds nothing that shows."""
    worst = (actual.double() - expected).abs().max().item()
    if not worst <= 2e-7:
        sys.exit(f"entmax_rows: {name} differs from entmax in double by {worst}")


def measure(functions, rounds):
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for number in range(rounds):
        for name in list(functions) if number % 2 == 0 else reversed(functions):
            start = time.perf_counter()
            functions[name]()
            times[name].append(time.perf_counter() - start)
    return times


def ratio(theirs, ours):
    return f"{min(theirs) / min(ours):9.1f}{statistics.median(a / b for a, b in zip(theirs, ours)):8.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.ops.load_library(arguments.library)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(7)
    print(f"{'':<30}{'ms':>8}{'to entmax':>17}{'to softmax':>17}{'to softmax out=':>17}")
    for rows, n in SHAPES:
        for spread in (1.0, 3.0):
            scores = torch.randn(rows, n) * spread
            out = torch.empty_like(scores)
            for name in ("sparsemax", "entmax15"):
                ours, theirs = getattr(torch.ops.giantrabbit, name), getattr(entmax, name)
                expected = theirs(scores.double(), dim=-1)
                check(name, ours(scores, -1), expected)
                check(name + " out=", ours(scores, -1, out=out), expected)
                times = measure({
                    "out": lambda: ours(scores, -1, out=out),
                    "entmax": lambda: theirs(scores, dim=-1),
                    "softmax": lambda: torch.softmax(scores, -1),
                    "softmax out": lambda: torch.softmax(scores, -1, out=out),
                }, arguments.rounds)
                print(f"{name:<10}{f'{rows}x{n} std {spread:.0f}':<20}{min(times['out']) * 1e3:8.3f}" +
                      "".join(ratio(times[other], times["out"]) for other in ("entmax", "softmax", "softmax out")))


with torch.no_grad():
    main()
