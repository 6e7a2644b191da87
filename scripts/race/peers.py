"""Other programs that a person might put behind the pipe, on the revenue query: they are slow, so they run once on fewer events.

Each is asked in its own words for the rows of Q1, one thread or many as it likes; only those that are installed are run.
"""

import shutil
from dataclasses import dataclass

import machine
from measure import Job

JQ = """
reduce (inputs | select(.event_type == "purchase_completed")) as $event ({};
    .[$event.timestamp[:16] + " " + $event.properties.currency] |= [.[0] + 1, .[1] + $event.properties.amount])
| to_entries[]
| {window_start: (.key[:16] + ":00Z"), currency: .key[17:],
   count: .value[0], total_revenue: .value[1], avg_order_value: (.value[1] / .value[0])}
"""

MILLER = [
    "filter", '$event_type == "purchase_completed"',
    "then", "put", "-q", """
        emit1 {"window_start": substr1($timestamp, 1, 16) . ":00Z", "currency": $properties["currency"],
            "amount": $properties["amount"]};
    """,
    "then", "stats1", "-a", "count,sum,mean", "-f", "amount", "-g", "window_start,currency",
    "then", "rename", "amount_count,count,amount_sum,total_revenue,amount_mean,avg_order_value",
]

ANGLE_GRINDER = """
* | json | where event_type == "purchase_completed" | parseDate(timestamp) as time | timeslice(time) 1m as window_start
  | properties.currency as currency
  | count as count, sum(properties.amount) as total_revenue, avg(properties.amount) as avg_order_value by window_start, currency
"""


@dataclass
class Peer:
    """Another program: what it is called, how it is installed, how it tells its version and how it is asked."""

    program: str
    install: str
    version: list
    ask: list

    def path(self):
        return shutil.which(self.program)

    def said_version(self):
        return machine.said([self.path(), *self.version])

    def job(self, place):
        return Job([self.path(), *self.ask, place])


PEERS = [
    Peer("jq", "apt-get install jq", ["--version"], ["-c", "-n", JQ]),
    Peer("mlr", "apt-get install miller", ["--version"], ["--ijsonl", "--ojsonl", *MILLER]),
    Peer("agrind", "cargo install ag", ["--version"], [ANGLE_GRINDER, "-o", "json", "-f"]),
]
