#!/usr/bin/env python3
"""Rules that hold for every own file. In: the repository's root. Out: one line per violation, exit code 1 if any.

Rooms include only the rooms below them; every file opens with a comment; files stay short; no tabs, no trailing
blanks, no paths of one machine; shell scripts can be run and read.
"""
import os
import pathlib
import re
import subprocess
import sys

MAY_INCLUDE = {
    "ops": {"ops"},
    "data": {"data"},
    "model": {"model", "ops"},
    "eval": {"eval", "model", "data"},
    "train": {"train", "model", "data", "eval"},
    "tests": {"tests", "ops", "data", "model", "eval", "train"},
}
CODE = {".cpp", ".h", ".cu", ".cuh"}
TEXT = CODE | {".sh", ".py", ".txt", ".cmake", ".md"}
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:home|work|root|Users|mnt)/\w")


def check_includes(path, room, lines, report):
    for number, line in enumerate(lines, 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        quoted, angled = found.groups()
        named = quoted or angled
        if named.startswith("../") or "/../" in named:
            report(number, f"include {named}: name the room instead of climbing folders")
        elif named.split("/")[0] in MAY_INCLUDE and "/" in named:
            other = named.split("/")[0]
            if angled:
                report(number, f"own header {named} needs quotation marks")
            if other not in MAY_INCLUDE[room]:
                report(number, f"{room}/ may not include {other}/ ({named})")
        elif quoted and room != "tests":
            report(number, f"include {named}: own headers are named as room/file.h")


def check_text(path, lines, report):
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            report(number, "a tab")
        if line != line.rstrip():
            report(number, "trailing blanks")
        if MACHINE_PATH.search(line):
            report(number, "a path of one machine")


def check_script(path, lines, report):
    """A formatter that takes a script for C++ leaves it unreadable."""
    if not lines[0].startswith("#!/") or not os.access(path, os.X_OK):
        report(1, "a script begins with #!/ and is executable")
    if subprocess.run(["bash", "-n", str(path)], capture_output=True).returncode != 0:
        report(1, "the shell cannot read it")


def check(root):
    problems = []
    files = [root / "CMakeLists.txt", root / "README.md"]
    for folder in [*MAY_INCLUDE, "python", "scripts"]:
        files += sorted(path for path in (root / folder).rglob("*") if path.is_file())
    for path in files:
        if path.suffix not in TEXT or not path.exists():
            continue
        name = path.relative_to(root)

        def report(number, what, name=name):
            problems.append(f"{name}:{number}: {what}")

        lines = path.read_text(encoding="utf-8").split("\n")
        check_text(path, lines, report)
        if path.suffix == ".sh":
            check_script(path, lines, report)
        if path.suffix in CODE:
            room = name.parts[0]
            check_includes(path, room, lines, report)
            if not lines[0].startswith("//"):
                report(1, "a file begins with a comment: what comes in, what goes out, what holds")
            limit = 400 if room == "tests" else 300
            if len(lines) - 1 > limit:
                report(limit, f"{len(lines) - 1} lines; {limit} are the limit")
            if path.suffix in {".h", ".cuh"} and "#pragma once" not in lines:
                report(1, "a header without #pragma once")
    return problems, len(files)


def self_test():
    """The checks find what they are for."""
    found = []

    def report(number, what):
        found.append(what)

    check_includes(None, "model", ['#include "train/trainer.h"', "#include <ops/sparsemax.h>", '#include "../a.h"', '#include "model/a.h"'], report)
    check_text(None, ["\tx", "x ", "see /" + "home/someone/x"], report)
    return len(found) == 6


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    if not self_test():
        print("the lint does not find its own examples")
        return 1
    problems, count = check(root)
    for problem in problems:
        print(problem)
    print(f"{count} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
