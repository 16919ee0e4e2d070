#!/usr/bin/env python3
"""What every CUDA kernel takes of a multiprocessor, against the committed budgets. In: ptxas_budgets.csv, the folder
with the logs of the build (scripts/cmake/ptxas_log.py) and, for shared memory and occupancy, what the emulated tests
launched (tests/cuda_emulator/launch_log.cpp) with the program that knows the devices (occupancy.cpp). Out: the table
and a line per violation, exit code 1 if any. With --write the budgets become what was found. Registers are handed out
eight at a time, so budgets are too.
"""
import argparse
import csv
import pathlib
import re
import subprocess
import sys

ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\d+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
STATIC = re.compile(r"(\d+) bytes smem")
WARPS_PER_MULTIPROCESSOR = 64  # of compute capability 8.0 and 9.0
REGISTER_FIELDS = ["registers"]
LAUNCH_FIELDS = ["threads", "shared", "warps"]


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
    """(symbol, architecture) -> registers, and bytes of stack, spills and static shared memory."""
    usage = {}
    for log in sorted(folder.rglob("*.ptxas")):
        current = None
        for line in log.read_text(encoding="utf-8").splitlines():
            if found := ENTRY.search(line):
                current = (found[1], found[2])
                usage[current] = {"registers": 0, "stack": 0, "spills": 0, "static": 0}
            elif found := FRAME.search(line):
                stack, *spills = map(int, found.groups())
                usage[current].update(stack=stack, spills=sum(spills))
            elif found := USED.search(line):
                usage[current]["registers"] = int(found[1])
                if static := STATIC.search(line):
                    usage[current]["static"] = int(static[1])
    return usage


def read_launches(folder):
    """Symbol -> the combinations of threads per block and bytes of dynamic shared memory that it was launched with."""
    launches = {}
    for file in sorted(folder.glob("*.txt")):
        for line in file.read_text(encoding="utf-8").splitlines():
            symbol, threads, dynamic = line.split()
            launches.setdefault(symbol, set()).add((int(threads), int(dynamic)))
    return launches


def resident_blocks(program, questions):
    """Blocks per multiprocessor for every (architecture, threads, registers, static, dynamic)."""
    lines = "".join(" ".join(map(str, question)) + "\n" for question in questions)
    answers = subprocess.run([program], input=lines, capture_output=True, text=True, check=True)
    return list(map(int, answers.stdout.split()))


def add_launches(usage, launches, blocks_of):
    """The largest block and shared memory of every kernel, and the fewest warps a multiprocessor holds."""
    questions = []
    for (symbol, architecture), numbers in usage.items():
        for threads, dynamic in sorted(launches.get(symbol, ())):
            questions.append(((symbol, architecture), threads, numbers["static"], dynamic, numbers["registers"]))
    answers = blocks_of([(key[1], threads, registers, static, dynamic)
                         for key, threads, static, dynamic, registers in questions])
    for (key, threads, static, dynamic, _), blocks in zip(questions, answers, strict=True):
        numbers = usage[key]
        numbers["threads"] = max(numbers.get("threads", 0), threads)
        numbers["shared"] = max(numbers.get("shared", 0), static + dynamic)
        numbers["warps"] = min(numbers.get("warps", WARPS_PER_MULTIPROCESSOR), blocks * ((threads + 31) // 32))


def with_short_names(usage):
    symbols = sorted({symbol for symbol, _ in usage})
    demangled = subprocess.run(["c++filt"], input="\n".join(symbols), capture_output=True, text=True, check=True)
    names = dict(zip(symbols, map(short_name, demangled.stdout.splitlines()), strict=True))
    return {(names[symbol], architecture): numbers for (symbol, architecture), numbers in usage.items()}


def rounded(registers):
    return (registers + 7) // 8 * 8


def text_of(key):
    return f"{key[0]} for sm_{key[1]}"


def without_partner(usage, budgets, file):
    found = [f"{text_of(key)}: no budget in {file}; add it with --write" for key in usage if key not in budgets]
    return found + [f"{text_of(key)}: a budget in {file}, but no such kernel" for key in budgets if key not in usage]


def register_violations(usage, budgets):
    found = without_partner(usage, budgets, "ptxas_budgets.csv")
    for key, numbers in usage.items():
        memory = numbers["stack"] + numbers["spills"] + numbers["static"]
        if memory != 0:
            found.append(f"{text_of(key)}: {memory} bytes of stack, spills or static shared memory")
        if key in budgets and numbers["registers"] > budgets[key]["registers"]:
            found.append(f"{text_of(key)}: {numbers['registers']} registers, budget {budgets[key]['registers']}")
    return found


def launch_violations(usage, budgets):
    found = [f"{text_of(key)}: no test launches it" for key, numbers in usage.items() if "warps" not in numbers]
    launched = {key: numbers for key, numbers in usage.items() if "warps" in numbers}
    found += without_partner(launched, budgets, "launch_budgets.csv")
    for key, numbers in launched.items():
        budget = budgets.get(key, numbers)
        if numbers["threads"] != budget["threads"]:
            found.append(f"{text_of(key)}: blocks of {numbers['threads']} threads, budget {budget['threads']}")
        if numbers["shared"] > budget["shared"]:
            found.append(f"{text_of(key)}: {numbers['shared']} bytes of shared memory, budget {budget['shared']}")
        if numbers["warps"] < budget["warps"]:
            found.append(f"{text_of(key)}: {numbers['warps']} warps per multiprocessor, budget {budget['warps']}")
    return found


def write_budgets(file, fields, usage):
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["kernel", "architecture", *fields])
        for key, numbers in sorted(usage.items()):
            if all(field in numbers for field in fields):
                writer.writerow([*key, *(rounded(numbers[f]) if f == "registers" else numbers[f] for f in fields)])


def read_budgets(file, fields):
    with file.open(encoding="utf-8", newline="") as rows:
        return {
            (row["kernel"], row["architecture"]): {field: int(row[field]) for field in fields}
            for row in csv.DictReader(rows)
        }


def print_table(usage):
    print("registers stack spills shared threads warps/SM occupancy")
    for key, numbers in sorted(usage.items()):
        line = f"{numbers['registers']:9} {numbers['stack']:5} {numbers['spills']:6}"
        if "warps" in numbers:
            share = 100 * numbers["warps"] / WARPS_PER_MULTIPROCESSOR
            line += f" {numbers['shared']:6} {numbers['threads']:7} {numbers['warps']:8} {share:7.0f} %"
        print(f"{line}  sm_{key[1]}  {key[0]}")


def self_test():
    a = {"registers": 33, "stack": 0, "spills": 0, "static": 0}
    b = {"registers": 8, "stack": 0, "spills": 4, "static": 0}
    fine = {("a", "80"): {"registers": 40}}
    tight = {("a", "80"): {"registers": 32}}
    name = short_name("void giantrabbit::ops::cuda::f<giantrabbit::ops::cuda::R<(int)2>, float>(int, float*)")
    launched = {("a", "80"): dict(a), ("b", "80"): dict(b)}
    add_launches(launched, {"a": [(128, 512), (64, 1024)]}, lambda questions: [4 for _ in questions])
    budget = {"threads": 128, "shared": 1024, "warps": 8}
    worse = [{**budget, field: value} for field, value in [("threads", 64), ("shared", 1023), ("warps", 9)]]
    only_a = {("a", "80"): launched["a", "80"]}
    return (
        register_violations({("a", "80"): a, ("b", "80"): b}, {**fine, ("b", "80"): {"registers": 8}}) != []
        and register_violations({("a", "80"): a}, fine) == []
        and register_violations({("a", "80"): a}, tight) != []
        and register_violations({}, tight) != []
        and launched["a", "80"] == {**a, "threads": 128, "shared": 1024, "warps": 8}
        and launch_violations(only_a, {("a", "80"): budget}) == []
        and all(len(launch_violations(only_a, {("a", "80"): other})) == 1 for other in worse)
        and len(launch_violations(launched, {("a", "80"): budget})) == 1
        and name == "f<R<(int)2>, float>"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("budgets", type=pathlib.Path, help="ptxas_budgets.csv; launch_budgets.csv lies beside it")
    parser.add_argument("logs", type=pathlib.Path, help="folder of the build that holds the .ptxas files")
    parser.add_argument("--launches", type=pathlib.Path, help="folder with the launches of the tests; without it registers only")
    parser.add_argument("--occupancy", type=pathlib.Path, help="the program that answers for the devices")
    parser.add_argument("--write", action="store_true", help="take what was found for the budgets")
    options = parser.parse_args()
    usage = read_logs(options.logs)
    if not self_test() or not usage:
        print("ptxas_table.py: " + ("no logs found" if not usage else "the check does not find its own examples"))
        return 1
    if options.launches:
        launches = read_launches(options.launches)
        add_launches(usage, launches, lambda questions: resident_blocks(options.occupancy, questions))
    usage = with_short_names(usage)
    launch_budgets = options.budgets.with_name("launch_budgets.csv")
    if options.write:
        write_budgets(options.budgets, REGISTER_FIELDS, usage)
        if options.launches:
            write_budgets(launch_budgets, LAUNCH_FIELDS, usage)
    print_table(usage)
    found = register_violations(usage, read_budgets(options.budgets, REGISTER_FIELDS))
    if options.launches:
        found += launch_violations(usage, read_budgets(launch_budgets, LAUNCH_FIELDS))
    print("\n".join(found + [f"{len(usage)} kernels, {len(found)} violations"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
