"""Training speed of GiantRabbit in C++ against the same model in PyTorch. In: the path of training_bench and of the
data file it wrote; out: a table of target tokens per second and of the ratio to Python.

Every participant is a process of its own on the same core with one thread; only one works at a time, in turns of a
few steps on the same batches, and the order is reversed every other round, so that all see the same machine. Ratios
are taken inside a round. Before anything is timed, the losses and gradient norms of the softmax models must agree."""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys

CHECKED_STEPS = 8
REFERENCE = "Python softmax adamw"


class Participant:
    def __init__(self, name, command):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.rounds = []

    def ask(self, command, steps, lines):
        print(command, steps, file=self.process.stdin, flush=True)
        answer = [self.process.stdout.readline().split() for _ in range(lines)]
        if not answer[-1]:
            sys.exit(f"training_speed: '{self.name}' ended early")
        return [[float(number) for number in line] for line in answer]


def check(reference, other):
    """fp32 sums of a few hundred terms in another order differ by about 1e-6 of their size in the first loss; 1e-5
    leaves room for the depth of the model. AdamW divides by the gradient's own size, so that differences may grow
    with every update; a factor of 2 each is allowed, which ends at 1e-3, far below what a different block causes."""
    agree = True
    for step, (expected, found) in enumerate(zip(reference, other)):
        for what, a, b in zip(("loss", "gradient norm"), expected, found):
            tolerance = (1e-5 if what == "loss" else 1e-4) * 2**step
            if not abs(a - b) <= tolerance * abs(a):
                print(f"step {step}: {what} is {a} in Python and {b} in C++, allowed {tolerance:.0e}", file=sys.stderr)
                agree = False
    if not agree:
        sys.exit("training_speed: the two models differ; nothing was timed")
    worst = max(abs(a[0] - b[0]) / a[0] for a, b in zip(reference, other))
    print(f"same model: losses {reference[0][0]:.5f} .. {reference[-1][0]:.5f} over {len(reference)} steps agree within "
          f"{worst:.1e}")


def quartiles(values):
    return statistics.quantiles(values, n=4, method="inclusive")


def report(participants):
    reference = next(p for p in participants if p.name == REFERENCE)
    print(f"{'':<24}{'tokens/s':>10}{'ratio to Python by wall time':>32}{'by processor time':>32}")
    print(f"{'':<24}{'median':>10}{'best':>10}{'median':>8}{'quartiles':>14}{'best':>10}{'median':>8}{'quartiles':>14}")
    for participant in participants:
        speed = statistics.median(tokens / wall for wall, _, tokens in participant.rounds)
        line = f"{participant.name:<24}{speed:>10.0f}"
        for clock in (0, 1):
            own = [seconds[clock] / seconds[2] for seconds in participant.rounds]
            theirs = [seconds[clock] / seconds[2] for seconds in reference.rounds]
            low, middle, high = quartiles([b / a for a, b in zip(own, theirs)])
            line += f"{min(theirs) / min(own):>10.2f}{middle:>8.2f}{f'{low:.2f}-{high:.2f}':>14}"
        print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", help="the program training_bench")
    parser.add_argument("file", help="the file it wrote")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=10, help="training steps per turn")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # processes started from here stay on this core
    serve = pathlib.Path(__file__).with_name("serve.py")
    participants = [Participant(REFERENCE, [sys.executable, str(serve), arguments.file])]
    for attention, optimizer in (("softmax", "adamw"), ("sparsemax", "adamw"), ("softmax", "muon")):
        participants.append(Participant(f"C++ {attention} {optimizer}",
                                        [arguments.bench, "serve", arguments.file, attention, optimizer]))
    answers = [participant.ask("check", CHECKED_STEPS, CHECKED_STEPS) for participant in participants]
    check(answers[0], answers[1])
    for number in range(arguments.rounds):
        for participant in participants if number % 2 == 0 else reversed(participants):
            participant.rounds += participant.ask("time", arguments.steps, 1)
    report(participants)


main()
