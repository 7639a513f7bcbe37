-- days --
-- Days that have partitions, oldest first, with what they take on the disk.
SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day,
       sum(pg_total_relation_size(to_regclass(parent || right(c.relname, 9))))::bigint AS bytes
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid, unnest(ARRAY['decision', 'reward', 'credit']) AS parent
WHERE i.inhparent = 'decision'::regclass
GROUP BY 1 ORDER BY 1;

-- longest_window --
-- The experiment with the longest attribution window of any version.
SELECT e.id, e.key, (r.spec -> 'reward' ->> 'window_hours')::float AS hours
FROM experiment_revision r JOIN experiment e USING (experiment_id)
WHERE r.spec -> 'reward' ? 'window_hours'
ORDER BY hours DESC LIMIT 1;

-- seal --
SELECT seal_day($1, $2);

-- prepare --
-- A plan for any keys would not know how few partitions it touches.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;

-- brought --
-- What the rows with these uids brought to the posterior; as due_posterior has it.
WITH serves AS (
    SELECT d.experiment_id, acting AS policy, arm_no, hour_of(decided_at) AS hour, count(*) AS n, 0 AS s
    FROM decision d
    CROSS JOIN LATERAL taken_back(NULL, d.experiment_id, d.decided_at, d.batch_no, d.voided, d.voided_batch) AS back
    CROSS JOIN LATERAL unnest(d.arms[1:d.learn_slots]) AS arm_no
    WHERE d.uid >= $1 AND d.uid < $2 AND d.acting > 0 AND NOT back.it
      AND NOT EXISTS (SELECT FROM experiment e WHERE e.experiment_id = d.experiment_id AND exposure = 'confirmed')
    GROUP BY 1, 2, 3, 4
), credits AS (
    SELECT experiment_id, policy, arm_no, hour, sum(serves) AS n, sum(booked) AS s FROM due_credit
    WHERE uid >= $1 AND uid < $2 AND decision_uid >= $1 AND decision_uid < $2 AND (booked, serves) <> (0, 0)
    GROUP BY 1, 2, 3, 4
)
SELECT experiment_id, policy, arm_no, hour, sum(n)::bigint AS n, sum(s)::bigint AS s
FROM (SELECT * FROM serves UNION ALL SELECT * FROM credits) AS both_of_them
GROUP BY 1, 2, 3, 4;

-- tallies --
-- What the rows with these uids brought to the tallies; as the statistics have it.
WITH state AS (
    SELECT d.experiment_id, d.assigned, d.reason, d.unlisted, d.withheld, NOT d.stub AS whole, back.it AS voided
    FROM decision d
    CROSS JOIN LATERAL taken_back(NULL, d.experiment_id, d.decided_at, d.batch_no, d.voided, d.voided_batch) AS back
    WHERE d.uid >= $1 AND d.uid < $2
), called AS (
    SELECT experiment_id, status, uid, slot, kind, reward_id, retract FROM reward WHERE uid >= $1 AND uid < $2
)
SELECT experiment_id, name, item, n FROM (
    SELECT experiment_id, 'decisions' AS name, 0 AS item, count(*) AS n FROM state WHERE whole GROUP BY 1
    UNION ALL
    SELECT experiment_id, 'unlisted', 0, sum(unlisted) FROM state WHERE whole GROUP BY 1
    UNION ALL
    SELECT experiment_id, 'withheld', 0, sum(withheld) FROM state WHERE whole GROUP BY 1
    UNION ALL
    SELECT experiment_id, 'reason', reason, count(*) FROM state WHERE NOT voided GROUP BY 1, reason
    UNION ALL
    SELECT experiment_id, 'voided', assigned, count(*) FROM state WHERE voided GROUP BY 1, assigned
    UNION ALL
    SELECT experiment_id, 'calls', status, count(*) FROM called GROUP BY 1, status
    UNION ALL
    SELECT experiment_id, 'distinct', status, count(*) FROM (SELECT DISTINCT * FROM called) AS once GROUP BY 1, status
) AS found WHERE n <> 0;

-- open_tallies --
INSERT INTO opening_tally AS t
SELECT experiment_id, name, item, sum(n) FROM unnest($1::integer[], $2::text[], $3::integer[], $4::bigint[])
    AS brought (experiment_id, name, item, n)
GROUP BY experiment_id, name, item
ON CONFLICT (experiment_id, name, item) DO UPDATE SET n = t.n + excluded.n;

-- heads --
SELECT experiment_id, fold_no FROM fold_head ORDER BY experiment_id;

-- last_folds --
-- By experiment, the last fold that the rows with these uids had to do with, as far as a posterior is concerned.
SELECT b.experiment_id, max(l.fold_no) AS fold_no
FROM (
    SELECT experiment_id, batch_no FROM decision WHERE uid >= $1 AND uid < $2 AND acting > 0
    UNION
    SELECT experiment_id, voided_batch FROM decision
    WHERE uid >= $1 AND uid < $2 AND acting > 0 AND voided_batch IS NOT NULL
    UNION
    SELECT experiment_id, batch_no FROM reward WHERE uid >= $1 AND uid < $2 AND status = 1
) AS b JOIN fold_log l USING (experiment_id, batch_no)
GROUP BY 1;

-- no_rebuilds --
-- Whether no rebuild is under way, nor will be before this transaction ends; 31 is the class of their lock.
SELECT coalesce(bool_and(pg_try_advisory_xact_lock(31, experiment_id)), true) FROM experiment;

-- disproved --
-- Cells of these hours, hour by hour, in which the posterior is not what the rows brought.
SELECT count(*) FROM (SELECT * FROM opening WHERE hour >= $1 AND hour < $2) o
FULL JOIN (SELECT * FROM posterior WHERE hour >= $1 AND hour < $2) p USING (experiment_id, policy, arm_no, hour)
WHERE (coalesce(o.n, 0), coalesce(o.s, 0)) <> (coalesce(p.n, 0), coalesce(p.s, 0));

-- horizon --
INSERT INTO past_horizon AS h (experiment_id, fold_no) SELECT * FROM unnest($1::integer[], $2::bigint[])
ON CONFLICT (experiment_id) DO UPDATE SET fold_no = greatest(h.fold_no, excluded.fold_no);

-- removed --
UPDATE sealed_day SET removed_at = $2, archived = $3 WHERE day = $1;

-- remove --
SELECT remove_day($1, $2);

-- horizons --
SELECT experiment_id, fold_no FROM past_horizon ORDER BY experiment_id;

-- prune_folds --
-- Folds before the horizon that brought no row that is left; and that are published, so that nothing has to be told of
-- them. Rebuilds stay: the next one is numbered after them.
DELETE FROM fold_log WHERE (experiment_id, fold_no) IN (
    SELECT experiment_id, fold_no FROM fold_log
    WHERE experiment_id = $1 AND fold_no <= $2 AND rebuild_no IS NULL
      AND fold_no <= (SELECT max(fold_no) FROM publication WHERE experiment_id = $1)
      AND batch_no < coalesce(least(
          (SELECT min(batch_no) FROM decision WHERE experiment_id = $1),
          (SELECT min(completed_batch) FROM decision WHERE experiment_id = $1 AND completed_batch IS NOT NULL),
          (SELECT min(voided_batch) FROM decision WHERE experiment_id = $1 AND voided_batch IS NOT NULL),
          (SELECT min(batch_no) FROM reward WHERE experiment_id = $1)
      ), 9223372036854775807)
    LIMIT $3
);

-- prune_publications --
-- Publications whose posterior cannot be worked out any more. The newest stays: the next is numbered after it.
DELETE FROM publication WHERE (experiment_id, pub_no) IN (
    SELECT experiment_id, pub_no FROM publication
    WHERE experiment_id = $1 AND fold_no < $2
      AND pub_no < (SELECT max(pub_no) FROM publication WHERE experiment_id = $1)
    LIMIT $3
);

-- prune_grids --
DELETE FROM grid WHERE experiment_id = $1
  AND grid_no < (SELECT min(grid_no) FROM publication WHERE experiment_id = $1 AND grid_no > 0);

-- prune_weightings --
-- Together with their checkpoints; the newest publication stays, and its weights with it.
WITH needed AS (
    SELECT min(weighting_no) AS first FROM publication WHERE experiment_id = $1 AND weighting_no > 0
), checkpoints AS (
    DELETE FROM weighted_checkpoint WHERE experiment_id = $1 AND weighting_no < (SELECT first FROM needed)
)
DELETE FROM weighting WHERE experiment_id = $1 AND weighting_no < (SELECT first FROM needed);

-- prune_checkpoints --
DELETE FROM checkpoint WHERE experiment_id = $1 AND fold_no < $2;

-- prune_minutes --
-- Those with refused rewards are few, and stay: a summary counts them over all of an experiment's life.
DELETE FROM serving_minute WHERE (experiment_id, policy, minute, process) IN (
    SELECT experiment_id, policy, minute, process FROM serving_minute WHERE minute < $1 AND refused = '{}' LIMIT $2
);

-- prune_quarantine --
DELETE FROM quarantine WHERE entry_id IN (SELECT entry_id FROM quarantine WHERE at < $1 LIMIT $2);
