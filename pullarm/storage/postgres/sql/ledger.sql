-- prepare --
-- Where a batch is copied to before it is merged; one for each connection. Every batch is planned for its own keys: a plan
-- for any keys would take a thousand of them for ten.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_decision (LIKE decision INCLUDING DEFAULTS) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_reward (LIKE reward INCLUDING DEFAULTS) ON COMMIT DELETE ROWS;

-- ensure_day --
SELECT ensure_day($1::date);

-- share --
-- First of all, so that none of these experiments is rebuilt while this fold is under way: it may have read the exclusions.
-- Folds share the lock (30 is its class); who waits for a rebuild here holds no row yet.
SELECT pg_advisory_xact_lock_shared(30, experiment_id) FROM unnest($1::integer[]) AS e (experiment_id);

-- next_batch --
SELECT nextval('batch_no');

-- merge_decisions --
-- Fold step 1: insert decisions and stubs in order of uid. A conflict locks the row even where nothing is to be updated,
-- so that from here on nobody else works on these decisions; a full decision completes its stub. Answers the serves that
-- are new, those of rows this batch inserted and no exclusion takes; and without a cell, how many whole decisions are
-- new.
WITH written AS (
    INSERT INTO decision AS d
    SELECT * FROM incoming_decision ORDER BY uid
    ON CONFLICT (uid) DO UPDATE SET
        stub = false, config_no = excluded.config_no, pub_no = excluded.pub_no, kernel = excluded.kernel,
        unit = excluded.unit, bucket = excluded.bucket, candidates = excluded.candidates, weights = excluded.weights,
        totals = excluded.totals, attributes = excluded.attributes, request_id = excluded.request_id,
        unlisted = excluded.unlisted, candidates_hash = excluded.candidates_hash, all_arms = excluded.all_arms,
        withheld = excluded.withheld, completed_batch = excluded.batch_no
    WHERE d.stub AND NOT excluded.stub
    RETURNING d.experiment_id, d.acting, d.arms, d.learn_slots, d.decided_at, d.batch_no, d.stub
)
SELECT experiment_id, acting AS policy, arm_no, hour_of(decided_at) AS hour, count(*) AS n
FROM written, unnest(arms[1:learn_slots]) AS arm_no
WHERE batch_no = $1 AND acting > 0
  AND NOT EXISTS (SELECT FROM decision_excluded(NULL, experiment_id, decided_at, batch_no))
  AND NOT EXISTS (SELECT FROM experiment e WHERE e.experiment_id = written.experiment_id AND exposure = 'confirmed')
GROUP BY 1, 2, 3, 4
UNION ALL
SELECT NULL, NULL, NULL, NULL, count(*) FROM written WHERE NOT stub;

-- void --
-- A voided decision was never shown: its serves are taken back, once, where they counted. (Confirmed ones with their
-- credits, below.)
WITH voided AS (
    UPDATE decision SET voided = true, voided_batch = $2
    WHERE uid = ANY($1::uuid[]) AND NOT voided
    RETURNING experiment_id, acting, arms, learn_slots, decided_at, batch_no
)
SELECT experiment_id, acting AS policy, arm_no, hour_of(decided_at) AS hour, -count(*) AS n
FROM voided, unnest(arms[1:learn_slots]) AS arm_no
WHERE acting > 0
  AND NOT EXISTS (SELECT FROM decision_excluded(NULL, experiment_id, decided_at, batch_no))
  AND NOT EXISTS (SELECT FROM experiment e WHERE e.experiment_id = voided.experiment_id AND exposure = 'confirmed')
GROUP BY 1, 2, 3, 4;

-- insert_rewards --
-- Fold step 2.
INSERT INTO reward SELECT * FROM incoming_reward ORDER BY uid, reward_uid
ON CONFLICT (uid, reward_uid) DO NOTHING;

-- recompute_credits --
-- Fold steps 3 and 4, in a statement of their own: its snapshot was taken after every decision concerned was locked, so
-- it sees all rewards of them there are. Answers by how much the posterior has to change.
WITH fresh AS (
    SELECT * FROM due_credit WHERE uid = ANY($1::uuid[]) AND decision_uid = ANY($1::uuid[])
), stored AS (
    SELECT * FROM credit WHERE uid = ANY($1::uuid[])  -- as it was: one statement sees one snapshot
), changed AS (
    INSERT INTO credit AS c (uid, slot, kind, value, booked, serves)
    SELECT uid, slot, kind, value, booked, serves FROM fresh ORDER BY uid, slot, kind
    ON CONFLICT (uid, slot, kind) DO UPDATE
    SET value = excluded.value, booked = excluded.booked, serves = excluded.serves
    WHERE (c.value, c.booked, c.serves) IS DISTINCT FROM (excluded.value, excluded.booked, excluded.serves)
)
SELECT f.experiment_id, f.policy, f.arm_no, f.hour,
       sum(f.serves - coalesce(stored.serves, 0))::bigint AS n, sum(f.booked - coalesce(stored.booked, 0))::bigint AS s
FROM fresh f LEFT JOIN stored USING (uid, slot, kind)
WHERE (f.booked, f.serves) <> (coalesce(stored.booked, 0), coalesce(stored.serves, 0))
GROUP BY 1, 2, 3, 4;

-- add_to_posterior --
-- Fold step 5.
INSERT INTO posterior AS p (experiment_id, policy, arm_no, hour, n, s)
SELECT * FROM unnest($1::integer[], $2::smallint[], $3::integer[], $4::integer[], $5::bigint[], $6::bigint[])
         AS delta (experiment_id, policy, arm_no, hour, n, s)
ORDER BY 1, 2, 3, 4
ON CONFLICT (experiment_id, policy, arm_no, hour) DO UPDATE SET n = p.n + excluded.n, s = p.s + excluded.s;

-- store_minute --
-- Of what one life of a serving process says of a minute, the newest stands.
INSERT INTO serving_minute AS m
    (experiment_id, policy, minute, process, sequence, calls, errors, over_100ms, over_120ms, sketch, rewards, refused)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (experiment_id, policy, minute, process) DO UPDATE SET
    sequence = excluded.sequence, calls = excluded.calls, errors = excluded.errors,
    over_100ms = excluded.over_100ms, over_120ms = excluded.over_120ms, sketch = excluded.sketch,
    rewards = excluded.rewards, refused = excluded.refused
WHERE m.sequence < excluded.sequence;

-- keep_hours --
-- Keeps hours from being added up while a minute of one that may be added up already comes; see latency.sql.
SELECT pg_advisory_xact_lock_shared(hashtext('serving_hour'));

-- drop_hours --
-- Which are added up anew, then with the minutes that have come late.
DELETE FROM serving_hour WHERE (experiment_id, policy, hour) IN (
    SELECT * FROM unnest($1::integer[], $2::smallint[], $3::integer[])
);

-- lock_heads --
-- Fold step 6, last of all, so that two workers wait for each other as briefly as can be.
SELECT experiment_id FROM fold_head WHERE experiment_id = ANY($1::integer[]) ORDER BY experiment_id FOR UPDATE;

-- advance_heads --
WITH advanced AS (
    UPDATE fold_head SET fold_no = fold_no + 1 WHERE experiment_id = ANY($1::integer[])
    RETURNING experiment_id, fold_no
)
INSERT INTO fold_log (experiment_id, fold_no, batch_no, committed_at, changed)
SELECT a.experiment_id, a.fold_no, $2, $3,
       ARRAY(SELECT DISTINCT cell FROM unnest($4::integer[], $5::integer[]) AS c (experiment_id, cell)
             WHERE c.experiment_id = a.experiment_id)
FROM advanced a
RETURNING experiment_id, fold_no;

-- posterior --
SELECT policy, arm_no, hour, n, s FROM posterior
WHERE experiment_id = $1 AND (n, s) <> (0, 0)
ORDER BY policy, arm_no, hour;

-- verify --
-- The posterior as the ledger has it beside the posterior as it is stored; rows that differ.
WITH stored AS (
    SELECT policy, arm_no, hour, n, s FROM posterior WHERE experiment_id = $1
)
SELECT policy, arm_no, hour, coalesce(l.n, 0) AS ledger_n, coalesce(l.s, 0) AS ledger_s,
       coalesce(p.n, 0) AS stored_n, coalesce(p.s, 0) AS stored_s
FROM due_posterior($1) l FULL JOIN stored p USING (policy, arm_no, hour)
WHERE (coalesce(l.n, 0), coalesce(l.s, 0)) <> (coalesce(p.n, 0), coalesce(p.s, 0))
ORDER BY 1, 2, 3;

-- verify_credits --
SELECT * FROM amiss_credit($1) ORDER BY uid, slot, kind;

-- quarantine --
INSERT INTO quarantine (entry_id, at, problem, payload) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- missing_decisions --
-- Of these acknowledged decisions, how many are not in the ledger whole.
SELECT count(*) FROM unnest($1::uuid[]) AS acknowledged (uid)
WHERE NOT EXISTS (SELECT FROM decision d WHERE d.uid = acknowledged.uid AND NOT d.stub AND NOT d.voided);

-- missing_rewards --
-- Of these decisions whose reward was acknowledged, how many have none in the ledger.
SELECT count(*) FROM unnest($1::uuid[]) AS acknowledged (uid)
WHERE NOT EXISTS (SELECT FROM reward r WHERE r.uid = acknowledged.uid);
