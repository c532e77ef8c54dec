#!/usr/bin/env python3
"""What `bitmill plan` says of models of published sizes on a table of hardware: one row for each model
and recipe. The table is in src/schedule/PLANNING.md.

    tests/bench/plan_figures.py --program build/bin/bitmill --hardware h100
"""
import argparse
import json
import pathlib
import re
import subprocess
import tempfile

# hidden_size, intermediate_size, blocks, heads, key-value heads, context, vocabulary: the config.json
# that Meta published with each model.
MODELS = {"LLaMA-2 7B": (4096, 11008, 32, 32, 32, 4096, 32000),
          "LLaMA-2 13B": (5120, 13824, 40, 40, 40, 4096, 32000),
          "LLaMA-2 70B": (8192, 28672, 80, 64, 8, 4096, 32000),
          "LLaMA-3 405B": (16384, 53248, 126, 128, 8, 131072, 128256)}
RECIPES = ("published", "parallel", "best")
RANKS = (1, 8, 64, 512, 4096)


def read_words():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--program", default="build/bin/bitmill")
    parser.add_argument("--hardware", default="h100")
    parser.add_argument("--links", action="store_true", help="the table of src/schedule/LINKS.md instead")
    return parser.parse_args()


def write_config(folder, sizes):
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "max_position_embeddings", "vocab_size")
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "rms_norm_eps": 1e-5,
              "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False, **dict(zip(keys, sizes))}
    pathlib.Path(folder, "config.json").write_text(json.dumps(config), encoding="utf-8")


def forecast(args, folder, recipe, ranks):
    """What plan prints, or the bytes a rank would need where nothing fits."""
    command = [args.program, "plan", "--json", "--model", folder, "--recipe", recipe, "--ranks", str(ranks),
               "--hardware", args.hardware, "--seq-len", "2048"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout)
    needed = re.search(r"smallest (?:memory )?that would is (\d+) bytes", done.stderr)
    if needed is None:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return {"needed_bytes": int(needed[1])}


def spoken(seconds):
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def time_and_mesh(plan):
    if "needed_bytes" in plan:
        return f"needs {plan['needed_bytes'] / 1e9:.0f} GB"
    return f"{spoken(plan['makespan_s'])}, {plan['stages']}x{plan['replicas']}"


def figure(plan, key, unit):
    return unit(plan[key]) if key in plan else "–"


def gigabytes(count):
    return f"{count / 1e9:.1f} GB"


def extra(ratio):
    return f"{100 * (ratio - 1):.0f}%"


def row(args, folder, model, recipe):
    plans = {ranks: forecast(args, folder, recipe, ranks) for ranks in RANKS}
    cells = [time_and_mesh(plans[ranks]) for ranks in (1, 8, 64)]
    same = all(time_and_mesh(plans[ranks]) == cells[-1] for ranks in (512, 4096))
    cells.append("as on 64" if same else time_and_mesh(plans[4096]))
    cells.append(" / ".join(figure(plans[ranks], "peak_bytes", gigabytes) for ranks in (1, 64)))
    cells.append(figure(plans[64], "host_bytes", gigabytes))
    cells.append(" / ".join(figure(plans[ranks], "work_of_lag", extra) for ranks in (1, 64)))
    cells.append(figure(plans[64], "disk_bytes", gigabytes))
    return f"| {model} | {recipe} | " + " | ".join(cells) + " |"


def share(link):
    if link["bytes_per_s"] == 0:
        return "none"
    text = f"{link['bytes_per_s'] / 1e9:.3g} GB, {100 * link['bytes_per_s'] / link['rate']:.2g}%"
    return text + (" **binds**" if link["binds"] else "")


def print_links(args):
    print("| model | recipe | GPUs | mesh, time | streams | sums | sums go |")
    print("| --- " * 7 + "|")
    for model in ("LLaMA-2 7B", "LLaMA-2 70B"):
        with tempfile.TemporaryDirectory() as folder:
            write_config(folder, MODELS[model])
            for recipe in ("parallel", "best"):
                for ranks in (8, 32, 64):
                    plan = forecast(args, folder, recipe, ranks)
                    mesh = f"{plan['stages']}x{plan['replicas']}, {spoken(plan['makespan_s'])}"
                    streams, sums = plan["link_of_streams"], plan["link_of_sums"]
                    where = ("–" if sums["bytes_per_s"] == 0 else
                             "within a node" if sums["rate"] > 1e11 else "between nodes")
                    print(f"| {model} | {recipe} | {ranks} | {mesh} | {share(streams)} | {share(sums)} | {where} |")


def main():
    args = read_words()
    if args.links:
        return print_links(args)
    print("| model | recipe | 1 rank | 8 | 64 | 512 and 4,096 | peak of a rank, 1 / 64 ranks | host, 64 | "
          "extra work of lag, 1 / 64 | run folder, 64 |")
    print("| --- " * 10 + "|")
    for model, sizes in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            write_config(folder, sizes)
            for recipe in RECIPES:
                print(row(args, folder, model, recipe))


if __name__ == "__main__":
    main()
