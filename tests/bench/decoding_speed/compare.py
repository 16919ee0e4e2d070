"""Tokens per second of decoding_bench and of CTranslate2, by output length. In: the program, an empty folder for
CTranslate2's model. Out: a table; every figure is the whole call, the prompt of 16 words included. In each round all
sides decode once, in an order that changes with every round. Rates and ratios are taken by the processor time of the one
thread that works, which other programs on the machine do not lengthen; 'clock' is the rate by the wall clock. A figure is
the fastest round, a ratio the fastest rounds' (behind it the median over the rounds' own ratios and their quartiles).
'limit' is the share of the time that reading the weights, keys and values of a token takes at the speed of a plain sum
over as many bytes."""

import argparse
import statistics
import subprocess
import time

import ctranslate2
import numpy

import ct2_model

OURS = [(attention, weights) for attention in ("softmax", "sparsemax") for weights in ("float32", "bfloat16", "int8")]
THEIRS = ("float32", "int8")
PROMPT = 16


class Ours:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return [float(number) for number in self.process.stdout.readline().split()]


class Theirs:
    def __init__(self, folder, compute_type):
        self.translator = ctranslate2.Translator(folder, device="cpu", compute_type=compute_type, inter_threads=1,
                                                 intra_threads=1)
        random = numpy.random.default_rng(2)
        self.prompt = [ct2_model.VOCABULARY[i] for i in random.integers(3, ct2_model.WORDS, PROMPT)]

    def decode(self, length):
        """Processor seconds and seconds. The end of the sequence is forbidden before the last token, so that both sides
        write equally many."""
        start, processor_start = time.perf_counter(), time.process_time()
        result = self.translator.translate_batch([self.prompt], beam_size=1, max_decoding_length=length,
                                                 min_decoding_length=length, max_input_length=0)
        seconds = time.process_time() - processor_start, time.perf_counter() - start
        if len(result[0].hypotheses[0]) != length:
            raise SystemExit(f"decoding_speed: CTranslate2 wrote {len(result[0].hypotheses[0])} of {length} tokens")
        return seconds


def measure(ours, theirs, length, rounds):
    """Processor seconds and seconds per side and round, and what our side says about the bytes it read."""
    sides = [("ours", *pair) for pair in OURS] + [("theirs", name) for name in THEIRS]
    seconds = {side: [] for side in sides}
    facts = {}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            if side[0] == "theirs":
                seconds[side].append(theirs[side[1]].decode(length))
            else:
                answer = ours.ask("decode", *side[1:], length)
                seconds[side].append(tuple(answer[:2]))
                facts[side] = answer[3:]
    return seconds, facts


def ratio(other, own):
    each = sorted(a / b for a, b in zip(other, own))
    low, high = each[len(each) // 4], each[-1 - len(each) // 4]
    return f"{min(other) / min(own):6.2f} ({statistics.median(each):.2f}, {low:.2f}-{high:.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lengths", default="64,256,1024,4096,16384")
    arguments = parser.parse_args()
    ct2_model.write(arguments.folder)
    ours = Ours(arguments.program)
    theirs = {name: Theirs(arguments.folder, name) for name in THEIRS}
    measure(ours, theirs, 8, 2)
    print("Greedy decoding, batch 1, one thread, 1.2M random parameters; CTranslate2", ctranslate2.__version__,
          "with ReLU, ours with squared ReLU.")
    print("Scores have a standard deviation near 1 on our side: random weights say nothing about supports, see 'support'.")
    print(f"{'tokens':>6}  {'':<19}{'tokens/s':>9}{'clock':>9}  {'to float32 of CTranslate2':<28}{'to its int8':<28}"
          f"{'MB/token':>9}{'limit':>7}{'support':>9}")
    for length in map(int, arguments.lengths.split(",")):
        # Short calls are over in milliseconds: they need more rounds to meet a quiet moment.
        seconds, facts = measure(ours, theirs, length, arguments.rounds * max(1, min(20, 2048 // length)))
        processor = {side: [pair[0] for pair in pairs] for side, pairs in seconds.items()}
        for side, times in processor.items():
            line = f"{length:>6}  {' '.join(('CTranslate2', side[1]) if side[0] == 'theirs' else side[1:]):<19}"
            line += f"{length / min(times):>9.0f}{length / min(pair[1] for pair in seconds[side]):>9.0f}  "
            if side[0] == "ours":
                weights, attention, support = facts[side]
                bandwidth = ours.ask("read", int(weights + attention))[0]
                share = (weights + attention) / bandwidth * length / min(times)
                line += f"{ratio(processor['theirs', 'float32'], times):<28}{ratio(processor['theirs', 'int8'], times):<28}"
                line += f"{(weights + attention) / 1e6:>9.2f}{share:>7.2f}{support:>9.1f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
