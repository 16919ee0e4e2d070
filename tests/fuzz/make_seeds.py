#!/usr/bin/env python3
"""First inputs of the fuzz targets. In: giantrabbit-train, a folder. Out: FOLDER/TARGET/seed-NAME.

Files are those of the smallest run (tests/fuzz/tiny_run.cpp), trained for two steps; texts are one example of every
format and family. libFuzzer's -merge=1 makes the kept corpus of them and of what fuzzing finds.
"""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

PROBLEMS = """RREF 1 2 3 ; 4 5 1/2 ;
SOLSET 3 3 ; 4 0 0 ; 2 1 0 ; 5 0 1
UNDO 1 -2 -5 4 ; 0 0 0 0 ; 0 0 0 0 ; SUB R2 R1 3 SUB R3 R1 5
NULL 0 1 2 2 ; 0 3 8 7 ; 0 0 4 2
COLSP 0 1 2 2 ; 0 3 8 7 ; 0 0 4 2
BLOCK 0 1 2 2 ; 0 3 8 7 ; 0 0 4 2
FACT_COUNT 3 5 3
FACT_SPACES 3 5 3
MEMBER_RULE 2 1 ; 6 5 ; 2 4
MEMBER_RULE NONE ; 2 1 ; 6 5
MEMBER_RULE SOLSET 4 0 0 ; 2 1 0 ; 5 0 1
MEMBER 2 1 8 ; 6 5 28 ; 2 4 14
GF2 1 0 1 ; 1 1 0
GF3 1 2 0 ; 2 0 1
MUL 8 3 * 4 5
ADD 8 3 + 4 5
SORT 3 1 2
LISTOPS [MAX 2 [SM 4 7 9 ] 1 ]
RECALL -3 7 -9 2 ; : -9 -3
COPY 3 1 4
REVERSE 3 1 4
LONG_COPY 3 1 4
MAJORITY 3 1 3
COUNT 3 1 3
PATH 5 9 3 ; 5 7 1 3 7 9
ABC c a a""".split("\n")

# An input that asks for much work for its size, each of its own kind.
LONG_PROBLEMS = {
    "sort": "SORT " + "60 -60 " * 120,
    "product": "MUL " + "9 " * 120 + "* " + "9 " * 120,
    "sum": "ADD " + "9 " * 600 + "+ " + "9 " * 600,
    "nested": "LISTOPS " + "[MAX " * 300 + "1 " + "] " * 300,
    "wide": "LISTOPS [SM " + "[MIN 4 7 ] " * 200 + "]",
    "path": "PATH 0 1 2 ; " + " ".join(f"{i} {i + 1}" for i in range(2, 59)) + " 0 3 " + "0 2 " * 500 + ";",
    "copy": "COPY " + "1 " * 1500,
    "values": "RREF " + "1 " * 1000,
}

ITEMS = [
    {"id": "1a", "family": "SOLSET", "given": {"A_shape": [3, 3], "particular": [4, 0, 0], "special": [[2, 1, 0], [5, 0, 1]]}},
    {"id": "1b", "family": "UNDO", "given": {"R": [[1, -2, -5], [0, 0, 0], [0, 0, 0]], "d": [4, 0, 0],
     "operations": [{"target": 2, "source": 1, "factor": 3}, {"target": 3, "source": 1, "factor": 5}]}},
    {"id": "2a", "family": "NULL", "given": {"A": [[0, 1, 2, 2], [0, 3, 8, 7], [0, 0, 4, 2]]}},
    {"id": "2c", "family": "BLOCK", "given": {"A": [[0, 1], ["1/2", 3]], "block_pattern": "[[A,A],[A,A]]"}},
    {"id": "3a", "family": "FACT_COUNT", "given": {"m": 3, "n": 5, "rank": 3}},
    {"id": 4, "family": "MEMBER_RULE", "given": {"particular": [1, 2], "special": [[1, 0]], "solutions": "many"}},
    {"id": "4b", "family": "MEMBER", "given": {"A": [[2, 1], [6, 5], [2, 4]], "b": [8, 28, 14]}},
    {"family": "GF2", "given": {"A": [[1, 0, 1], [1, 1, 0]]}},
    {"family": "MUL", "given": {"a": 38, "b": "54"}},
    {"family": "ADD", "given": {"a": 38, "b": "54"}},
    {"family": "SORT", "given": {"list": [3, 1, 2]}},
    {"family": "LISTOPS", "given": {"expression": "[MAX 2 [SM 4 7 9 ] 1 ]"}},
    {"family": "RECALL", "given": {"pairs": [[-3, 7], [-9, 2]], "queries": [-9]}},
    {"family": "PATH", "given": {"start": 5, "targets": [9, 3], "edges": [[5, 7], [1, 3], [7, 9]]}},
    {"family": "ABC", "given": {"letters": "caa"}},
    {"question": "Every A is a B. Every B is an C. Tom is a A. Is Tom a C or D?", "answer": "Tom is a C.", "steps": []},
]

METRICS = '{"step":50,"loss":2.5,"tokens":1000}\n{"step":100,"loss":0.5,"tokens":2000}\n' \
    '{"step":100,"tokens":2000,"validation_exact":0.25,"validation_items":4}\n{"step":101,"loss":0.5,"tokens":2100}\n'

RUN = ["--task", "abc-sort", "--format", "answer_only", "--width", "2", "--heads", "1", "--feed-forward", "1",
       "--encoder=false", "--encoder-layers", "0", "--decoder-layers", "1", "--thought-steps", "0", "--position",
       "rotary", "--number-features=false", "--steps", "2", "--batch-tokens", "64", "--validation-items", "2"]


def header_of(file):
    return file[8:8 + struct.unpack("<Q", file[:8])[0]]


def main():
    trainer, folder = sys.argv[1], pathlib.Path(sys.argv[2])

    def seed(target, name, content):
        path = folder / target / f"seed-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    with tempfile.TemporaryDirectory() as scratch:
        run = pathlib.Path(scratch) / "run"
        subprocess.run([trainer, *RUN, "--out", run], check=True, stdout=subprocess.DEVNULL)
        config = (run / "config.toml").read_bytes()
        vocabulary = (run / "vocabulary.json").read_bytes()
        model = (run / "model.safetensors").read_bytes()
        checkpoint = next((run / "checkpoints").iterdir()).read_bytes()
        seed("metrics", "run", (run / "metrics.jsonl").read_bytes())
    for target, file in (("safetensors", model), ("checkpoint", checkpoint)):
        seed(target, "file", file)
        seed(target, "header", header_of(file))
    seed("safetensors", "types", struct.pack("<Q", 208) + json.dumps({
        "__metadata__": {"a": "b"}, "x": {"dtype": "BOOL", "shape": [2, 1], "data_offsets": [0, 2]},
        "y": {"dtype": "F16", "shape": [], "data_offsets": [2, 4]},
        "z": {"dtype": "I64", "shape": [0, 3], "data_offsets": [4, 4]}}).encode().ljust(208) + b"\1\0ab")
    seed("config", "run", config)
    seed("vocabulary", "run", vocabulary)
    seed("metrics", "lines", METRICS)
    seed("run", "whole", b"%%\n".join([config, vocabulary, b"", model]))
    seed("run", "header", b"%%\n%%\n%%\n" + header_of(model))
    seed("run", "changes", b"%%\n%%\nattention=sparsemax,score_scale=0.5,weights=int8%%\n")
    seed("run", "config", config + b"%%\n")
    for number, text in enumerate(PROBLEMS):
        seed("problem", f"{number:02}", text)
    for name, text in LONG_PROBLEMS.items():
        seed("problem", name, text)
    for number, item in enumerate(ITEMS):
        seed("items", f"{number:02}", json.dumps([item]))
    seed("items", "lines", "\n".join(json.dumps(item) for item in ITEMS[:4]) + "\n")
    seed("items", "wrapped", json.dumps({"items": ITEMS[4:6]}))
    seed("items", "multiplication", "8 3 * 4 5||2 5 1 NL#### 2 5 0 2\n1 2 * 3 4||#### 3 0 9 0\n")
    seed("items", "listops", "Source\tTarget\n[MAX 2 [SM 4 7 9 ] 1 ]\t2\n3\t[MIN 3 4 ]\n")
    for family in range(26):
        seed("judge", f"{family:02}", bytes([family, 3 * (family % 8) + family % 3, 0]))
    seed("judge", "words", bytes([0, 0, 1]) + bytes(range(7, 60)) + b"\xffnot a word\xff\3\2")
    seed("text", "short", bytes([3]) + b"In the beginning God created the heaven and the earth.\n" * 3)
    seed("text", "window", bytes([0]) + bytes(range(256)))


if __name__ == "__main__":
    main()
