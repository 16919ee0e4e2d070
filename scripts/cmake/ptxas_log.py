#!/usr/bin/env python3
"""Compiler launcher of CUDA sources. In: nvcc's command line. Out: nvcc's result; what ptxas -v says about every kernel
goes into <object>.ptxas instead of the terminal, for tests/ops_cuda/ptxas_table.py.
"""
import subprocess
import sys


def main():
    command = sys.argv[1:]
    result = subprocess.run(command, capture_output=True, text=True)
    lines = (result.stdout + result.stderr).splitlines(keepends=True)
    # Frame and spill sizes follow on an indented line of their own.
    about_kernels = [line for line in lines if line.startswith("ptxas info") or " bytes stack frame" in line]
    sys.stderr.writelines(line for line in lines if line not in about_kernels)
    if about_kernels:
        with open(command[command.index("-o") + 1] + ".ptxas", "w", encoding="utf-8") as log:
            log.writelines(about_kernels)
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
