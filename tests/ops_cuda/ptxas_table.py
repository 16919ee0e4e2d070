#!/usr/bin/env python3
"""Registers, stack and spills of every CUDA kernel against the committed budgets. In: ptxas_budgets.csv and the folder
with the logs of the build (scripts/cmake/ptxas_log.py). Out: the table and a line per violation, exit code 1 if any.
With --write the budgets become what the logs say. Registers are handed out eight at a time, so budgets are too.
"""
import csv
import pathlib
import re
import subprocess
import sys

ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\d+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
STATIC = re.compile(r"(\d+) bytes smem")
FIELDS = ["kernel", "architecture", "registers"]


def short_name(demangled):
    """The kernel and its template arguments, without namespaces, parameters and return type."""
    name = re.sub(r"giantrabbit::ops::cuda::", "", demangled)
    depth = 0
    for at, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            name = name[:at]
            break
    return name.removeprefix("void ")


def read_logs(folder):
    """Kernel and architecture -> registers and bytes that it should not need."""
    usage = {}
    names = {}
    for log in sorted(folder.rglob("*.ptxas")):
        current = None
        for line in log.read_text(encoding="utf-8").splitlines():
            if found := ENTRY.search(line):
                current = (found[1], found[2])
                usage[current] = {"registers": 0, "memory": 0}
            elif found := FRAME.search(line):
                usage[current]["memory"] += sum(map(int, found.groups()))
            elif found := USED.search(line):
                usage[current]["registers"] = int(found[1])
                if static := STATIC.search(line):
                    usage[current]["memory"] += int(static[1])
    mangled = sorted({name for name, _ in usage})
    demangled = subprocess.run(["c++filt"], input="\n".join(mangled), capture_output=True, text=True, check=True)
    names = dict(zip(mangled, map(short_name, demangled.stdout.splitlines())))
    return {(names[name], architecture): numbers for (name, architecture), numbers in sorted(usage.items())}


def rounded(registers):
    return (registers + 7) // 8 * 8


def violations(usage, budgets):
    found = []
    for key, numbers in usage.items():
        if numbers["memory"] != 0:
            found.append(f"{key[0]} for sm_{key[1]}: {numbers['memory']} bytes of stack, spills or static shared memory")
        if key not in budgets:
            found.append(f"{key[0]} for sm_{key[1]}: no budget; add it with --write")
        elif numbers["registers"] > budgets[key]:
            found.append(f"{key[0]} for sm_{key[1]}: {numbers['registers']} registers, budget {budgets[key]}")
    found += [f"{key[0]} for sm_{key[1]}: a budget, but no such kernel" for key in budgets if key not in usage]
    return found


def self_test():
    usage = {("a", "80"): {"registers": 33, "memory": 0}, ("b", "80"): {"registers": 8, "memory": 4}}
    name = short_name("void giantrabbit::ops::cuda::f<giantrabbit::ops::cuda::R<(int)2>, float>(int, float*)")
    return (
        violations(usage, {("a", "80"): 40, ("b", "80"): 8}) != []
        and violations({("a", "80"): usage["a", "80"]}, {("a", "80"): 40}) == []
        and violations({("a", "80"): usage["a", "80"]}, {("a", "80"): 32}) != []
        and violations({}, {("a", "80"): 32}) != []
        and name == "f<R<(int)2>, float>"
    )


def main():
    budgets_file = pathlib.Path(sys.argv[1])
    usage = read_logs(pathlib.Path(sys.argv[2]))
    if not self_test() or not usage:
        print("ptxas_table.py: " + ("no logs found" if not usage else "the check does not find its own examples"))
        return 1
    if "--write" in sys.argv:
        with budgets_file.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(FIELDS)
            writer.writerows([*key, rounded(numbers["registers"])] for key, numbers in sorted(usage.items()))
    with budgets_file.open(encoding="utf-8", newline="") as file:
        budgets = {(row["kernel"], row["architecture"]): int(row["registers"]) for row in csv.DictReader(file)}
    for key, numbers in sorted(usage.items()):
        print(f"{numbers['registers']:4} registers  sm_{key[1]}  {key[0]}")
    found = violations(usage, budgets)
    print("\n".join(found + [f"{len(usage)} kernels, {len(found)} violations"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
