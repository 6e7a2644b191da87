"""Whether two programs gave the same answer. Rows are compared by DuckDB, since there are millions.

A file of rows is JSON, an object a line or an array of them.
"""

import json
import subprocess

from programs import evaluate

# Both must have as many rows as there are pairs of equal ones: then no row is missing, added or doubled.
COMPARE = """
import json, sys, duckdb
ours, theirs, keys, values = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
columns = ", ".join(f"{name}: '{kind}'" for name, kind in {**keys, **values}.items())
same = [f"ours.{name} IS NOT DISTINCT FROM theirs.{name}" for name in keys]
same += [f"abs(ours.{name} - theirs.{name}) <= 1e-9 * greatest(abs(ours.{name}), abs(theirs.{name}))" for name in values]
for name, place in (("ours", ours), ("theirs", theirs)):
    duckdb.execute(f"CREATE TABLE {name} AS FROM read_json('{place}', columns = {{{columns}}})")
print(*duckdb.execute(f'''
    SELECT (SELECT count(*) FROM ours), (SELECT count(*) FROM theirs), count(*)
    FROM ours JOIN theirs ON {" AND ".join(same)}
''').fetchall()[0])
"""


def equal_rows(query, ours, theirs):
    """How many rows both files have, the same in whatever order; ends the run if they have not."""
    command = evaluate(COMPARE, ours, theirs, json.dumps(query.keys), json.dumps(query.values))
    counts = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    our_rows, their_rows, pairs = map(int, counts)
    if not our_rows == their_rows == pairs > 0:
        raise SystemExit(f"{query.name}: the answers differ: {our_rows} rows of evwindow, {their_rows} of the other, and {pairs} equal pairs")
    return our_rows


def equal_bytes(what, places):
    """Ends the run unless all these files are the same."""
    for place in places[1:]:
        if subprocess.run(["cmp", "--quiet", places[0], place]).returncode != 0:
            raise SystemExit(f"{what}: the bytes of '{places[0]}' and '{place}' differ")
