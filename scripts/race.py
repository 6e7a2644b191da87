"""Runs evkit's programs and DuckDB by turns on the same events and prints one table of ratios. Started by scripts/bench.

Every figure is of a whole process, start and end included, the input in the page cache. By turns, so that a machine
that gets slower gets slower for both; the median of the pairs, with the least and the most beside it.
DuckDB is given the columns that the query reads and their types, so it needs no look at the data before.
Only Python's standard library is used; DuckDB runs in a process of its own.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

SEED = "7"
WHERE = "event_type = 'purchase_completed'"
AGGREGATES = "count(*) AS count, sum(properties.amount) AS total_revenue, avg(properties.amount) AS avg_order_value"

DUCKDB = """
import sys, duckdb
place, threads = sys.argv[1], int(sys.argv[2])
columns = "{timestamp: 'TIMESTAMP', event_type: 'VARCHAR', properties: 'STRUCT(currency VARCHAR, amount DOUBLE)'}"
duckdb.execute(f"SET threads = {threads}")
duckdb.execute(f'''
    COPY (
        SELECT date_trunc('minute', timestamp) AS window_start, properties.currency AS currency,
            count(*) AS count, sum(properties.amount) AS total_revenue, avg(properties.amount) AS avg_order_value
        FROM read_ndjson('{place}', columns = {columns})
        WHERE event_type = 'purchase_completed'
        GROUP BY ALL ORDER BY ALL
    ) TO '/dev/stdout' (FORMAT json)
''')
"""


def main():
    arguments = argparse.ArgumentParser(prog="scripts/bench", description="Measures evkit side by side with DuckDB.")
    arguments.add_argument("--quick", action="store_true", help="1 M events and 3 pairs in place of 5 M and 5")
    arguments.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    arguments.add_argument("--place", required=True, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    events, pairs = (1_000_000, 3) if chosen.quick else (5_000_000, 5)
    bench = Bench(chosen.programs, chosen.place, events, pairs)
    bench.describe()
    bench.race()
    bench.alone()


class Bench:
    """What is measured, and with what."""

    def __init__(self, programs, place, events, pairs):
        self.evgen = os.path.join(programs, "evgen")
        self.evwindow = os.path.join(programs, "evwindow")
        self.events, self.pairs = events, pairs
        self.file = self.generated(place)

    def generated(self, place):
        """The file of events; made anew when evgen makes other events than it used to."""
        path = os.path.join(place, f"ecommerce-{SEED}-{self.events}.ndjson")
        first = subprocess.run(self.generate(1000), check=True, stdout=subprocess.PIPE).stdout
        if os.path.exists(path):
            with open(path, "rb") as file:
                if file.read(len(first)) == first:
                    return path
        print(f"generating {self.events:,} events into {path}", file=sys.stderr)
        with open(path + ".part", "wb") as file:
            subprocess.run(self.generate(self.events), check=True, stdout=file)
        os.rename(path + ".part", path)
        return path

    def generate(self, events):
        return [self.evgen, "--profile", "ecommerce", "--events", str(events), "--seed", SEED]

    def window(self, threads, *inputs):
        query = ["--tumbling", "1m", "--where", WHERE, "--by", "properties.currency", "--agg", AGGREGATES]
        return [self.evwindow, *query, "--threads", str(threads), "--format", "ndjson", "--quiet", *inputs]

    def duckdb(self, threads, place):
        return [sys.executable, "-I", "-c", DUCKDB, place, str(threads)]

    def describe(self):
        """The machine, the versions, and that both answer alike; warms the page cache by the way."""
        version = subprocess.run([self.evwindow, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        peer = subprocess.run(
            [sys.executable, "-I", "-c", "import duckdb; print(duckdb.__version__)"],
            check=True, stdout=subprocess.PIPE, text=True,
        ).stdout.strip()
        print(f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}")
        print(f"{version}, DuckDB {peer}, Python {platform.python_version()}")
        size = os.path.getsize(self.file)
        print(f"{self.events:,} events of evgen --profile ecommerce --seed {SEED}, {size / 1e9:.2f} GB; {self.pairs} pairs")
        ours = rows(output(self.window(2, self.file)))
        theirs = rows(output(self.duckdb(2, self.file)))
        if not alike(ours, theirs):
            sys.exit(f"the answers differ: {len(ours)} rows of evwindow, {len(theirs)} rows of DuckDB")
        print(f"both give the same {len(ours)} rows")
        print()

    def race(self):
        """The revenue query, from a file and from a pipe, with one thread and with two."""
        print("revenue by minute and currency")
        print(f"{'':20}{'evwindow, M events/s':>26}{'DuckDB, M events/s':>26}{'ratio':>8}{'peak memory, MB':>18}")
        for name, piped in (("file", False), ("cat file |", True)):
            for threads in (1, 2):
                ours, theirs = [], []
                for _ in range(self.pairs):
                    if piped:
                        ours.append(measured(self.window(threads), self.file))
                        theirs.append(measured(self.duckdb(threads, "/dev/stdin"), self.file))
                    else:
                        ours.append(measured(self.window(threads, self.file)))
                        theirs.append(measured(self.duckdb(threads, self.file)))
                ratio = middle(theirs) / middle(ours)
                memory = f"{peak(ours):.0f} / {peak(theirs):.0f}"
                label = f"{name}, {threads} thread{'s' if threads > 1 else ''}"
                print(f"{label:20}{self.rate(ours):>26}{self.rate(theirs):>26}{ratio:>8.2f}{memory:>18}", flush=True)
        print()

    def alone(self):
        """What has no peer: the generator's rate, the time to the first row, memory over a long pipe."""
        runs = [measured_pipe(self.generate(self.events), ["cat"]) for _ in range(self.pairs)]
        print(f"evgen | cat >/dev/null            {self.rate(runs)} M events/s")
        firsts = sorted(first_byte(self.window(2)) for _ in range(20))
        print(f"evwindow, start to first byte     {statistics.median(firsts):.1f} ms ({firsts[0]:.1f}–{firsts[-1]:.1f})")
        for events in (self.events, 4 * self.events):
            run = measured_pipe(self.generate(events), self.window(2))
            print(f"evgen | evwindow, {events:>11,}     {run[1]:.0f} MB peak memory of evwindow", flush=True)

    def rate(self, runs):
        seconds = [run[0] for run in runs]
        low, high = self.events / max(seconds) / 1e6, self.events / min(seconds) / 1e6
        return f"{self.events / middle(runs) / 1e6:.2f} ({low:.2f}–{high:.2f})"


def output(command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def measured(command, piped=None):
    """Seconds and peak megabytes of one run; `piped` names a file that cat gives it as stdin."""
    if piped:
        return measured_pipe(["cat", piped], command)
    return timed(command, subprocess.DEVNULL)


def measured_pipe(writer, command):
    """Seconds from the writer's start to the reader's end, and the reader's peak megabytes."""
    begin = time.monotonic()
    with subprocess.Popen(writer, stdout=subprocess.PIPE) as feeding:
        seconds, megabytes = timed(command, feeding.stdout, begin)
        feeding.stdout.close()
        if feeding.wait() != 0:
            sys.exit(f"{writer[0]} ended with {feeding.returncode}")
    return seconds, megabytes


def timed(command, stdin, begin=None):
    """Runs the command under time(1): a child of Python itself would be charged with Python's memory."""
    with tempfile.NamedTemporaryFile("r") as report:
        begin = begin or time.monotonic()
        subprocess.run(
            ["/usr/bin/time", "--quiet", "-o", report.name, "-f", "%M", *command],
            check=True, stdin=stdin, stdout=subprocess.DEVNULL,
        )
        return time.monotonic() - begin, int(report.read()) * 1024 / 1e6


def first_byte(command):
    """Milliseconds from the start of the program to the first byte of its first row, its input still open."""
    event = '{"event_id":"e","event_type":"purchase_completed","timestamp":"2026-01-01T00:%02d:00Z","properties":{"currency":"USD","amount":1}}\n'
    begin = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdin.write((event % 0 + event % 2).encode())
        child.stdin.flush()
        if not os.read(child.stdout.fileno(), 1):
            sys.exit("evwindow wrote no row")
        elapsed = time.monotonic() - begin
        child.stdin.close()
        child.stdout.read()
    return elapsed * 1e3


def rows(text):
    """Rows by window and currency, whichever program wrote them."""
    found = {}
    for line in text.splitlines():
        row = json.loads(line)
        # One writes '2026-01-01T00:00:00.000Z', the other '2026-01-01 00:00:00'.
        start = row["window_start"].replace("T", " ")[:19]
        found[start, row["currency"]] = (row["count"], row["total_revenue"], row["avg_order_value"])
    return found


def alike(ours, theirs):
    """Equal counts; sums within what DuckDB loses by adding up in whatever order."""
    if ours.keys() != theirs.keys():
        return False
    near = lambda a, b: a == b or abs(a - b) <= 1e-9 * max(abs(a), abs(b))
    return all(a[0] == b[0] and near(a[1], b[1]) and near(a[2], b[2]) for a, b in ((ours[key], theirs[key]) for key in ours))


def middle(runs):
    return statistics.median(run[0] for run in runs)


def peak(runs):
    return max(run[1] for run in runs)


def processor():
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


if __name__ == "__main__":
    main()
