"""The queries, in evwindow's flags and in DuckDB's SQL, and what both must answer alike.

DuckDB is given the columns that the query reads, and their types, so it needs no look at the data before. Where it can be
asked in several ways they all stand here, and the one that is faster on the machine is raced. It need not order its rows.
"""

from dataclasses import dataclass, field

TIME = "timestamp: 'TIMESTAMP'"


@dataclass
class Query:
    """One question, in both languages."""

    name: str
    title: str
    flags: list
    columns: str
    """What DuckDB reads, in the words of read_ndjson."""
    forms: dict
    """Ways to ask DuckDB, by name; `events` is the table."""
    keys: dict
    """Columns of the answer that say which row it is, with their types."""
    values: dict = field(default_factory=dict)
    """Columns that are compared within 1e-9 of their size: sums depend on the order in which DuckDB adds up."""


REVENUE = Query(
    "Q1",
    "revenue by currency, tumbling 1m",
    [
        "--tumbling", "1m",
        "--where", "event_type = 'purchase_completed'",
        "--by", "properties.currency",
        "--agg", "count(*) AS count, sum(properties.amount) AS total_revenue, avg(properties.amount) AS avg_order_value",
    ],
    f"{TIME}, event_type: 'VARCHAR', properties: 'STRUCT(currency VARCHAR, amount DOUBLE)'",
    {
        "GROUP BY": """
            SELECT date_trunc('minute', timestamp) AS window_start, window_start + INTERVAL 1 MINUTE AS window_end,
                properties.currency AS currency,
                count(*) AS count, sum(properties.amount) AS total_revenue, avg(properties.amount) AS avg_order_value
            FROM events WHERE event_type = 'purchase_completed' GROUP BY ALL
        """
    },
    {"window_start": "TIMESTAMP", "currency": "VARCHAR", "count": "BIGINT"},
    {"total_revenue": "DOUBLE", "avg_order_value": "DOUBLE"},
)

TOP_PRODUCTS = Query(
    "Q2",
    "top 10 products, sliding 5m/1m",
    [
        "--sliding", "5m/1m",
        "--where", "event_type = 'product_view'",
        "--by", "properties.product_id",
        "--agg", "count(*) AS view_count",
        "--top", "10",
        "--order-by", "view_count DESC",
    ],
    f"{TIME}, event_type: 'VARCHAR', properties: 'STRUCT(product_id VARCHAR)'",
    {
        "minutes first": """
            WITH minutes AS (
                SELECT date_trunc('minute', timestamp) AS minute, properties.product_id AS product_id, count(*) AS views
                FROM events WHERE event_type = 'product_view' GROUP BY ALL
            ), windows AS (
                SELECT minute - to_minutes(ago) AS window_start, product_id, sum(views)::BIGINT AS view_count
                FROM minutes, range(5) AS back(ago) GROUP BY ALL
            )
            SELECT window_start, window_start + INTERVAL 5 MINUTE AS window_end, product_id, view_count,
                row_number() OVER (PARTITION BY window_start ORDER BY view_count DESC, product_id) AS rank
            FROM windows QUALIFY rank <= 10
        """,
        "every event into five windows": """
            WITH windows AS (
                SELECT date_trunc('minute', timestamp) - to_minutes(ago) AS window_start,
                    properties.product_id AS product_id, count(*) AS view_count
                FROM events, range(5) AS back(ago) WHERE event_type = 'product_view' GROUP BY ALL
            )
            SELECT window_start, window_start + INTERVAL 5 MINUTE AS window_end, product_id, view_count,
                row_number() OVER (PARTITION BY window_start ORDER BY view_count DESC, product_id) AS rank
            FROM windows QUALIFY rank <= 10
        """,
    },
    {
        "window_start": "TIMESTAMP", "window_end": "TIMESTAMP", "product_id": "VARCHAR", "view_count": "BIGINT",
        "rank": "BIGINT",
    },
)

DISTINCT_USERS = Query(
    "Q3",
    "events and distinct users by platform, country",
    [
        "--tumbling", "1m",
        "--by", "metadata.platform, properties.country",
        "--agg", "count(*) AS count, count(DISTINCT user_id) AS users",
    ],
    f"{TIME}, user_id: 'VARCHAR', properties: 'STRUCT(country VARCHAR)', metadata: 'STRUCT(platform VARCHAR)'",
    {
        "count(DISTINCT)": """
            SELECT date_trunc('minute', timestamp) AS window_start, window_start + INTERVAL 1 MINUTE AS window_end,
                metadata.platform AS platform, properties.country AS country,
                count(*) AS count, count(DISTINCT user_id) AS users
            FROM events GROUP BY ALL
        """,
        "users first": """
            WITH users AS (
                SELECT date_trunc('minute', timestamp) AS window_start, metadata.platform AS platform,
                    properties.country AS country, user_id, count(*) AS events_of_user
                FROM events GROUP BY ALL
            )
            SELECT window_start, window_start + INTERVAL 1 MINUTE AS window_end, platform, country,
                sum(events_of_user)::BIGINT AS count, count(user_id) AS users
            FROM users GROUP BY ALL
        """,
    },
    {
        "window_start": "TIMESTAMP", "window_end": "TIMESTAMP", "platform": "VARCHAR", "country": "VARCHAR",
        "count": "BIGINT", "users": "BIGINT",
    },
)

SESSIONS = Query(
    "Q4",
    "sessions of 30s by user, every one written",
    ["--session", "30s", "--by", "user_id", "--agg", "count(*) AS count"],
    f"{TIME}, user_id: 'VARCHAR'",
    {
        # A session begins where no event of the user stands within the gap before; its end and its count are told by the
        # next one's beginning, so that nothing but the beginnings is kept.
        "beginnings": """
            WITH beginnings AS (
                SELECT user_id, timestamp AS window_start, lag(timestamp) OVER by_time AS last_before,
                    row_number() OVER by_time AS number,
                    max(timestamp) OVER (PARTITION BY user_id ORDER BY timestamp
                        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS last,
                    count(*) OVER (PARTITION BY user_id ORDER BY timestamp
                        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS total
                FROM events WINDOW by_time AS (PARTITION BY user_id ORDER BY timestamp)
                QUALIFY (timestamp - last_before <= INTERVAL 30 SECOND) IS NOT TRUE
            )
            SELECT user_id, window_start, lead(last_before, 1, last) OVER by_time + INTERVAL 30 SECOND AS window_end,
                lead(number, 1, total + 1) OVER by_time - number AS count
            FROM beginnings WINDOW by_time AS (PARTITION BY user_id ORDER BY window_start)
        """,
        "sum over beginnings": """
            WITH marked AS (
                SELECT user_id, timestamp, (timestamp - lag(timestamp) OVER (PARTITION BY user_id ORDER BY timestamp)
                    <= INTERVAL 30 SECOND) IS NOT TRUE AS begins
                FROM events
            ), numbered AS (
                SELECT user_id, timestamp, sum(begins) OVER (PARTITION BY user_id ORDER BY timestamp) AS session FROM marked
            )
            SELECT user_id, min(timestamp) AS window_start, max(timestamp) + INTERVAL 30 SECOND AS window_end, count(*) AS count
            FROM numbered GROUP BY user_id, session
        """,
    },
    {"window_start": "TIMESTAMP", "window_end": "TIMESTAMP", "user_id": "VARCHAR", "count": "BIGINT"},
)

ALL = [REVENUE, TOP_PRODUCTS, DISTINCT_USERS, SESSIONS]

# What somebody who watches a shop might have on the wall: filters, groups and aggregates of many fields in several windows.
TWENTY = [
    ("1m", "event_type = 'purchase_completed'", "properties.currency", "count(*) AS n, sum(properties.amount) AS revenue"),
    ("1m", "event_type = 'purchase_completed'", "properties.country", "count(*) AS n, sum(properties.amount) AS revenue"),
    ("1m", "event_type = 'purchase_completed'", "properties.payment_method", "count(*) AS n, avg(properties.amount) AS mean"),
    ("1m", "event_type = 'refund'", "properties.currency", "count(*) AS n, sum(properties.amount) AS refunded"),
    ("1m", "event_type = 'purchase_completed' AND properties.amount > 500", None, "count(*) AS n, max(properties.amount) AS most"),
    ("1m", None, "event_type", "count(*) AS n"),
    ("1m", None, "metadata.platform", "count(*) AS n"),
    ("1m", None, "properties.country", "count(*) AS n"),
    ("1m", "event_type = 'product_view'", "properties.category", "count(*) AS n"),
    ("1m", "event_type = 'product_view'", "properties.product_id", "count(*) AS n"),
    ("1m", "event_type = 'add_to_cart'", "properties.product_id", "sum(properties.quantity) AS pieces"),
    ("1m", "event_type = 'page_view'", "properties.page_url", "count(*) AS n"),
    ("1m", "event_type = 'click'", "properties.element", "count(*) AS n"),
    ("1m", "event_type = 'form_submit'", "properties.form", "count(*) AS n"),
    ("1m", "event_type = 'restock'", "properties.product_id", "sum(properties.quantity) AS pieces, last(properties.stock) AS stock"),
    ("5m", "event_type = 'purchase_completed'", "properties.currency", "min(properties.amount) AS least, max(properties.amount) AS most"),
    ("5m", "event_type = 'product_view'", "properties.category", "avg(properties.price) AS price"),
    ("5m", "metadata.platform = 'ios'", "event_type", "count(*) AS n"),
    ("1h", "event_type IN ('product_view', 'add_to_cart', 'purchase_completed')", "event_type", "count(*) AS n"),
    ("1h", "event_type = 'purchase_completed'", "properties.country", "stddev_samp(properties.amount) AS deviation"),
]


def metrics_file(count):
    """The text of a metrics file with the first `count` of the twenty."""
    metrics = []
    for number, (size, where, by, aggregates) in enumerate(TWENTY[:count], 1):
        lines = [f'[[metric]]\nname = "metric_{number}"\ntumbling = "{size}"\nagg = "{aggregates}"\n']
        lines += [f'where = "{where}"\n'] if where else []
        lines += [f'by = "{by}"\n'] if by else []
        metrics.append("".join(lines))
    return "\n".join(metrics)
