"""Commands that are timed on a machine that others use too: what tools/compare-torch and tools/measure share.

A run is a command that prints JSON. It notes which share of the processors others took meanwhile, and is
disturbed if that was too much.
"""
import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The words that choose a network; drop path is off, for PyTorch's steps have none.
NETWORKS = {
    "resnet50": ("models/resnet.cnn", "--network", "resnet50", "--set", "drop_path=0"),
    "convnext_small": ("models/convnext.cnn", "--network", "convnext_small", "--set", "drop_path=0"),
    "convnext_large": ("models/convnext.cnn", "--network", "convnext_large", "--set", "drop_path=0"),
    "tutorial": ("models/tutorial.cnn",),
}


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- The machine ---------------------------------------------------------------------------------


def cpu_model():
    with open("/proc/cpuinfo") as file:
        fields = dict(line.split(":", 1) for line in file.read().split("\n\n")[0].splitlines())
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    numbers = [f"{name} {fields[name]}" for name in ("cpu family", "model", "stepping") if name in fields]
    return ", ".join([fields.get("model name", "unknown")] + numbers)


def machine(runs):
    """The machine as the first of some runs of `sparkc bench` found it; how fast it multiplies bf16, from any."""
    found = runs[0]["machine"]
    tiles = max(run["machine"]["tile_flops_per_second"] for run in runs)
    return {"cpu": cpu_model(), "processors": os.cpu_count(), "instructions": found["cpu"],
            "tile_flops_per_second": tiles} | {
        name: found[name] for name in ("flops_per_second", "bytes_per_second", "launch_seconds")}


def busy_seconds():
    """Of all processors together since boot; time that the host took away counts as busy."""
    with open("/proc/stat") as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Watch:
    """How much of the processors others take from now on."""

    def __init__(self):
        self.wall, self.busy, self.own = time.monotonic(), busy_seconds(), children_seconds()

    def others_share(self):
        others = busy_seconds() - self.busy - (children_seconds() - self.own)
        return max(0.0, others / ((time.monotonic() - self.wall) * os.cpu_count()))


def wait_for_quiet(limit, busy):
    """Two quiet seconds, or `limit` seconds at most."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        watch = Watch()
        time.sleep(2)
        if watch.others_share() <= busy:
            return


# ---- Runs ----------------------------------------------------------------------------------------


def run_json(program, command, options):
    """What the command prints, with `others_share` and `disturbed`. A failure ends the program."""
    wait_for_quiet(options.wait, options.busy)
    watch = Watch()
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, cwd=ROOT)
    if done.returncode != 0:
        sys.exit(f"{program}: failed: {' '.join(str(word) for word in command)}")
    result = json.loads(done.stdout)
    result["others_share"] = watch.others_share()
    result["disturbed"] = result["others_share"] > options.busy
    return result


def bench_command(options, model, **settings):
    """`sparkc bench` of a model; a setting batch=8 is the option --batch 8."""
    words = [word for name, value in settings.items() if value is not None
             for word in ("--" + name.replace("_", "-"), value)]
    return [options.sparkc, "bench", *NETWORKS[model], *words, "--json"]


def tell(number, name, result):
    say(f"round {number + 1}: {name:36} {result['images_per_second']:8.3f} images/s, others "
        f"{100 * result['others_share']:.0f} %{' (disturbed)' if result['disturbed'] else ''}")


def quiet_rounds(runs):
    """`runs` has a list of runs, one a round, for each thing that is run: the rounds in which none was
    disturbed, or all if there is none."""
    rows = list(zip(*runs))
    return [i for i, row in enumerate(rows) if not any(r["disturbed"] for r in row)] or list(range(len(rows)))


# ---- Options -------------------------------------------------------------------------------------


def count(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {text}")
    return int(text)


def one_of(values):
    """The type of an option that is a list of some of these, with commas between."""
    def check(text):
        for value in text.split(","):
            if value not in values:
                raise argparse.ArgumentTypeError(f"{value} is none of {', '.join(values)}")
        return text.split(",")
    return check


def add_options(parser, rounds, steps):
    """Those of both programs."""
    parser.add_argument("--rounds", type=count, default=rounds, help=f"of all runs, in turn ({rounds})")
    parser.add_argument("--steps", type=count, default=steps, help=f"steps that each run times ({steps})")
    parser.add_argument("--warm-up", type=count, default=1, help="steps before those (1)")
    parser.add_argument("--busy", type=float, default=0.1, metavar="SHARE",
                        help="share of the processors that others may take (0.1)")
    parser.add_argument("--wait", type=float, default=0, metavar="SECONDS",
                        help="wait so long at most for a quiet moment before each run (0)")
    parser.add_argument("--sparkc", type=pathlib.Path, default=ROOT / "build/tools/sparkc", metavar="FILE")


def check_sparkc(program, options):
    options.sparkc = options.sparkc.absolute()
    if not options.sparkc.exists():
        sys.exit(f"{program}: {options.sparkc} is missing: meson setup build && ninja -C build")
