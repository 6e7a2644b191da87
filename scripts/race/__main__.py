"""Runs evkit's programs and DuckDB by turns on the same events and prints the ratios as a table. Started by scripts/bench.

Every figure is of a whole process, start and end included, its input in the page cache, its output thrown away. Answers are
compared before anything is timed.
"""

import argparse
import os
import statistics

import growth
import machine
from answers import equal_bytes, equal_rows
from events import CLOTHES, Events
from measure import Job, first_byte
from peers import PEERS
from programs import SEED, Programs, duckdb, evaluate
from queries import DISTINCT_USERS, REVENUE, SESSIONS, TOP_PRODUCTS, metrics_file
from score import Score, Wanted
from table import Column, Table, note

GROUPS = ["q1", "q2", "q3", "q4", "clothes", "metrics", "evgen", "peers", "growth"]
DRESSED = {
    "shuffled": "Q1, keys of every object shuffled",
    "optional": "Q1, ten fields there or not by chance",
    "texts": "Q1, escapes and non-ASCII texts",
}
FIRST_EVENTS = b"".join(
    b'{"event_id":"e","event_type":"purchase_completed","timestamp":"2026-01-01T00:%02d:00Z",'
    b'"properties":{"currency":"USD","amount":1}}\n' % minute
    for minute in (0, 2)
)


def main():
    arguments = argparse.ArgumentParser(prog="scripts/bench", description="Measures evkit side by side with DuckDB.")
    arguments.add_argument("--quick", action="store_true", help="1 M events and 3 pairs in place of 5 M and 5")
    arguments.add_argument("--pairs", type=int, metavar="N", help="so many pairs")
    arguments.add_argument("--only", metavar="LIST", help=f"only these, with commas: {', '.join(GROUPS)}")
    arguments.add_argument("--growth", action="store_true", help="show growth up to 50 M events")
    arguments.add_argument("--markdown", action="store_true", help="print Markdown")
    arguments.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    arguments.add_argument("--place", required=True, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    only = chosen.only.lower().split(",") if chosen.only else GROUPS
    if unknown := sorted(set(only) - set(GROUPS)):
        arguments.error(f"--only knows no {', '.join(map(repr, unknown))}; there are {', '.join(GROUPS)}")
    bench = Bench(chosen)
    bench.describe()
    for group in only:
        getattr(bench, group)()
    bench.close()


class Bench:
    """What is measured, and with what. A method a group of rows."""

    def __init__(self, chosen):
        self.quick, self.to_fifty, self.markdown = chosen.quick, chosen.growth, chosen.markdown
        self.count, pairs = (1_000_000, 3) if chosen.quick else (5_000_000, 5)
        self.place = chosen.place
        self.programs = Programs(chosen.programs)
        self.events = Events(self.programs, chosen.place)
        self.plain = self.events.generated(self.count)
        self.score = Score(self.count, chosen.pairs or pairs, chosen.markdown)
        self.compared = []

    def describe(self):
        for line in machine.lines(self.programs):
            note(line, self.markdown)
        start = statistics.median(Job(evaluate("import duckdb")).run().seconds for _ in range(5))
        note(f"DuckDB's seconds hold the start of its Python process, {start:.2f} s", self.markdown)
        size = os.path.getsize(self.plain)
        note(
            f"{self.count:,} events of evgen --profile ecommerce --seed {SEED}, {size / self.count:.0f} bytes each; "
            f"{self.score.pairs} pairs by turns: medians, in brackets the least and the most; ratio: median of the pairs'",
            self.markdown,
        )
        print()

    # The rows of one query, and what belongs to it.

    def q1(self):
        form = self.checked(REVENUE, self.plain)
        for threads in (1, 2):
            self.against_duckdb(REVENUE, form, threads, self.plain, Wanted(3.0))
        self.against_duckdb(REVENUE, form, 2, self.plain, Wanted(3.0), piped=True)
        self.score.faster(
            "Q1, two threads against one", 2, "one thread",
            self.window(REVENUE, 2, self.plain), self.window(REVENUE, 1, self.plain), Wanted(1.7),
        )

    def q2(self):
        form = self.checked(TOP_PRODUCTS, self.plain)
        self.against_duckdb(TOP_PRODUCTS, form, 2, self.plain, Wanted(3.0))
        self.score.slower(
            "Q2 against Q1", 2, "Q1",
            self.window(TOP_PRODUCTS, 2, self.plain), self.window(REVENUE, 2, self.plain), Wanted(1.2),
        )

    def q3(self):
        form = self.checked(DISTINCT_USERS, self.plain)
        self.against_duckdb(DISTINCT_USERS, form, 2, self.plain, Wanted(2.5, mebibytes=64))

    def q4(self):
        form = self.checked(SESSIONS, self.plain)
        self.against_duckdb(SESSIONS, form, 2, self.plain, Wanted(2.5, mebibytes=128))

    def clothes(self):
        for clothes in CLOTHES:
            place, events = self.events.dressed(self.count, clothes)
            form = self.checked(REVENUE, place, f"Q1 {clothes}")
            ours, theirs = self.window(REVENUE, 2, place), Job(duckdb(REVENUE, form, 2, place))
            self.score.faster(DRESSED[clothes], 2, "DuckDB", ours, theirs, Wanted(), events)

    def metrics(self):
        """Twenty queries in one pass over the events, against the first of them."""
        jobs = []
        for queries in (20, 1):
            path = self.kept(f"metrics-{queries}.toml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(metrics_file(queries))
            jobs.append(Job(self.programs.evwindow(["--metrics", path], 2, self.plain)))
        self.score.slower("20 queries in one --metrics file", 2, "one query", *jobs, Wanted(3.0))

    def evgen(self):
        for threads, wanted in ((1, 5.0), (2, 8.0)):
            nothing = Job(self.programs.evgen(self.count, threads=threads))
            self.score.alone("evgen > /dev/null", threads, nothing, Wanted(rate=wanted))
        feed = self.programs.evgen(self.count)
        into_pipe = Job(["cat"], feed)
        self.score.alone("evgen | cat > /dev/null, a pipe of 1 MiB", 2, into_pipe, Wanted(rate=2.0))
        into_query = Job(self.programs.evwindow(REVENUE.flags, 2), feed)
        self.score.faster("evgen | evwindow, Q1", 2, "evgen | cat", into_query, into_pipe, Wanted(0.8))

    def peers(self):
        """Other programs on the first tenth, once."""
        self.end_of_score()
        lines = self.count // 10
        place = self.events.beginning(self.count, lines)
        ours = self.window(REVENUE, 2, place).run(self.kept("ours"))
        columns = [Column("Q1 by", 22, True), Column("M events/s", 10), Column("evwindow is faster", 18), Column("peak, MiB", 9)]
        table = Table(columns, self.markdown)
        table.row("evwindow, 2 threads", f"{lines / ours.seconds / 1e6:.2f}", "", f"{ours.mebibytes:.0f}")
        for peer in PEERS:
            if not peer.path():
                table.row(peer.program, "–", "not installed", "–")
                continue
            run = peer.job(place).run(self.kept("theirs"))
            equal_rows(REVENUE, self.kept("ours"), self.kept("theirs"))
            rate, ratio = lines / run.seconds / 1e6, run.seconds / ours.seconds
            table.row(peer.said_version(), f"{rate:.3f}", f"{ratio:.0f} ×", f"{run.mebibytes:.0f}")
        table.end()
        note(f"Each once, on the first {lines:,} events, with the same answer.", self.markdown)
        for peer in PEERS:
            if not peer.path():
                note(f"'{peer.program}' is not installed: {peer.install}", self.markdown)
        print()

    def growth(self):
        self.end_of_score()
        start = sorted(first_byte(self.programs.evwindow(REVENUE.flags, 2), FIRST_EVENTS) for _ in range(20))
        note(f"From the start of evwindow to the first byte of its first row: {start[10]:.1f} ms.", self.markdown)
        print()
        growth.by_events(self.programs, self.quick, self.to_fifty, self.markdown)
        growth.by_groups(self.programs, self.count, self.kept("ours"), self.markdown)

    # What the groups are made of.

    def checked(self, query, place, label=None):
        """DuckDB's faster form, after both gave the same rows, and evwindow the same bytes whatever way."""
        ways = [(threads, piped) for piped in (False, True) for threads in (1, 2)]
        outputs = [self.kept(f"ours-{number}") for number in range(len(ways))]
        for (threads, piped), output in zip(ways, outputs):
            self.window(query, threads, place, piped).run(output)
        equal_bytes(query.name, outputs)
        seconds, theirs = {}, self.kept("theirs")
        for form in query.forms:
            seconds[form] = Job(duckdb(query, form, 2, place, theirs)).run().seconds
            rows = equal_rows(query, outputs[0], theirs)
        faster = min(seconds, key=seconds.get)
        self.compared.append(f"{label or query.name} {rows:,} by '{faster}'")
        return faster

    def against_duckdb(self, query, form, threads, place, wanted, piped=False):
        source, feed = ("/dev/stdin", ["cat", place]) if piped else (place, None)
        theirs = Job(duckdb(query, form, threads, source), feed)
        what = f"{query.name}, {query.title}" + (", cat file |" if piped else "")
        self.score.faster(what, threads, "DuckDB", self.window(query, threads, place, piped), theirs, wanted)

    def window(self, query, threads, place, piped=False):
        if piped:
            return Job(self.programs.evwindow(query.flags, threads), ["cat", place])
        return Job(self.programs.evwindow(query.flags, threads, place))

    def end_of_score(self):
        """The table ends, with what was compared for it."""
        self.score.end()
        if self.compared:
            note(
                f"Rows that are the same by DuckDB, asked in its fastest way: {', '.join(self.compared)}. Bytes of evwindow that "
                "are the same: by 1 and 2 threads, from file and pipe.",
                self.markdown,
            )
            print()
            self.compared = []

    def kept(self, name):
        return os.path.join(self.place, name)

    def close(self):
        self.end_of_score()
        for name in os.listdir(self.place):
            if name == "theirs" or name.startswith("ours"):
                os.remove(self.kept(name))


if __name__ == "__main__":
    main()
