"""How time grows with events, and memory with what is open. Events come from evgen through a pipe, so no disk holds them.

The wall's time is then that of the slower of both; evwindow's own cost is its processor time.
"""

from measure import Job
from queries import REVENUE, SESSIONS
from table import Column, Table

THREADS = 2
FIGURES = [
    Column("events", 11), Column("seconds", 8), Column("M events/s", 10), Column("processor µs an event", 21),
    Column("peak MiB", 8),
]


def by_events(programs, quick, to_fifty, markdown):
    """More and more events of the same stream: time grows with them, memory does not."""
    table = Table([Column("evgen | evwindow", 17, True), *FIGURES], markdown)
    millions = [1] if quick else [1, 5, 10]
    for query in (REVENUE, SESSIONS):
        for events in [count * 1_000_000 for count in millions + ([20, 50] if to_fifty else [])]:
            run = Job(programs.evwindow(query.flags, THREADS), programs.evgen(events)).run()
            table.row(query.name, *figures(events, run))
    table.end()


def by_groups(programs, events, rows, markdown):
    """As many events of more and more users, all of whom stay open till the end: memory grows with them. `rows` is a file."""
    table = Table([Column("by user, a window", 17, True), Column("open groups", 11), *FIGURES], markdown)
    for users in (1_000, 10_000, 100_000, 1_000_000):
        feed = programs.evgen(events, "--users", str(users))
        run = Job(programs.evwindow(["--tumbling", "1d", "--by", "user_id"], THREADS), feed).run(rows)
        with open(rows, "rb") as lines:
            groups = sum(1 for _ in lines)
        table.row(f"{users:,} users", f"{groups:,}", *figures(events, run))
    table.end()


def figures(events, run):
    each = run.processor_seconds / events * 1e6
    return f"{events:,}", f"{run.seconds:.2f}", f"{events / run.seconds / 1e6:.2f}", f"{each:.2f}", f"{run.mebibytes:.0f}"
