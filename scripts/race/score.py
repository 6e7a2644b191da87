"""The table of the race: one row for two jobs run by turns, or for one alone, and whether it reached what was wanted."""

import statistics
from dataclasses import dataclass

from measure import by_turns, middle, peak, ratio
from table import Column, Table

COLUMNS = [
    Column("what", 52, True),
    Column("threads", 7),
    Column("against", 12, True),
    Column("its seconds", 18),
    Column("seconds", 18),
    Column("M events/s", 10),
    Column("ratio", 15),
    Column("wanted", 29, True),
    Column("peak MiB / its", 14),
]


@dataclass
class Wanted:
    """What a row must reach: a ratio (at least, or at most where it counts how much slower), a rate in M events/s, a peak."""

    ratio: float | None = None
    rate: float | None = None
    mebibytes: float | None = None


class Score:
    """Races over so many events and pairs, and prints their rows."""

    def __init__(self, events, pairs, markdown):
        self.events, self.pairs, self.markdown = events, pairs, markdown
        self.table = Table(COLUMNS, markdown)

    def faster(self, what, threads, against, ours, theirs, wanted, events=None):
        """How many times as fast as theirs ours is; `events` where they are not the usual ones."""
        our_runs, their_runs = by_turns(ours, theirs, self.pairs)
        times = ratio(our_runs, their_runs)
        reached = wanted.ratio is None or times >= wanted.ratio
        said = [f"≥ {wanted.ratio}"] if wanted.ratio is not None else []
        self.row(what, threads, against, our_runs, their_runs, f"{times:.2f}", said, reached, wanted, events)

    def slower(self, what, threads, against, ours, theirs, wanted):
        """How many times as much time as theirs ours takes."""
        our_runs, their_runs = by_turns(ours, theirs, self.pairs)
        times = ratio(their_runs, our_runs)
        said, reached = [f"≤ {wanted.ratio} × its time"], times <= wanted.ratio
        self.row(what, threads, against, our_runs, their_runs, f"{times:.2f} × its time", said, reached, wanted)

    def alone(self, what, threads, job, wanted):
        """How fast it is."""
        runs = [job.run() for _ in range(self.pairs)]
        said, reached = [f"≥ {wanted.rate:.0f} M events/s"], self.events / middle(runs) / 1e6 >= wanted.rate
        self.row(what, threads, "–", runs, [], "–", said, reached, wanted)

    def row(self, what, threads, against, ours, theirs, times, said, reached, wanted, events=None):
        if wanted.mebibytes is not None:
            said.append(f"≤ {wanted.mebibytes} MiB")
            reached = reached and peak(ours) <= wanted.mebibytes
        verdict = f"{', '.join(said)}: {'met' if reached else 'MISSED'}" if said else "–"
        rate = f"{(events or self.events) / middle(ours) / 1e6:.2f}"
        peaks = f"{peak(ours):.0f} / {peak(theirs):.0f}" if theirs else f"{peak(ours):.0f}"
        self.table.row(
            what, str(threads), against, spread(theirs) if theirs else "–", spread(ours), rate, times, verdict, peaks
        )

    def end(self):
        """The table ends; further rows begin another."""
        self.table.end()
        self.table = Table(COLUMNS, self.markdown)


def spread(runs):
    seconds = [run.seconds for run in runs]
    return f"{statistics.median(seconds):.2f} [{min(seconds):.2f}–{max(seconds):.2f}]"
