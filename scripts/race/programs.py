"""The commands that are run: evkit's programs and DuckDB's process. Knows how they are called and not what they compute."""

import os
import sys
from dataclasses import dataclass

SEED = 7

# DuckDB has a process of its own: its threads, its source of events, its query and where its rows go,
# one JSON object a line as evwindow's are. Its progress bar would be drawn between them.
DUCKDB = """
import sys, duckdb
threads, place, columns, select, output = sys.argv[1:]
duckdb.execute(f"SET threads = {threads}")
duckdb.execute("SET enable_progress_bar = false")
duckdb.execute(f"CREATE VIEW events AS FROM read_ndjson('{place}', columns = {{{columns}}})")
duckdb.execute(f"COPY ({select}) TO '{output}' (FORMAT json)")
"""


@dataclass
class Programs:
    """Where evkit's programs are."""

    folder: str

    def evgen(self, events, *flags, threads=2):
        return [
            os.path.join(self.folder, "evgen"), "--profile", "ecommerce", "--events", str(events), "--seed", str(SEED),
            "--threads", str(threads), "--quiet", *flags,
        ]

    def evwindow(self, flags, threads, *inputs):
        return [
            os.path.join(self.folder, "evwindow"), *flags, "--threads", str(threads), "--format", "ndjson", "--quiet",
            *inputs,
        ]


def duckdb(query, form, threads, place, output=os.devnull):
    return [sys.executable, "-I", "-c", DUCKDB, str(threads), place, query.columns, query.forms[form], output]


def evaluate(text, *arguments):
    """A Python process beside this one, which never loads DuckDB itself and stays small."""
    return [sys.executable, "-I", "-c", text, *arguments]
