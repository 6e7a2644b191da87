"""How time grows with events, and memory with what is open. Events come from evgen through a pipe, so no disk holds them.

The wall's time is then that of the slower of both; evwindow's own cost is its processor time.
"""

from measure import Job
from queries import REVENUE, SESSIONS
from table import Column, Table

THREADS = 2


def by_events(programs, quick, to_fifty, markdown):
    """More and more events of the same stream: time grows with them, memory does not."""
    columns = [
        Column("evgen | evwindow", 16, True), Column("events", 11), Column("seconds", 8), Column("M events/s", 10),
        Column("processor µs an event", 21), Column("peak MiB", 8),
    ]
    table = Table(columns, markdown)
    millions = [1] if quick else [1, 5, 10]
    for query in (REVENUE, SESSIONS):
        for events in [count * 1_000_000 for count in millions + ([20, 50] if to_fifty else [])]:
            run = Job(programs.evwindow(query.flags, THREADS), programs.evgen(events)).run()
            each = run.processor_seconds / events * 1e6
            rate = events / run.seconds / 1e6
            table.row(query.name, f"{events:,}", f"{run.seconds:.2f}", f"{rate:.2f}", f"{each:.3f}", f"{run.mebibytes:.0f}")
    table.end()


def by_groups(programs, events, markdown):
    """The same number of events of more and more users: memory grows with the sessions that are open at a time."""
    columns = [
        Column("Q4 with", 16, True), Column("events", 11), Column("seconds", 8), Column("M events/s", 10),
        Column("processor µs an event", 21), Column("peak MiB", 8),
    ]
    table = Table(columns, markdown)
    for users in (1_000, 10_000, 100_000, 1_000_000):
        feed = programs.evgen(events, "--users", str(users))
        run = Job(programs.evwindow(SESSIONS.flags, THREADS), feed).run()
        each = run.processor_seconds / events * 1e6
        rate = events / run.seconds / 1e6
        table.row(
            f"{users:,} users", f"{events:,}", f"{run.seconds:.2f}", f"{rate:.2f}", f"{each:.3f}", f"{run.mebibytes:.0f}"
        )
    table.end()
