"""Runs whole processes, by turns, and tells their seconds, processor seconds and peak memory. Knows nothing of who runs."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

PIPE_BYTES = 1 << 20


@dataclass
class Run:
    """One run of a process, from the start of whatever feeds it to its own end."""

    seconds: float
    processor_seconds: float
    mebibytes: float


@dataclass
class Job:
    """A command; what feeds it through a pipe, if anything does; and where its output goes, if it is wanted."""

    command: list
    feed: list | None = None

    def run(self, output=os.devnull):
        with open(output, "wb") as out:
            begin = time.monotonic()
            if self.feed is None:
                return timed(self.command, subprocess.DEVNULL, out, begin)
            # Every pipe is a large one: some programs ask for that themselves, and none shall be slower for not asking.
            with subprocess.Popen(self.feed, stdout=subprocess.PIPE, pipesize=PIPE_BYTES) as feeding:
                run = timed(self.command, feeding.stdout, out, begin)
                feeding.stdout.close()
                if feeding.wait() != 0:
                    sys.exit(f"'{feeding.args[0]}' ended with {feeding.returncode}")
                return run


def by_turns(ours, theirs, pairs):
    """Runs of both, one of each a pair. Who begins alternates, so that neither always finds the machine as the other left it."""
    found = [], []
    for pair in range(pairs):
        for which in ((0, 1), (1, 0))[pair % 2]:
            found[which].append((ours, theirs)[which].run())
    return found


def timed(command, stdin, stdout, begin):
    """Runs the command under time(1): a child of Python itself would be charged with Python's memory."""
    with tempfile.NamedTemporaryFile("r") as report:
        done = subprocess.run(
            ["/usr/bin/time", "--quiet", "-o", report.name, "-f", "%U %S %M", *command], stdin=stdin, stdout=stdout
        )
        seconds = time.monotonic() - begin
        if done.returncode != 0:
            sys.exit(f"'{os.path.basename(command[0])}' ended with {done.returncode}")
        user, system, kibibytes = report.read().split()
        return Run(seconds, float(user) + float(system), int(kibibytes) / 1024)


def first_byte(command, lines):
    """Milliseconds from the start of the program to the first byte that it writes, its input still open."""
    begin = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdin.write(lines)
        child.stdin.flush()
        if not os.read(child.stdout.fileno(), 1):
            sys.exit(f"'{os.path.basename(command[0])}' wrote nothing")
        elapsed = time.monotonic() - begin
        child.stdin.close()
        child.stdout.read()
    return elapsed * 1e3


def middle(runs):
    """The median of their seconds."""
    return statistics.median(run.seconds for run in runs)


def ratio(ours, theirs):
    """How many times our seconds theirs are: the median over the pairs, since a pair sees the machine in the same mood."""
    return statistics.median(b.seconds / a.seconds for a, b in zip(ours, theirs))


def peak(runs):
    """The most memory that any of them had, in MiB."""
    return max(run.mebibytes for run in runs)
