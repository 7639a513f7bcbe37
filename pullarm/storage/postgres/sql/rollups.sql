-- due --
-- Experiments whose statistics are behind their fold.
SELECT f.experiment_id FROM fold_head f LEFT JOIN statistics_head s USING (experiment_id)
WHERE f.fold_no > coalesce(s.fold_no, 0) ORDER BY f.experiment_id;

-- try_lock --
-- One owner for each experiment, until the transaction ends; 21 is this lock's class.
SELECT pg_try_advisory_xact_lock(21, $1);

-- lock --
SELECT pg_advisory_xact_lock(21, $1);

-- cursor --
SELECT coalesce((SELECT fold_no FROM statistics_head WHERE experiment_id = $1), 0);

-- folds --
-- The next folds after the cursor and the batches that they were, or the rebuilds.
SELECT fold_no, batch_no, rebuild_no FROM fold_log WHERE experiment_id = $1 AND fold_no > $2 ORDER BY fold_no LIMIT $3;

-- prepare --
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;
SET LOCAL work_mem = '64MB';
-- Decisions that may count otherwise than before: with all tries of their request, so that one of them can be chosen.
CREATE TEMPORARY TABLE IF NOT EXISTS tried (LIKE decision_fold, PRIMARY KEY (uid)) ON COMMIT DELETE ROWS;
-- What was earned in each slot of them, as of a fold.
CREATE TEMPORARY TABLE IF NOT EXISTS earned (
    as_of bigint, uid uuid, slot smallint, credit integer, shown boolean
) ON COMMIT DELETE ROWS;
-- The slots that count: with sign -1 as they counted at the cursor, with 1 as they do now.
CREATE TEMPORARY TABLE IF NOT EXISTS counted (
    sign smallint, minute integer, day integer, allocation_epoch integer, assigned smallint, acting smallint,
    unit_hash bigint, cohort integer, slot integer, arm_no integer, credit bigint, compared boolean
) ON COMMIT DELETE ROWS;
-- What is to be added to the table of this name.
CREATE TEMPORARY TABLE IF NOT EXISTS user_day_change (LIKE user_day) ON COMMIT DELETE ROWS;

-- brought --
-- The decisions that these batches inserted.
INSERT INTO tried SELECT * FROM decision_fold WHERE experiment_id = $1 AND batch_no = ANY($2::bigint[]);

-- touched --
-- The decisions that these batches rewarded, completed or voided.
INSERT INTO tried
SELECT f.* FROM (
    SELECT uid FROM reward WHERE experiment_id = $1 AND batch_no = ANY($2::bigint[])
    UNION
    SELECT uid FROM decision WHERE experiment_id = $1 AND completed_batch = ANY($2::bigint[])
    UNION
    SELECT uid FROM decision WHERE experiment_id = $1 AND voided_batch = ANY($2::bigint[])
) AS t JOIN decision_fold f USING (uid)
ON CONFLICT DO NOTHING;

-- other_tries --
-- The other tries of the same requests: on the same day, so that no other is looked through.
INSERT INTO tried
SELECT f.*
FROM (SELECT DISTINCT unit_hash, request_id, date_trunc('day', decided_at) AS day FROM tried WHERE request_id <> '') AS t
CROSS JOIN LATERAL (
    SELECT * FROM decision_fold d
    WHERE d.unit_hash = t.unit_hash AND d.request_id = t.request_id AND d.request_id <> '' AND d.experiment_id = $1
      AND d.uid >= uid_floor(t.day) AND d.uid < uid_floor(t.day + interval '24 hours')
    OFFSET 0  -- by the index for each request, however few rows the planner thinks there are
) AS f
ON CONFLICT DO NOTHING;

-- all --
INSERT INTO tried SELECT * FROM decision_fold WHERE experiment_id = $1;

-- rewarded --
-- Of the decisions tried, those that may have had rewards at the cursor, and those that may have some now: all rewards of
-- a decision that these batches brought came with it or later.
WITH before AS (SELECT uid FROM tried WHERE fold_no <= $3)
SELECT ARRAY(SELECT uid FROM before) AS before,
       ARRAY(SELECT uid FROM before
             UNION SELECT uid FROM reward WHERE experiment_id = $1 AND batch_no = ANY($2::bigint[])) AS rewarded;

-- earn --
-- What the rewards of these decisions, or of all, were worth as of a fold. A slot has one credit: of the kind that feeds.
INSERT INTO earned
SELECT $2::bigint, uid, slot, coalesce(max(credit) FILTER (WHERE feeds), 0), bool_or(confirms)
FROM worth_at($2::bigint)
WHERE experiment_id = $1 AND ($3::uuid[] IS NULL OR uid = ANY($3::uuid[]))
GROUP BY uid, slot;

-- count --
-- Slots of decisions that a policy made, that were shown and not taken back; of the tries of a request, which are those of
-- one day (UTC), those of the last.
-- Policies are compared by the units that were assigned to them, while the experiment assigned units.
WITH stood AS (
    SELECT side.sign, t.uid, t.decided_at, t.allocation_epoch, t.assigned, t.acting, t.unit_hash, t.cohort,
           arm.slot, arm.arm_no, coalesce(e.credit, 0) AS credit, t.assigned > 0 AND t.reason = 1 AS compared,
           CASE WHEN t.whole_fold <= side.as_of THEN coalesce(t.request_id, '') ELSE '' END AS request_id
    FROM (VALUES (-1, $2::bigint), (1, $3::bigint)) AS side (sign, as_of)
    JOIN tried t ON t.fold_no <= side.as_of AND t.acting > 0
    CROSS JOIN LATERAL taken_back(side.as_of, $1, t.decided_at, t.batch_no, t.voided, t.voided_batch) AS back
    CROSS JOIN LATERAL unnest(t.arms) WITH ORDINALITY AS arm (arm_no, slot)
    LEFT JOIN earned e ON e.as_of = side.as_of AND e.uid = t.uid AND e.slot = arm.slot
    WHERE NOT back.it
      AND (e.shown OR NOT EXISTS (SELECT FROM experiment WHERE experiment_id = $1 AND exposure = 'confirmed'))
), last AS (
    SELECT * FROM stood WHERE request_id = ''
    UNION ALL
    SELECT sign, uid, decided_at, allocation_epoch, assigned, acting, unit_hash, cohort, slot, arm_no, credit, compared,
           request_id
    FROM (
        SELECT *, rank() OVER (
            PARTITION BY sign, unit_hash, request_id, date_trunc('day', decided_at) ORDER BY uid DESC) AS age
        FROM stood WHERE request_id <> ''
    ) AS tries WHERE age = 1
)
INSERT INTO counted
SELECT sign, floor(date_part('epoch', decided_at) / 60),
       greatest(0, floor(date_part('epoch', decided_at - (
           SELECT coalesce(started_at, created_at) FROM experiment WHERE experiment_id = $1)) / 86400)),
       allocation_epoch, assigned, acting, unit_hash, cohort, slot, arm_no, credit, compared
FROM last;

-- rollup --
-- What changes in the roll-ups.
WITH by_minute AS (
    SELECT minute, assigned, cohort, sum(sign) AS serves, sum(sign) FILTER (WHERE credit > 0) AS rewarded,
           sum(sign * credit) AS credit, sum(sign * credit * credit) AS credit_squared
    FROM counted WHERE compared AND slot = 1
    GROUP BY minute, assigned, cohort
), by_arm AS (
    SELECT minute / 60 AS hour, acting, arm_no, 32 - position(B'1' IN slot::bit(32)) AS slot_group, sum(sign) AS serves,
           sum(sign) FILTER (WHERE credit > 0) AS rewarded, sum(sign * credit) AS credit,
           sum(sign * credit * credit) AS credit_squared
    FROM counted GROUP BY 1, 2, 3, 4
), change AS (
    SELECT marginal, bucket, assigned AS policy, item, 0 AS slot_group, sum(serves) AS serves,
           coalesce(sum(rewarded), 0) AS rewarded, sum(credit) AS credit, sum(credit_squared) AS credit_squared
    FROM by_minute CROSS JOIN LATERAL (
        VALUES (1, minute, 0), (2, minute / 60, 0), (3, minute / 1440, 0), (5, minute / 1440, cohort)
    ) AS cell (marginal, bucket, item)
    GROUP BY marginal, bucket, assigned, item
    UNION ALL
    SELECT marginal, bucket, acting, arm_no, slot_group, sum(serves), coalesce(sum(rewarded), 0), sum(credit),
           sum(credit_squared)
    FROM by_arm CROSS JOIN LATERAL (VALUES (4, hour), (6, hour / 24)) AS cell (marginal, bucket)
    GROUP BY marginal, bucket, acting, arm_no, slot_group
)
SELECT $1::integer AS experiment_id, * FROM change WHERE (serves, rewarded, credit, credit_squared) <> (0, 0, 0, 0);

-- user_groups --
-- What changes in the groups of users, by stripe: at these places.
WITH by_hour AS (
    SELECT minute / 60 AS hour, assigned, cohort, group_of(unit_hash) AS grp, sum(sign) AS m, sum(sign * credit)::bigint AS c
    FROM counted WHERE compared AND slot = 1
    GROUP BY 1, 2, 3, 4
), change AS (
    SELECT hours, hour / hours AS bucket, assigned, of.cohort, grp, sum(m)::bigint AS m, sum(c)::bigint AS c
    FROM by_hour
    CROSS JOIN (VALUES (1), (24)) AS width (hours)
    CROSS JOIN LATERAL (VALUES (cohort), (-1)) AS of (cohort)
    GROUP BY hours, 2, assigned, of.cohort, grp
)
SELECT $1::integer AS experiment_id, hours, bucket, assigned AS policy, cohort, grp / 25 AS stripe,
       array_agg(grp % 25) AS places, array_agg(m) AS m, array_agg(c) AS c
FROM change WHERE (m, c) <> (0, 0)
GROUP BY hours, bucket, assigned, cohort, 6;

-- tally --
-- What changes in the counts.
WITH side (sign, as_of) AS (VALUES (-1, $2::bigint), (1, $3::bigint)),
state AS (
    SELECT sign, t.assigned, t.reason, t.unlisted, t.withheld, t.whole_fold <= as_of AS whole, back.it AS voided
    FROM side JOIN tried t ON t.fold_no <= as_of
    CROSS JOIN LATERAL taken_back(as_of, $1, t.decided_at, t.batch_no, t.voided, t.voided_batch) AS back
), called AS (
    SELECT sign, status, uid, slot, kind, reward_id, retract
    FROM side JOIN reward r ON r.experiment_id = $1 AND ($4::uuid[] IS NULL OR r.uid = ANY($4::uuid[]))
    LEFT JOIN fold_log l ON l.experiment_id = $1 AND l.batch_no = r.batch_no
    WHERE coalesce(l.fold_no, 0) <= as_of
)
SELECT $1::integer AS experiment_id, name, item, sum(n)::bigint AS n FROM (
    SELECT 'decisions' AS name, 0 AS item, sum(sign) AS n FROM state WHERE whole
    UNION ALL
    SELECT 'unlisted', 0, sum(sign * unlisted) FROM state WHERE whole
    UNION ALL
    SELECT 'withheld', 0, sum(sign * withheld) FROM state WHERE whole
    UNION ALL
    SELECT 'reason', reason, sum(sign) FROM state WHERE NOT voided GROUP BY reason
    UNION ALL
    SELECT 'voided', assigned, sum(sign) FROM state WHERE voided GROUP BY assigned
    UNION ALL
    SELECT 'calls', status, sum(sign) FROM called GROUP BY status
    UNION ALL
    SELECT 'distinct', status, sum(sign) FROM (SELECT DISTINCT * FROM called) AS once GROUP BY status
    UNION ALL  -- where the tables are taken as empty, what removed rows had brought
    SELECT name, item, n FROM opening_tally WHERE experiment_id = $1 AND $2::bigint IS NULL
) AS found GROUP BY name, item HAVING sum(n) <> 0;

-- user_days --
INSERT INTO user_day_change
SELECT $1, unit_hash, allocation_epoch, assigned, day, sum(sign),
       coalesce(sum(sign) FILTER (WHERE credit > 0), 0), sum(sign * credit)
FROM counted WHERE compared AND slot = 1
GROUP BY unit_hash, allocation_epoch, assigned, day
HAVING sum(sign) <> 0 OR sum(sign * credit) <> 0 OR sum(sign) FILTER (WHERE credit > 0) <> 0;

-- keep_user_days --
-- The days that began before the first moment whose decisions are all there are taken as they are.
WITH removed AS (
    SELECT DISTINCT d.day FROM user_day d JOIN experiment e USING (experiment_id)
    WHERE d.experiment_id = $1
      AND coalesce(e.started_at, e.created_at) + d.day * interval '24 hours' < (SELECT kept_from())
), forgotten AS (
    DELETE FROM user_day_change WHERE day <= (SELECT max(day) FROM removed)
)
INSERT INTO user_day_change SELECT * FROM user_day WHERE experiment_id = $1 AND day <= (SELECT max(day) FROM removed);

-- user_sums --
-- What every row of the units concerned added to the sums, and what it adds now: what its unit has up to that day less what
-- it had before; then for each day there is, all of it up to that day. What a unit did with another policy than its first
-- is moved.
WITH line AS (
    SELECT unit_hash, allocation_epoch, policy, day, sum(was_m)::bigint AS was_m, sum(was_r)::bigint AS was_r,
           sum(was_c)::bigint AS was_c, sum(m)::bigint AS m, sum(r)::bigint AS r, sum(c)::bigint AS c
    FROM (
        SELECT was.*, m AS was_m, r AS was_r, c AS was_c
        FROM (SELECT DISTINCT unit_hash FROM user_day_change) AS unit
        CROSS JOIN LATERAL (
            SELECT unit_hash, allocation_epoch, policy, day, m, r, c FROM user_day d
            WHERE d.experiment_id = $1 AND d.unit_hash = unit.unit_hash AND $2::boolean
            OFFSET 0  -- by the index for each unit, however few the planner thinks there are
        ) AS was
        UNION ALL
        SELECT unit_hash, allocation_epoch, policy, day, m, r, c, 0, 0, 0 FROM user_day_change
    ) AS both_of_them
    GROUP BY unit_hash, allocation_epoch, policy, day
), homed AS (
    SELECT line.*,
           min(place) FILTER (WHERE was_m > 0) OVER unit & 255 AS was_home,
           min(place) FILTER (WHERE m > 0) OVER unit & 255 AS home,
           min(place) FILTER (WHERE was_m > 0) OVER unit >> 40 AS was_first,
           min(place) FILTER (WHERE m > 0) OVER unit >> 40 AS first
    FROM line
    CROSS JOIN LATERAL (SELECT (allocation_epoch::bigint << 40) + (day::bigint << 8) + policy AS place) AS ordered
    WINDOW unit AS (PARTITION BY unit_hash)
), own AS (
    SELECT unit_hash, epoch.allocation_epoch, policy, day,
           epoch.allocation_epoch IN (0, was_first) AS was_fresh, epoch.allocation_epoch IN (0, first) AS fresh,
           CASE WHEN policy = was_home THEN was_m ELSE 0 END AS was_m,
           CASE WHEN policy = was_home THEN was_r ELSE 0 END AS was_r,
           CASE WHEN policy = was_home THEN was_c ELSE 0 END AS was_c,
           CASE WHEN policy = was_home THEN 0 ELSE was_m END AS was_moved,
           CASE WHEN policy = home THEN m ELSE 0 END AS m,
           CASE WHEN policy = home THEN r ELSE 0 END AS r,
           CASE WHEN policy = home THEN c ELSE 0 END AS c,
           CASE WHEN policy = home THEN 0 ELSE m END AS moved
    FROM homed CROSS JOIN LATERAL (VALUES (allocation_epoch), (0)) AS epoch (allocation_epoch)
), part AS (
    SELECT own.*, sum(was_m) OVER upto::bigint AS was_all_m, sum(was_c) OVER upto::bigint AS was_all_c,
           sum(m) OVER upto::bigint AS all_m, sum(c) OVER upto::bigint AS all_c
    FROM own
    WINDOW upto AS (PARTITION BY unit_hash, allocation_epoch, policy ORDER BY day ROWS UNBOUNDED PRECEDING)
), brought AS (
    SELECT allocation_epoch, policy, day,
           count(*) FILTER (WHERE came) - count(*) FILTER (WHERE had_come) AS n,
           sum(m - was_m) AS m, sum(r - was_r) AS r, sum(c - was_c) AS c,
           sum(m * (2 * all_m - m) - was_m * (2 * was_all_m - was_m)) AS mm,
           sum(c::numeric * (2 * all_c - c) - was_c::numeric * (2 * was_all_c - was_c)) AS cc,
           sum(m * all_c + c * (all_m - m) - was_m * was_all_c - was_c * (was_all_m - was_m)) AS mc,
           sum(moved - was_moved) AS moved,
           count(*) FILTER (WHERE came AND fresh) - count(*) FILTER (WHERE had_come AND was_fresh) AS fresh
    FROM part
    CROSS JOIN LATERAL (SELECT m > 0 AND all_m = m AS came, was_m > 0 AND was_all_m = was_m AS had_come) AS first
    GROUP BY allocation_epoch, policy, day
), grid AS (
    SELECT allocation_epoch, policy, day FROM brought
    UNION
    SELECT allocation_epoch, policy, day FROM user_sums WHERE experiment_id = $1
)
SELECT $1::integer AS experiment_id, * FROM (
    SELECT allocation_epoch, policy, day, sum(n) OVER upto::bigint AS n, sum(m) OVER upto AS m, sum(r) OVER upto AS r,
           sum(c) OVER upto AS c, sum(mm) OVER upto AS mm, sum(cc) OVER upto AS cc, sum(mc) OVER upto AS mc,
           sum(moved) OVER upto AS moved, sum(fresh) OVER upto::bigint AS fresh
    FROM grid LEFT JOIN brought USING (allocation_epoch, policy, day)
    WINDOW upto AS (PARTITION BY allocation_epoch, policy ORDER BY day)
) AS change
WHERE (n, m, r, c, mm, cc, mc, moved, fresh) <> (0, 0, 0, 0, 0, 0, 0, 0, 0);

-- past --
-- Of the units of each policy in the allocation epoch $3, up to day $2: what they asked for and earned in the 14 days before
-- the experiment began, as of the fold $4; {user_day} has what they did in it. No policy had a part in that.
WITH began AS (
    SELECT started_at AS at FROM experiment WHERE experiment_id = $1
), asked AS (
    SELECT d.unit_hash, count(*) AS m, coalesce(sum(earned.credit), 0)::bigint AS c
    FROM began
    JOIN decision d ON d.experiment_id = $1 AND d.reason = 3 AND d.arms <> '{}'
        AND d.uid >= uid_floor(began.at - interval '14 days') AND d.uid < uid_floor(began.at)
    CROSS JOIN LATERAL taken_back($4::bigint, $1, d.decided_at, d.batch_no, d.voided, d.voided_batch) AS back
    LEFT JOIN LATERAL (
        SELECT max(r.credit) AS credit FROM reward r
        WHERE r.uid = d.uid AND r.experiment_id = $1 AND r.slot = 1 AND r.feeds AND NOT r.retract AND r.status = 3
          AND r.received_at < began.at AND coalesce(fold_of($1, r.batch_no), 0) <= $4::bigint
          AND NOT EXISTS (SELECT FROM reward_excluded($4::bigint, $1, r.source, r.received_at, r.batch_no))
    ) AS earned ON true
    WHERE NOT back.it AND coalesce(fold_of($1, d.batch_no), 0) <= $4::bigint
    GROUP BY d.unit_hash
), homed AS (
    SELECT u.unit_hash, u.allocation_epoch, u.policy, u.day, u.m, u.c,
           min((u.allocation_epoch::bigint << 40) + (u.day::bigint << 8) + u.policy) FILTER (WHERE u.m > 0)
               OVER (PARTITION BY u.unit_hash) & 255 AS home
    FROM {user_day} u JOIN asked USING (unit_hash) WHERE u.experiment_id = $1
), own AS (
    SELECT unit_hash, policy, sum(m)::bigint AS m, sum(c)::bigint AS c FROM homed
    WHERE policy = home AND allocation_epoch = $3 AND day < $2
    GROUP BY unit_hash, policy HAVING sum(m) > 0
)
SELECT policy, count(*) AS n, sum(a.m) AS m, sum(a.c) AS c, sum(a.m * a.m) AS mm, sum(a.c::numeric * a.c) AS cc,
       sum(a.m * a.c) AS mc, sum(own.m * a.m) AS m_m, sum(own.m * a.c) AS m_c, sum(own.c * a.m) AS c_m,
       sum(own.c::numeric * a.c) AS c_c
FROM own JOIN asked a USING (unit_hash) GROUP BY policy ORDER BY policy;

-- add_rollup --
INSERT INTO rollup AS r
SELECT * FROM ({rollup}) AS change ORDER BY experiment_id, marginal, bucket, policy, item, slot_group
ON CONFLICT (experiment_id, marginal, bucket, policy, item, slot_group) DO UPDATE SET
    serves = r.serves + excluded.serves, rewarded = r.rewarded + excluded.rewarded, credit = r.credit + excluded.credit,
    credit_squared = r.credit_squared + excluded.credit_squared;

-- add_user_groups --
INSERT INTO user_group
SELECT experiment_id, hours, bucket, policy, cohort, stripe, added(g.m, places, change.m), added(g.c, places, change.c)
FROM ({user_groups}) AS change LEFT JOIN user_group g USING (experiment_id, hours, bucket, policy, cohort, stripe)
ON CONFLICT (experiment_id, hours, bucket, policy, cohort, stripe) DO UPDATE SET m = excluded.m, c = excluded.c;

-- add_tally --
INSERT INTO tally AS t SELECT * FROM ({tally}) AS change
ON CONFLICT (experiment_id, name, item) DO UPDATE SET n = t.n + excluded.n;

-- add_user_sums --
-- A day that had nothing of its own had the sums of the last one before it.
INSERT INTO user_sums
SELECT change.experiment_id, change.allocation_epoch, change.policy, change.day, coalesce(s.n, 0) + change.n,
       coalesce(s.m, 0) + change.m, coalesce(s.r, 0) + change.r, coalesce(s.c, 0) + change.c,
       coalesce(s.mm, 0) + change.mm, coalesce(s.cc, 0) + change.cc, coalesce(s.mc, 0) + change.mc,
       coalesce(s.moved, 0) + change.moved, coalesce(s.fresh, 0) + change.fresh
FROM ({user_sums}) AS change LEFT JOIN LATERAL (
    SELECT * FROM user_sums u
    WHERE (u.experiment_id, u.allocation_epoch, u.policy) = (change.experiment_id, change.allocation_epoch, change.policy)
      AND u.day <= change.day
    ORDER BY u.day DESC LIMIT 1
) AS s ON true
ON CONFLICT (experiment_id, allocation_epoch, policy, day) DO UPDATE SET
    n = excluded.n, m = excluded.m, r = excluded.r, c = excluded.c, mm = excluded.mm, cc = excluded.cc,
    mc = excluded.mc, moved = excluded.moved, fresh = excluded.fresh;

-- add_user_days --
INSERT INTO user_day AS u
SELECT * FROM user_day_change ORDER BY experiment_id, unit_hash, allocation_epoch, policy, day
ON CONFLICT (experiment_id, unit_hash, allocation_epoch, policy, day) DO UPDATE SET
    m = u.m + excluded.m, r = u.r + excluded.r, c = u.c + excluded.c;

-- advance --
INSERT INTO statistics_head AS h
SELECT $1, $2, min(decided_at), max(decided_at) FROM tried WHERE fold_no <= $2
ON CONFLICT (experiment_id) DO UPDATE SET
    fold_no = excluded.fold_no, first_at = least(h.first_at, excluded.first_at),
    last_at = greatest(h.last_at, excluded.last_at);

-- forget --
-- But for the roll-ups of removed days.
WITH gone AS (DELETE FROM rollup r WHERE experiment_id = $1 AND is_kept(r)),
     groups AS (DELETE FROM user_group g WHERE experiment_id = $1 AND is_kept(g)),
     gone_too AS (DELETE FROM tally WHERE experiment_id = $1),
     these_too AS (DELETE FROM user_day WHERE experiment_id = $1),
     head AS (DELETE FROM statistics_head WHERE experiment_id = $1)
DELETE FROM user_sums WHERE experiment_id = $1;

-- compare_rollup --
-- Where the tables differ from what was to be added to empty ones. Of removed days there is nothing to compare with.
SELECT format('roll-up %s bucket %s policy %s item %s slots %s', marginal, bucket, policy, item, slot_group) AS what,
       concat_ws(' ', s.serves, s.rewarded, s.credit, s.credit_squared) AS stored,
       concat_ws(' ', l.serves, l.rewarded, l.credit, l.credit_squared) AS ledger
FROM (SELECT * FROM rollup r WHERE experiment_id = $1 AND is_kept(r)) AS s
FULL JOIN ({rollup}) AS l USING (marginal, bucket, policy, item, slot_group)
WHERE (coalesce(s.serves, 0), coalesce(s.rewarded, 0), coalesce(s.credit, 0), coalesce(s.credit_squared, 0))
   <> (coalesce(l.serves, 0), coalesce(l.rewarded, 0), coalesce(l.credit, 0), coalesce(l.credit_squared, 0))
ORDER BY marginal, bucket, policy, item, slot_group;

-- compare_user_groups --
SELECT format('user groups of %s h bucket %s policy %s cohort %s stripe %s', hours, bucket, policy, cohort, stripe) AS what,
       concat_ws(' ', s.m, s.c) AS stored, concat_ws(' ', l.m, l.c) AS ledger
FROM (SELECT * FROM user_group g WHERE experiment_id = $1 AND is_kept(g)) AS s
FULL JOIN (
    SELECT hours, bucket, policy, cohort, stripe, added(NULL, places, m) AS m, added(NULL, places, c) AS c
    FROM ({user_groups}) AS change
) AS l USING (hours, bucket, policy, cohort, stripe)
CROSS JOIN added(NULL, '{}', '{}') AS nothing
WHERE (coalesce(s.m, nothing), coalesce(s.c, nothing)) <> (coalesce(l.m, nothing), coalesce(l.c, nothing))
ORDER BY hours, bucket, policy, cohort, stripe;

-- compare_tally --
SELECT format('tally %s %s', name, item) AS what, s.n::text AS stored, l.n::text AS ledger
FROM (SELECT * FROM tally WHERE experiment_id = $1) AS s FULL JOIN ({tally}) AS l USING (name, item)
WHERE coalesce(s.n, 0) <> coalesce(l.n, 0) ORDER BY name, item;

-- compare_user_days --
SELECT format('unit %s epoch %s policy %s day %s', unit_hash, allocation_epoch, policy, day) AS what,
       concat_ws(' ', s.m, s.r, s.c) AS stored, concat_ws(' ', l.m, l.r, l.c) AS ledger
FROM (SELECT * FROM user_day WHERE experiment_id = $1) AS s
FULL JOIN user_day_change l USING (unit_hash, allocation_epoch, policy, day)
WHERE (coalesce(s.m, 0), coalesce(s.r, 0), coalesce(s.c, 0)) <> (coalesce(l.m, 0), coalesce(l.r, 0), coalesce(l.c, 0))
ORDER BY unit_hash, allocation_epoch, policy, day;

-- compare_user_sums --
WITH ledger AS MATERIALIZED ({user_sums})
SELECT format('users of epoch %s policy %s up to day %s', every.allocation_epoch, every.policy, every.day) AS what,
       concat_ws(' ', s.n, s.m, s.r, s.c, s.mm, s.cc, s.mc, s.moved, s.fresh) AS stored,
       concat_ws(' ', l.n, l.m, l.r, l.c, l.mm, l.cc, l.mc, l.moved, l.fresh) AS ledger
FROM (
    SELECT allocation_epoch, policy, day FROM user_sums WHERE experiment_id = $1
    UNION
    SELECT allocation_epoch, policy, day FROM ledger
) AS every
LEFT JOIN ledger l USING (allocation_epoch, policy, day)
LEFT JOIN LATERAL (
    SELECT * FROM user_sums u
    WHERE (u.experiment_id, u.allocation_epoch, u.policy) = ($1, every.allocation_epoch, every.policy)
      AND u.day <= every.day
    ORDER BY u.day DESC LIMIT 1
) AS s ON true
WHERE (coalesce(s.n, 0), coalesce(s.m, 0), coalesce(s.r, 0), coalesce(s.c, 0), coalesce(s.mm, 0), coalesce(s.cc, 0),
       coalesce(s.mc, 0), coalesce(s.moved, 0), coalesce(s.fresh, 0))
   <> (coalesce(l.n, 0), coalesce(l.m, 0), coalesce(l.r, 0), coalesce(l.c, 0), coalesce(l.mm, 0), coalesce(l.cc, 0),
       coalesce(l.mc, 0), coalesce(l.moved, 0), coalesce(l.fresh, 0))
ORDER BY every.allocation_epoch, every.policy, every.day;

-- compare_head --
SELECT 'first and last decision' AS what, concat_ws(' ', h.first_at, h.last_at) AS stored,
       concat_ws(' ', l.first_at, l.last_at) AS ledger
FROM statistics_head h,
     (SELECT min(decided_at) AS first_at, max(decided_at) AS last_at FROM tried WHERE fold_no <= $2::bigint) AS l
WHERE h.experiment_id = $1
  AND (h.first_at IS DISTINCT FROM l.first_at AND (h.first_at < kept_from()) IS NOT TRUE
       OR h.last_at IS DISTINCT FROM l.last_at AND (h.last_at < kept_from()) IS NOT TRUE);
