"""Random joins, windows, sorts, top-k and set operations for differential.py.

Every query says how its rows are compared: by the leading columns that identify a row, or in
the order that the query asks for. Texts are valid in both dialects, unless one is given for
DuckDB.
"""

import dataclasses
import decimal

import pyarrow as pa


@dataclasses.dataclass
class Query:
    """A query; `keys` leading columns identify a row, unless its rows come in order."""

    sql: str
    keys: int = 1
    ordered: bool = False
    # DuckDB's text, where it has another name for a function.
    duckdb: str = ""


def side_table(rng, rows=3000):
    """The other side of joins: keys that repeat, miss and are null; one column where half
    of the rows have the same key."""

    def col(make, typ, nulls=0.08):
        return pa.array([None if rng.random() < nulls else make() for _ in range(rows)], type=typ)

    return pa.table(
        {
            "sid": pa.array(range(rows), type=pa.int64()),
            "sk": col(lambda: rng.randint(0, 1200), pa.int32()),
            "st": col(lambda: f"n{rng.randint(0, 250):03}", pa.string()),
            "hot": col(lambda: 7 if rng.random() < 0.5 else rng.randint(0, 2000), pa.int64()),
            "sd": col(lambda: rng.randint(-3000, 27000), pa.date32()),
            "sv": col(lambda: rng.uniform(-1e3, 1e3), pa.float64()),
            "sm": col(lambda: decimal.Decimal(rng.randint(-(10**6), 10**6)).scaleb(-2), pa.decimal128(12, 2)),
        }
    )


class Relational:
    """Random queries over `data` and `side`; `gen` makes their expressions over `data`."""

    def __init__(self, gen):
        self.gen = gen
        self.r = gen.r

    def query(self):
        kinds = [self.join, self.join, self.exists, self.grouped_join, self.window, self.window,
                 self.sort, self.sort, self.top_per_group, self.set_operation, self.distinct,
                 self.chain, self.chain, self.common, self.pairs, self.pairs, self.picked]
        return self.r.choice(kinds)()

    def some(self, share=None):
        """A subquery of `data` with a part of its rows, so that joins stay small."""
        part = share or self.r.randint(2, 9)
        where = f"id % {part} = {self.r.randint(0, part - 1)}"
        if self.r.random() < 0.5:
            where += f" AND {self.gen.cond(1)}"
        return f"(SELECT * FROM data WHERE {where}) AS l"

    def on(self):
        """An equality of keys of both sides, sometimes of two, and its residual predicate."""
        r = self.r
        keys = r.choice(
            ["l.k = r.sk", "l.k = r.sk", "l.t = r.st", "l.k = r.sk AND l.t = r.st", "l.id = r.hot",
             "CAST(l.u16 AS BIGINT) = r.hot", "l.d = r.sd", "l.k + 1 = r.sk", "substr(l.t, 1, 3) = substr(r.st, 1, 3)"
             " AND l.k = r.sk"]
        )
        if r.random() < 0.3:
            keys += " AND " + r.choice(["l.f64 < r.sv", "l.m <= r.sm", "l.i32 % 3 <> r.sid % 3", "l.d > r.sd"])
        return keys

    def join(self):
        r = self.r
        kind = r.choice(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        side = "side AS r" if r.random() < 0.6 else f"(SELECT * FROM side WHERE sid % 3 = {r.randint(0, 2)}) AS r"
        columns = ["l.k", "r.sk", "l.t", "r.st", "l.f64", "r.sv", "l.m", "r.sm", "l.d", "r.hot",
                   "coalesce(l.k, r.sk)", "l.f64 + r.sv", "l.b"]
        r.shuffle(columns)
        shown = ["l.id", "r.sid"] + columns[: r.randint(1, 5)]
        columns = ", ".join(f"{c} AS c{i}" for i, c in enumerate(shown))
        return Query(f"SELECT {columns} FROM {self.some()} {kind} {side} ON {self.on()}", 2)

    def pairs(self):
        """A join without equal keys, of parts of both sides, or a test for such a partner."""
        r = self.r
        left = f"(SELECT * FROM data WHERE id % {r.randint(30, 60)} = {r.randint(0, 29)}) AS l"
        right = f"(SELECT * FROM side WHERE sid % {r.randint(8, 15)} = {r.randint(0, 7)}) AS r"
        on = r.choice(
            ["l.f64 < r.sv - 1500", "abs(l.id - 6 * r.sid) < 20", "l.d > r.sd AND l.m < r.sm",
             "l.k BETWEEN r.sk AND r.sk + 2", "l.id > 7 * r.sid AND l.t LIKE '%7'",
             "l.k <> r.sk AND l.f64 > r.sv + 1200", "l.m + r.sm > 15000", "l.k < r.sk AND r.st > 'n2'"]
        )
        if r.random() < 0.3:
            on += f" AND ({self.gen.cond(1)})"
        form = r.random()
        if form < 0.25:
            test = f"EXISTS (SELECT 1 FROM {right} WHERE {on})"
            where = test if form < 0.12 else "NOT " + test
            return Query(f"SELECT l.id AS c0, l.t AS c1, l.m AS c2 FROM {left} WHERE {where}")
        kind = r.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        columns = r.sample(["l.k", "r.sk", "l.t", "r.st", "l.f64", "r.sv", "l.m", "r.sm", "l.d"], r.randint(1, 4))
        shown = ", ".join(f"{c} AS c{i}" for i, c in enumerate(["l.id", "r.sid"] + columns))
        return Query(f"SELECT {shown} FROM {left} {kind} {right} ON {on}", 2)

    def exists(self):
        r = self.r
        form = r.choice(
            ["EXISTS (SELECT 1 FROM side AS r WHERE {on})", "NOT EXISTS (SELECT 1 FROM side AS r WHERE {on})",
             "l.k IN (SELECT sk FROM side WHERE sid < {n})",
             "l.k NOT IN (SELECT sk FROM side WHERE sid < {n} AND sk IS NOT NULL)",
             "l.t IN (SELECT st FROM side WHERE sid < {n})"]
        )
        where = form.format(on=self.on(), n=r.randint(1, 3000))
        return Query(f"SELECT l.id AS c0, l.k AS c1, l.t AS c2, l.m AS c3 FROM {self.some()} WHERE {where}")

    def grouped_join(self):
        r = self.r
        key = r.choice(["l.t", "r.st", "l.k % 10", "l.s", "r.sk", "l.b"])
        kind = r.choice(["JOIN", "LEFT JOIN"])
        aggregates = r.sample(
            ["count(*)", "sum(l.i32)", "sum(r.sm)", "min(r.sd)", "max(l.f64)", "avg(r.sv)", "count(r.sid)",
             "count(DISTINCT r.sk)", "sum(l.f64 * r.sv)"], r.randint(1, 3))
        shown = ", ".join(f"{c} AS c{i}" for i, c in enumerate([key] + aggregates))
        return Query(f"SELECT {shown} FROM {self.some(1)} {kind} side AS r ON {self.on()} GROUP BY 1")

    def chain(self):
        """Three to six relations that join one another, in a random order, with filters, tests
        and predicates between them: what the order of joins is chosen for."""
        r = self.r
        relations = [
            ("(SELECT id, k, t, d, m, u8 FROM data WHERE id % 5 = 1) AS a", "a.id", []),
            ("(SELECT * FROM side WHERE sid % 2 = 0) AS b", "b.sid", ["a.k = b.sk", "a.t = b.st AND a.k % 50 = b.sk % 50"]),
            ("(SELECT sid AS cid, sk AS ck, hot AS ch FROM side WHERE sid < 400) AS c", "c.cid", ["b.sk = c.ck", "a.k = c.ck"]),
            ("(SELECT sid AS eid, st AS et, sv AS ev FROM side WHERE sid % 7 = 3) AS e", "e.eid", ["b.sid = e.eid", "c.cid + 1 = e.eid"]),
            ("(SELECT id AS fid, t AS ft, b AS fb FROM data WHERE u8 < 20) AS f", "f.fid", ["b.hot = f.fid", "a.id = f.fid"]),
            ("(SELECT DISTINCT t AS gt FROM data WHERE k < 30) AS g", "g.gt", ["a.t = g.gt", "b.st = g.gt"]),
        ]
        wanted = r.randint(3, 6)
        known, text, keys = {"a"}, relations[0][0], ["a.id"]
        rest = relations[1:]
        while len(keys) < wanted:
            able = []
            for relation in rest:
                alias = relation[1][0]
                on = [c for c in relation[2] if set(c[i] for i in range(len(c) - 1) if c[i + 1] == "." and c[i] != alias) <= known]
                if on:
                    able.append((relation, r.choice(on)))
            if not able:
                break
            relation, on = r.choice(able)
            text += f" JOIN {relation[0]} ON {on}"
            known.add(relation[1][0])
            keys.append(relation[1])
            rest.remove(relation)
        where = [f"a.u8 < {r.randint(5, 250)}"]
        if r.random() < 0.4:
            where.append(r.choice(["a.k IN (SELECT sk FROM side WHERE sid % 9 = 4)", "NOT EXISTS (SELECT 1 FROM side AS s "
                                   "WHERE s.hot = a.id AND s.sid > a.u8)", "a.m > (SELECT avg(sm) FROM side)"]))
        if "b" in known and r.random() < 0.4:
            where.append(r.choice(["a.m < b.sm", "(a.t = 'n001' OR b.sid % 3 = 1)", "a.d <> b.sd"]))
        shown = ", ".join(f"{c} AS c{i}" for i, c in enumerate(keys))
        return Query(f"SELECT {shown} FROM {text} WHERE {' AND '.join(where)}", len(keys))

    def common(self):
        """An aggregation with a name that several parts of the query read."""
        r = self.r
        key = r.choice(["k", "t", "u8", "s"])
        value = r.choice(["i32", "m", "CAST(i16 AS BIGINT)"])
        where = f" WHERE {self.gen.cond(1)}" if r.random() < 0.5 else ""
        total = f"WITH g AS (SELECT {key} AS gk, sum({value}) AS gs, count(*) AS gn FROM data{where} GROUP BY 1) "
        form = r.choice([
            "SELECT gk AS c0, gs AS c1 FROM g WHERE gs > (SELECT avg(gs) FROM g)",
            "SELECT gk AS c0, gs AS c1, gn AS c2 FROM g WHERE gn = (SELECT max(gn) FROM g)",
            "SELECT x.gk AS c0, x.gs AS c1, y.gn AS c2 FROM g AS x JOIN g AS y ON x.gk = y.gk WHERE x.gn > 3",
            "SELECT gk AS c0, 'low' AS c1 FROM g WHERE gs < 0 UNION ALL SELECT gk, 'high' FROM g WHERE gn > 20",
        ])
        return Query(total + form, 2)

    def order(self, columns, unique=None):
        r = self.r
        chosen = r.sample(columns, r.randint(1, min(3, len(columns))))
        parts = [f"{c} {r.choice(['ASC', 'DESC'])} NULLS {r.choice(['FIRST', 'LAST'])}" for c in chosen]
        return ", ".join(parts + ([unique] if unique else []))

    SORTABLE = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "k", "f32", "f64", "b", "d", "ts", "m", "w", "s", "t"]

    def picked(self):
        """First and last values of groups, in orders that leave no two rows equal."""
        r = self.r
        key = r.choice(["t", "k", "u8", "s", "b", "d"])
        where = f" WHERE {self.gen.cond(1)}" if r.random() < 0.5 else ""
        ours, theirs = [], []
        for i in range(1, r.randint(2, 4)):
            value = r.choice(["i8", "i32", "u32", "f32", "f64", "b", "d", "ts", "m", "w", "s", "t", "i16 * 2"])
            which = r.choice(["first", "last"])
            order = self.order([c for c in self.SORTABLE if r.random() < 0.1 or c not in ("s", "t")], "id")
            tests = [self.gen.cond(1)] if r.random() < 0.3 else []
            if r.random() < 0.3:
                ignored, present = " IGNORE NULLS", tests + [f"{value} IS NOT NULL"]
            else:
                ignored, present = "", tests
            clause = lambda all: f" FILTER (WHERE {' AND '.join(all)})" if all else ""
            ours.append(f"{which}_value({value} ORDER BY {order}){clause(tests)}{ignored} AS c{i}")
            theirs.append(f"{which}({value} ORDER BY {order}){clause(present)} AS c{i}")
        text = lambda columns: f"SELECT {key} AS c0, {', '.join(columns)} FROM data{where} GROUP BY 1"
        return Query(text(ours), duckdb=text(theirs))

    def window(self):
        r = self.r
        partition = r.choice(["", "PARTITION BY t ", "PARTITION BY k ", "PARTITION BY b, s ", "PARTITION BY u8 % 5 "])
        total = f"OVER ({partition}ORDER BY {self.order(self.SORTABLE, 'id')}"
        ties = f"OVER ({partition}ORDER BY {self.order(['k', 's', 'u8', 'd', 'b'])})"
        n = r.randint(0, 5)
        frame = r.choice(
            ["ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", f"ROWS BETWEEN {n} PRECEDING AND CURRENT ROW",
             f"ROWS BETWEEN {n} PRECEDING AND {r.randint(0, 4)} FOLLOWING",
             "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"]
        )
        functions = [
            f"row_number() {total})",
            f"rank() {ties}",
            f"dense_rank() {ties}",
            f"lag(i32, {n}) {total})",
            f"lag(CAST(k AS BIGINT), {n + 1}, CAST(-1 AS BIGINT)) {total})",
            f"lead(t, {n + 1}) {total})",
            f"sum(CAST(i32 AS BIGINT)) {total} {frame})",
            f"sum(f64) {total} {frame})",
            f"sum(m) {total} {frame})",
            f"min(i16) {total} {frame})",
            f"max(d) {total} {frame})",
            f"avg(f64) {total} {frame})",
            f"count(s) {total} {frame})",
            f"first_value(k) {total} {frame})",
            f"last_value(k) {total} {frame})",
        ]
        functions += self.passing_over(total, frame, n) + self.distances(partition)
        shown = ["id"] + r.sample(functions, r.randint(1, 3))
        where = f" WHERE {self.gen.cond(1)}" if r.random() < 0.4 else ""
        query = f"SELECT {', '.join(f'{c} AS c{i}' for i, c in enumerate(shown))} FROM data{where}"
        # DuckDB's IGNORE NULLS is one of the arguments.
        ours = query.replace("|)", ") IGNORE NULLS")
        return Query(ours, duckdb=query.replace("|)", " IGNORE NULLS)"))

    def passing_over(self, total, frame, n):
        """Values that are not null, marked by `|`, and aggregates of some rows or spreads."""
        r = self.r
        column = r.choice(["i32", "k", "t", "s", "m", "d", "ts", "f64"])
        condition = r.choice(["b", "NOT b", "k > 100", "i16 % 3 = 0", "s IS NOT NULL", "f64 < 0 OR k IS NULL"])
        return [
            f"lag({column}, {n + 1}|) {total})",
            f"lead({column}|) {total})",
            f"first_value({column}|) {total} {frame})",
            f"last_value({column}|) {total} {frame})",
            f"nth_value({column}, {n + 1}|) {total} {frame})",
            f"count(*) FILTER (WHERE {condition}) {total} {frame})",
            f"sum(CAST(i32 AS BIGINT)) FILTER (WHERE {condition}) {total} {frame})",
            f"max({r.choice(['i16', 'd', 'm', 'u32'])}) FILTER (WHERE {condition}) {total} {frame})",
            f"avg(f64) FILTER (WHERE {condition}) {total} {frame})",
            f"stddev({r.choice(['i16', 'f64', 'u8'])}) {total} {frame})",
            f"var_pop({r.choice(['i16', 'f64', 'u8'])}) {total} {frame})",
            # DataFusion has these over frames that only grow.
            f"bool_and(b) {total})",
            f"bool_or({condition}) {total})",
        ]

    def distances(self, partition):
        """Aggregates over frames by a distance of the key, or of the runs of peers."""
        r = self.r
        unit = r.choice(["k", "id", "i64", "f64", "m", "w", "d", "ts"])
        def far():
            n = r.choice([0, 1, 7, 100, 3000])
            return {
                "i64": str(n * 10**6),
                "f64": f"{n / 8}",
                "m": f"{n * 3}.25",
                "w": f"{n}000000000000.5",
                "d": f"INTERVAL '{n} days'",
                "ts": r.choice([f"INTERVAL '{n} hours'", f"INTERVAL '{n} days'", f"INTERVAL '{n % 50} months'"]),
            }.get(unit, str(n))
        ends = [f"{far()} PRECEDING AND CURRENT ROW", f"CURRENT ROW AND {far()} FOLLOWING",
                f"{far()} PRECEDING AND {far()} FOLLOWING", f"UNBOUNDED PRECEDING AND {far()} FOLLOWING",
                f"{far()} PRECEDING AND UNBOUNDED FOLLOWING"]
        key = f"OVER ({partition}ORDER BY {self.order([unit])}"
        groups = f"OVER ({partition}ORDER BY {self.order(['k', 's', 'u8', 'd', 'b'])}"
        a, b = r.randint(0, 3), r.randint(0, 3)
        apart = r.choice([f"{a} PRECEDING AND CURRENT ROW", f"{a} PRECEDING AND {b} FOLLOWING",
                          f"{a} FOLLOWING AND {a + b} FOLLOWING", f"{a + b} PRECEDING AND {a} PRECEDING"])
        made = ["count(*)", "sum(CAST(i32 AS BIGINT))", "sum(m)", "min(i16)", "max(d)", "avg(f64)"]
        return [f"{r.choice(made)} {key} RANGE BETWEEN {r.choice(ends)})" for _ in range(3)] + [
            f"{r.choice(made)} {groups} GROUPS BETWEEN {apart})"]

    def sort(self):
        r = self.r
        shown = ["id"] + r.sample(self.SORTABLE, 3)
        where = f" WHERE {self.gen.cond(1)}" if r.random() < 0.5 else ""
        columns = ", ".join(f"{c} AS c{i}" for i, c in enumerate(shown))
        limit = r.choice(["", f" LIMIT {r.choice([0, 1, 10, 33, 1000, 50000])}",
                          f" LIMIT {r.randint(1, 100)} OFFSET {r.choice([0, 1, 500, 30000])}"])
        return Query(f"SELECT {columns} FROM data{where} ORDER BY {self.order(self.SORTABLE, 'id')}{limit}",
                     ordered=True)

    def top_per_group(self):
        r = self.r
        key = r.choice(["t", "k", "s", "u8", "b"])
        order = self.order(["f64", "i32", "m", "d", "s"], "id")
        n = r.randint(1, 4)
        return Query(
            f"SELECT id AS c0, {key} AS c1, f64 AS c2 FROM (SELECT id, {key}, f64, row_number() "
            f"OVER (PARTITION BY {key} ORDER BY {order}) AS n FROM data) AS ranked WHERE n <= {n}"
        )

    def set_operation(self):
        r = self.r
        pairs = [("CAST(k AS BIGINT)", "CAST(sk AS BIGINT)"), ("t", "st"), ("d", "sd"), ("id", "sid"), ("id", "hot")]
        chosen = r.sample(pairs[:3], r.randint(1, 2)) if r.random() < 0.5 else [r.choice(pairs)]
        left = ", ".join(f"{a} AS c{i}" for i, (a, _) in enumerate(chosen))
        right = ", ".join(f"{b} AS c{i}" for i, (_, b) in enumerate(chosen))
        operation = r.choice(["UNION", "UNION ALL", "INTERSECT", "EXCEPT"])
        return Query(f"SELECT {left} FROM data WHERE {self.gen.cond(1)} {operation} SELECT {right} FROM side",
                     len(chosen))

    def distinct(self):
        r = self.r
        columns = r.sample(["k", "t", "s", "u8", "b", "d", "i16"], r.randint(1, 3))
        shown = ", ".join(f"{c} AS c{i}" for i, c in enumerate(columns))
        return Query(f"SELECT DISTINCT {shown} FROM data WHERE {self.gen.cond(1)}", len(columns))


# Boundaries and hard cases that random choice may miss.
FIXED = [
    Query("SELECT l.id AS c0, r.sid AS c1 FROM data AS l JOIN side AS r ON l.k = r.sk WHERE r.sid < 0", 2),
    Query("SELECT l.id AS c0, r.sid AS c1 FROM (SELECT * FROM data WHERE id < 0) AS l FULL JOIN side AS r ON l.k = r.sk", 2),
    Query("SELECT l.id AS c0, r.sid AS c1, l.k AS c2 FROM data AS l LEFT JOIN (SELECT * FROM side WHERE sid < 0) AS r ON l.k = r.sk", 2),
    Query("SELECT l.sid AS c0, r.sid AS c1 FROM side AS l JOIN side AS r ON l.sk = r.sk AND l.st = r.st", 2),
    Query("SELECT count(*) AS c0, sum(l.sid) AS c1, sum(r.sid) AS c2 FROM side AS l JOIN side AS r ON l.hot = r.hot", 0),
    Query("SELECT count(*) AS c0, sum(r.v) AS c1 FROM data AS l JOIN big AS r ON l.id = r.g", 0),
    Query("SELECT l.g AS c0, l.v AS c1 FROM big AS l WHERE l.g IN (SELECT sid FROM side) AND l.v IS NULL", 1),
    Query("SELECT g AS c0, v AS c1 FROM big ORDER BY v DESC NULLS LAST, g LIMIT 100", ordered=True),
    Query("SELECT id AS c0, f32 AS c1 FROM data ORDER BY f32 DESC NULLS FIRST, id", ordered=True),
    Query("SELECT id AS c0, s AS c1, t AS c2 FROM data ORDER BY s, t DESC NULLS FIRST, id", ordered=True),
    Query("SELECT id AS c0, k AS c1 FROM data WHERE k NOT IN (SELECT sk FROM side)", 1),
]
