"""Reads an archive with DuckDB and with pandas, and compares it with the events that were archived.

Usage: check.py FOLDER, which has `events.ndjson` and, made of it, `archive`. Knows nothing of evkit but what its documentation says.
"""

import json
import pathlib
import sys

import duckdb
import pandas
import pyarrow.parquet

TEXTS = ["event_id", "event_type", "user_id", "session_id", "device_id"]


def same(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found!r}, not {expected!r}")
    print(f"{what}: as it should be")


def main(folder):
    lines = (folder / "events.ndjson").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    files = str(folder / "archive" / "*" / "*" / "*.parquet")
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    table = f"read_parquet('{files}', hive_partitioning = true)"

    found = db.sql(f'SELECT event FROM {table} ORDER BY partition, "offset"').fetchall()
    same("DuckDB: lines, byte for byte", [line for (line,) in found] == lines, True)
    found = db.sql(f"SELECT event_type, count(*) FROM {table} GROUP BY ALL ORDER BY ALL").fetchall()
    types = sorted({event["event_type"] for event in events})
    counts = [(name, sum(event["event_type"] == name for event in events)) for name in types]
    same("DuckDB: events of each type", found, counts)
    columns = ", ".join(TEXTS)
    found = db.sql(f'SELECT {columns} FROM {table} ORDER BY "offset"').fetchall()
    same("DuckDB: texts", found == [tuple(event.get(name) for name in TEXTS) for event in events], True)
    found = db.sql(
        f"""SELECT count(*) FROM {table}
            WHERE strftime(timestamp, '%Y-%m-%d') <> dt::VARCHAR OR hour(timestamp) <> hour::INT"""
    ).fetchall()
    same("DuckDB: events in a wrong hour", found, [(0,)])
    found = db.sql(
        f"""SELECT count(*) FROM (SELECT seen_until, max(timestamp) OVER
            (ORDER BY "offset" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS seen FROM {table})
            WHERE seen_until IS DISTINCT FROM seen"""
    ).fetchall()
    same("DuckDB: events with a wrong seen_until", found, [(0,)])

    paths = sorted((folder / "archive").glob("*/*/*.parquet"))
    frame = pandas.concat(pandas.read_parquet(path, partitioning=None) for path in paths)
    frame = frame.sort_values("offset")
    same("pandas: lines", list(frame["event"]) == lines, True)
    times = pandas.to_datetime([event["timestamp"] for event in events], utc=True).astype("datetime64[us, UTC]")
    same("pandas: times", list(frame["timestamp"]) == list(times), True)
    metadata = pyarrow.parquet.read_metadata(paths[0]).metadata
    same("pyarrow: where the events came from", metadata[b"evkit.source"].decode(), str(folder / "events.ndjson"))


main(pathlib.Path(sys.argv[1]))
