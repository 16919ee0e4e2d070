#!/usr/bin/env python3
"""Holds an exported model against what the export expected of it, in Python.

In: the file of `giantrabbit-eval export RUN --out FILE`, and, unless it was written with --portable, the library
whose operators it uses. The file carries inputs and the model's results on them (verification.json). Out: the
largest difference of logits, how often generate() wrote the model's words, and exit code 1 if either is wrong.

    torchscript_check.py model.pt --library build/ops/libgiantrabbit_ops.so
"""
import argparse
import json
import sys
import time

import torch

TOLERANCE = 1e-5  # of the largest logit, at least of 1: two orders of the same fp32 sums


def tokens_of(rows: list[list[int]]) -> torch.Tensor:
    """Also of empty rows, which torch.tensor would take for numbers."""
    return torch.tensor(rows, dtype=torch.int64).reshape(len(rows), -1 if rows and rows[0] else 0)


def scale_of(logits: torch.Tensor) -> float:
    return max(1.0, logits.abs().max().item())


def logits_difference(model: torch.jit.ScriptModule, case: dict) -> tuple[float, float]:
    """Largest difference, and the same over the largest logit."""
    expected = torch.tensor(case["logits"], dtype=torch.float32)
    actual = model(tokens_of(case["prompt"]), tokens_of(case["decoder_tokens"]))
    if actual.shape != expected.shape:
        raise SystemExit(f"expected logits of shape {tuple(expected.shape)}, got {tuple(actual.shape)}")
    if actual.numel() == 0:
        return 0.0, 0.0
    difference = (actual - expected).abs().max().item()
    return difference, difference / scale_of(expected)


def is_tie(model: torch.jit.ScriptModule, prompt: torch.Tensor, expected: torch.Tensor, place: int, word: int) -> bool:
    """Whether the words of both are equally likely behind the `place` words that they agree on."""
    fed = torch.cat([torch.tensor([model.bos]), expected[:place]]).unsqueeze(0)
    logits = model(prompt.unsqueeze(0), fed)[0, -1]
    return abs(logits[word] - logits[expected[place]]).item() <= 2 * TOLERANCE * scale_of(logits)


def generated(model: torch.jit.ScriptModule, case: dict) -> tuple[int, int, int]:
    """Prompts, those with the expected words, and those that differ from a tie on."""
    prompt = tokens_of(case["prompt"])
    expected = tokens_of(case["tokens"])
    actual = model.generate(prompt, case["max_tokens"])
    columns = max(actual.size(1), expected.size(1))
    actual, expected = (torch.nn.functional.pad(t, (0, columns - t.size(1)), value=model.pad) for t in (actual, expected))
    equal = ties = 0
    for row in range(len(prompt)):
        differs = (actual[row] != expected[row]).nonzero()
        if len(differs) == 0:
            equal += 1
        elif is_tie(model, prompt[row], expected[row], place := int(differs[0]), int(actual[row, place])):
            ties += 1
    return len(prompt), equal, ties


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--library", help="libgiantrabbit_ops.so, for files that use its operators")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.library:
        torch.ops.load_library(arguments.library)
    extra = {"verification.json": ""}
    try:
        model = torch.jit.load(arguments.file, _extra_files=extra)
    except RuntimeError as error:
        if "Unknown builtin op: giantrabbit" not in str(error):
            raise
        raise SystemExit(f"{arguments.file}: uses the operators of libgiantrabbit_ops.so; name it with --library") from None
    cases = json.loads(extra["verification.json"])
    begin = time.perf_counter()
    with torch.no_grad():
        differences = [logits_difference(model, case) for case in cases["forward"]]
        counts = [generated(model, case) for case in cases["generate"]]
    absolute, relative = (max(column) for column in zip(*differences))
    total, equal, ties = (sum(column) for column in zip(*counts))
    print(
        f"{arguments.file}: {len(model.words)} words; logits of {len(differences)} shapes differ by at most "
        f"{absolute:.1e} ({relative:.1e} of the largest); generate writes the expected words for {equal} of {total} "
        f"prompts, {ties} more differ in ties; {time.perf_counter() - begin:.1f} s"
    )
    return 0 if relative <= TOLERANCE and equal + ties == total else 1


if __name__ == "__main__":
    sys.exit(main())
