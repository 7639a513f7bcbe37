-- prepare --
-- What is to be added to the table of this name.
CREATE TEMPORARY TABLE IF NOT EXISTS guard_user_change (LIKE guard_user) ON COMMIT DELETE ROWS;

-- make_starts --
-- The starts that the decisions of this step have reached, none of them before the last decision that was counted.
WITH epoch AS (
    SELECT e.guard_epoch, e.allocation_epoch, from_minute
    FROM experiment e CROSS JOIN LATERAL guarded_from(e.experiment_id, e.guard_epoch) AS from_minute
    WHERE e.experiment_id = $1 AND from_minute IS NOT NULL
), reached AS (
    SELECT floor(date_part('epoch', max(decided_at)) / 60)::integer AS minute FROM tried
), known AS (
    SELECT coalesce(max(start_no), 0) AS start_no,
           coalesce(max(period * 7 + place) FILTER (WHERE guard_epoch = (SELECT guard_epoch FROM epoch)), -1) AS place
    FROM guard_start WHERE experiment_id = $1
), counted_to AS (
    SELECT coalesce(floor(date_part('epoch', max(last_at)) / 60)::integer + 1, 0) AS minute
    FROM statistics_head WHERE experiment_id = $1
)
INSERT INTO guard_start
SELECT $1, known.start_no + row_number() OVER (ORDER BY new.place), guard_epoch, allocation_epoch, new.place / 7,
       new.place % 7, greatest(from_minute + new.place * 2880, counted_to.minute)
FROM epoch, reached, known, counted_to,
     generate_series(known.place + 1, (reached.minute - from_minute) / 2880) AS new (place)
WHERE reached.minute >= from_minute;

-- users --
WITH span AS (
    SELECT start_no, allocation_epoch, minute, lead(minute) OVER (ORDER BY start_no) AS until
    FROM guard_start WHERE experiment_id = $1
)
INSERT INTO guard_user_change
SELECT $1, c.unit_hash, span.start_no, c.assigned, sum(c.sign), sum(c.sign * c.credit)
FROM counted c
JOIN span ON c.minute >= span.minute AND (span.until IS NULL OR c.minute < span.until)
    AND c.allocation_epoch = span.allocation_epoch
WHERE c.compared AND c.slot = 1
GROUP BY c.unit_hash, span.start_no, c.assigned
HAVING sum(c.sign) <> 0 OR sum(c.sign * c.credit) <> 0;

-- keep_users --
-- Where decisions of the time after a start have been removed, what was counted stands.
WITH removed AS (
    SELECT start_no FROM guard_start WHERE experiment_id = $1 AND NOT guard_start_is_kept(minute)
), forgotten AS (
    DELETE FROM guard_user_change WHERE start_no IN (SELECT start_no FROM removed)
)
INSERT INTO guard_user_change
SELECT * FROM guard_user WHERE experiment_id = $1 AND start_no IN (SELECT start_no FROM removed);

-- guard_sums --
-- What changes in the sums over units: each unit's part from every start on, as it was and as it is now.
WITH line AS (
    SELECT unit_hash, start_no, policy, sum(was_m)::bigint AS was_m, sum(was_c)::bigint AS was_c, sum(m)::bigint AS m,
           sum(c)::bigint AS c
    FROM (
        SELECT was.*, m AS was_m, c AS was_c
        FROM (SELECT DISTINCT unit_hash FROM guard_user_change) AS unit
        CROSS JOIN LATERAL (
            SELECT unit_hash, start_no, policy, m, c FROM guard_user u
            WHERE u.experiment_id = $1 AND u.unit_hash = unit.unit_hash AND $2::boolean
            OFFSET 0  -- by the index for each unit
        ) AS was
        UNION ALL
        SELECT unit_hash, start_no, policy, m, c, 0, 0 FROM guard_user_change
    ) AS both_of_them
    GROUP BY unit_hash, start_no, policy
), part AS (
    SELECT since.start_no, unit_hash, policy, sum(was_m)::bigint AS was_m, sum(was_c)::bigint AS was_c,
           sum(m)::bigint AS m, sum(c)::bigint AS c
    FROM line
    JOIN guard_start own ON own.experiment_id = $1 AND own.start_no = line.start_no
    JOIN guard_start since ON since.experiment_id = $1 AND since.start_no <= own.start_no
        AND since.guard_epoch = own.guard_epoch AND since.period = own.period
    GROUP BY since.start_no, unit_hash, policy
)
SELECT $1::integer AS experiment_id, * FROM (
    SELECT start_no, policy, count(*) FILTER (WHERE m > 0) - count(*) FILTER (WHERE was_m > 0) AS n,
           sum(m - was_m) AS m, sum(c - was_c) AS c, sum(m::numeric * m - was_m::numeric * was_m) AS mm,
           sum((c - was_c)::numeric * (c + was_c)) AS cc, sum(m::numeric * c - was_m::numeric * was_c) AS mc
    FROM part GROUP BY start_no, policy
) AS change
WHERE (n, m, c, mm, cc, mc) <> (0, 0, 0, 0, 0, 0);

-- guard_draws --
-- What changes in the draws: those of decisions that have become whole. That one was taken back says nothing of its draw.
WITH span AS (
    SELECT start_no, allocation_epoch, minute, lead(minute) OVER (ORDER BY start_no) AS until
    FROM guard_start WHERE experiment_id = $1
)
SELECT $1::integer AS experiment_id, span.start_no, t.acting AS policy, count(*) AS n, sum(x)::bigint AS x,
       sum(x::numeric * x) AS xx
FROM tried t
JOIN decision d USING (uid)
JOIN span ON floor(date_part('epoch', t.decided_at) / 60) >= span.minute
    AND (span.until IS NULL OR floor(date_part('epoch', t.decided_at) / 60) < span.until)
    AND t.allocation_epoch = span.allocation_epoch
CROSS JOIN LATERAL (
    SELECT CASE WHEN d.all_arms > 0 THEN d.all_arms ELSE octet_length(d.candidates) / 4 END AS arms
) AS offered
CROSS JOIN LATERAL (
    SELECT round((d.totals[1]::numeric / (nullif(d.weights[1], 0)::numeric * nullif(offered.arms, 0)) - 1) * 1000000)::bigint
        AS x
) AS draw
WHERE t.whole_fold > coalesce($2::bigint, 0) AND t.whole_fold <= $3 AND t.reason = 1 AND t.acting > 1
  AND offered.arms > 1 AND x IS NOT NULL AND ($2 IS NOT NULL OR guard_start_is_kept(span.minute))
GROUP BY span.start_no, t.acting;

-- add_guard_sums --
INSERT INTO guard_sums AS s SELECT * FROM ({guard_sums}) AS change ORDER BY start_no, policy
ON CONFLICT (experiment_id, start_no, policy) DO UPDATE SET
    n = s.n + excluded.n, m = s.m + excluded.m, c = s.c + excluded.c, mm = s.mm + excluded.mm, cc = s.cc + excluded.cc,
    mc = s.mc + excluded.mc;

-- add_guard_draws --
INSERT INTO guard_draws AS s SELECT * FROM ({guard_draws}) AS change ORDER BY start_no, policy
ON CONFLICT (experiment_id, start_no, policy) DO UPDATE SET
    n = s.n + excluded.n, x = s.x + excluded.x, xx = s.xx + excluded.xx;

-- add_users --
INSERT INTO guard_user AS u SELECT * FROM guard_user_change ORDER BY unit_hash, start_no, policy
ON CONFLICT (experiment_id, unit_hash, start_no, policy) DO UPDATE SET m = u.m + excluded.m, c = u.c + excluded.c;

-- forget --
WITH gone AS (DELETE FROM guard_user WHERE experiment_id = $1),
     gone_too AS (
         DELETE FROM guard_draws d USING guard_start s
         WHERE (s.experiment_id, s.start_no) = (d.experiment_id, d.start_no) AND d.experiment_id = $1
           AND guard_start_is_kept(s.minute)
     )
DELETE FROM guard_sums WHERE experiment_id = $1;

-- compare_guard_sums --
SELECT format('users since start %s of policy %s', start_no, policy) AS what,
       concat_ws(' ', s.n, s.m, s.c, s.mm, s.cc, s.mc) AS stored, concat_ws(' ', l.n, l.m, l.c, l.mm, l.cc, l.mc) AS ledger
FROM (SELECT * FROM guard_sums WHERE experiment_id = $1) AS s
FULL JOIN ({guard_sums}) AS l USING (start_no, policy)
WHERE (coalesce(s.n, 0), coalesce(s.m, 0), coalesce(s.c, 0), coalesce(s.mm, 0), coalesce(s.cc, 0), coalesce(s.mc, 0))
   <> (coalesce(l.n, 0), coalesce(l.m, 0), coalesce(l.c, 0), coalesce(l.mm, 0), coalesce(l.cc, 0), coalesce(l.mc, 0))
ORDER BY start_no, policy;

-- compare_guard_draws --
SELECT format('draws since start %s of policy %s', start_no, policy) AS what, concat_ws(' ', s.n, s.x, s.xx) AS stored,
       concat_ws(' ', l.n, l.x, l.xx) AS ledger
FROM (
    SELECT d.* FROM guard_draws d JOIN guard_start USING (experiment_id, start_no)
    WHERE experiment_id = $1 AND guard_start_is_kept(minute)
) AS s
FULL JOIN ({guard_draws}) AS l USING (start_no, policy)
WHERE (coalesce(s.n, 0), coalesce(s.x, 0), coalesce(s.xx, 0)) <> (coalesce(l.n, 0), coalesce(l.x, 0), coalesce(l.xx, 0))
ORDER BY start_no, policy;

-- compare_users --
SELECT format('unit %s since start %s policy %s', unit_hash, start_no, policy) AS what,
       concat_ws(' ', s.m, s.c) AS stored, concat_ws(' ', l.m, l.c) AS ledger
FROM (SELECT * FROM guard_user WHERE experiment_id = $1) AS s
FULL JOIN guard_user_change l USING (unit_hash, start_no, policy)
WHERE (coalesce(s.m, 0), coalesce(s.c, 0)) <> (coalesce(l.m, 0), coalesce(l.c, 0))
ORDER BY unit_hash, start_no, policy;
