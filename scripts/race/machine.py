"""What the figures depend on beside the programs: the machine and the versions."""

import os
import platform
import subprocess

from programs import evaluate


def lines(programs):
    """A line for the machine and a line for the versions."""
    ours = said([os.path.join(programs.folder, "evwindow"), "--version"])
    peer = said(evaluate("import duckdb; print(duckdb.__version__)"))
    load = os.getloadavg()[0]
    return [
        f"{processor()}, {len(os.sched_getaffinity(0))} cores, {memory():.0f} GiB, {platform.system()} {platform.release()}; "
        f"load before {load:.1f}",
        f"{ours}, DuckDB {peer} by Python {platform.python_version()}",
    ]


def said(command):
    """The first line that a program prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[0].strip()


def processor():
    try:
        with open("/proc/cpuinfo") as cpus:
            return next(line.split(":", 1)[1].strip() for line in cpus if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def memory():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
