#!/usr/bin/env python3
"""Interrupts training runs and resumes them: every one must end with the bits of a run that was left alone.

Usage: crash_trials.py PATH/TO/giantrabbit-train [--trials 5] [--disk-trials 0] [--seed S]

A trial is killed with SIGKILL up to three times, each time after a random time, and resumed; checkpoints are written
after every update, so that many kills hit a write. Every fourth trial also meets a limit on the size of its files, which
ends a write in its middle. --disk-trials mounts small tmpfs file systems (in a mount namespace of its own: needs root or
user namespaces) and lets runs meet a full disk and a read-only one. Prints its seed; exit 1 after a difference.
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

OPTIONS = ("--width 16 --heads 2 --feed-forward 32 --decoder-layers 1 --thought-steps 1 --attention sparsemax "
           "--batch-tokens 128 --warmup-steps 10 --validation-items 2 --validation-interval 0.25 --steps 60 "
           "--checkpoint-seconds 0").split()


class Trials:
    def __init__(self, program: str, folder: pathlib.Path, chance: random.Random):
        self.program = program
        self.folder = folder
        self.chance = chance
        self.failures = 0
        self.kills = 0
        self.broken_writes = 0
        self.refusals = 0
        started = time.monotonic()
        reference = folder / "reference"
        code, error = self.run(reference)
        if code != 0:
            sys.exit(f"the undisturbed run fails: {error}")
        self.duration = time.monotonic() - started
        self.expected = result_of(reference)

    def run(self, out: pathlib.Path, seconds: float | None = None, file_size: int | None = None) -> tuple[int, str]:
        """Starts or resumes the run; SIGKILL after `seconds`. Returns the exit code and what it said on stderr."""

        def limit() -> None:
            if file_size is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails instead
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

        resume = ["--resume"] if (out / "config.toml").exists() else OPTIONS
        process = subprocess.Popen([self.program, "--out", str(out), *resume], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, preexec_fn=limit)
        try:
            _, error = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            _, error = process.communicate()
            self.kills += 1
            self.broken_writes += any(".tmp" in path.name for path in out.rglob("*"))
        return process.returncode, error

    def refused(self, what: str, out: pathlib.Path, code: int, error: str) -> None:
        """A run that could not write: exit 1 and one line that names a file of the run. A short one may be done."""
        if code == 0:
            return
        self.refusals += 1
        if code != 1 or error.count("\n") != 1 or str(out) not in error:
            self.fail(f"{what}: exit code {code}, said: {error!r}")

    def finish(self, what: str, out: pathlib.Path) -> None:
        code, error = self.run(out)
        if code != 0:
            self.fail(f"{what}: the last resumption fails with {code}: {error}")
        elif (result := result_of(out)) != self.expected:
            self.fail(f"{what}: differs in {[name for name in self.expected if self.expected[name] != result.get(name)]}")

    def fail(self, text: str) -> None:
        self.failures += 1
        print(f"FAILED: {text}", flush=True)

    def kill_trial(self, number: int) -> None:
        out = self.folder / f"trial-{number}"
        for _ in range(self.chance.randint(1, 3)):
            self.run(out, seconds=self.chance.uniform(0, 1.1 * self.duration))
        if number % 4 == 3:
            size = self.chance.randint(1, 400_000)
            self.refused(f"trial {number}, files of {size} bytes", out, *self.run(out, file_size=size))
        self.finish(f"trial {number}", out)
        shutil.rmtree(out)

    def disk_trial(self, number: int) -> None:
        disk = self.folder / f"disk-{number}"
        disk.mkdir()
        out = disk / "run"
        kilobytes = 4 * self.chance.randint(1, 500)
        call("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", disk)
        self.refused(f"disk of {kilobytes} kB", out, *self.run(out))
        call("mount", "-o", "remount,ro,size=64m", disk)
        self.refused("read-only disk", out, *self.run(out))
        call("mount", "-o", "remount,rw", disk)
        self.run(out, seconds=self.chance.uniform(0, self.duration))
        self.finish(f"disk {number}", out)
        call("umount", disk)


def call(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True)


def result_of(run: pathlib.Path) -> dict[str, str]:
    """What a run leaves, without what the clock decides."""
    result = {"files": ", ".join(sorted(str(path.relative_to(run)) for path in run.rglob("*")
                                        if path.is_file() and not path.name.startswith("events.")))}
    result["weights"] = hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    clocks = ("seconds", "processor_seconds", "tokens_per_second")
    result["metrics"] = json.dumps([{key: line[key] for key in line if key not in clocks} for line in lines])
    summary = json.loads((run / "summary.json").read_text())
    result["summary"] = json.dumps({key: summary[key] for key in summary if key not in clocks})
    return result


def in_own_namespace() -> None:
    """Goes on in a mount namespace that ends with this process, so that nothing stays mounted."""
    if os.environ.get("GR_CRASH_TRIALS_NAMESPACE") != "1":
        flags = "-m" if os.getuid() == 0 else "-rm"
        os.environ["GR_CRASH_TRIALS_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", flags, sys.executable, *sys.argv])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--disk-trials", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    arguments = parser.parse_args()
    if arguments.disk_trials > 0:
        in_own_namespace()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(arguments.program, pathlib.Path(folder), random.Random(arguments.seed))
        for number in range(arguments.trials):
            trials.kill_trial(number)
        for number in range(arguments.disk_trials):
            trials.disk_trial(number)
    print(f"{arguments.trials} killed runs ({trials.kills} kills, {trials.broken_writes} in the middle of a write), "
          f"{arguments.disk_trials} on full and read-only disks, {trials.refusals} clean refusals: "
          f"{trials.failures} failures")
    return 1 if trials.failures else 0


if __name__ == "__main__":
    sys.exit(main())
