-- create --
INSERT INTO experiment (id, key, state, config_no, allocation_epoch, guard_epoch, spec, aggregation, exposure,
                        salt, buckets, created_at, updated_at, seats)
VALUES ($1, $2, 'draft', 1, 1, 1, $3, $4, $5, $6, $7, $8, $8, $9)
RETURNING *;

-- skip_numbers --
SELECT setval('experiment_experiment_id_seq', $1::bigint) FROM experiment_experiment_id_seq
WHERE last_value < $1::bigint OR last_value = $1::bigint AND NOT is_called;

-- create_head --
INSERT INTO fold_head (experiment_id, fold_no) VALUES ($1, 0);

-- add_revision --
INSERT INTO experiment_revision
    (experiment_id, config_no, action, actor, at, state, allocation_epoch, guard_epoch, spec, buckets, seats, forced)
SELECT experiment_id, config_no, $2, $3, updated_at, state, allocation_epoch, guard_epoch, spec, buckets, seats, forced
FROM experiment WHERE experiment_id = $1;

-- add_arms --
INSERT INTO arm (experiment_id, config_no, arm_no, arm_id, label, version, payload_hash, status, prior_serves,
                 prior_rewards)
SELECT $1, $2, * FROM unnest($3::integer[], $4::text[], $5::text[], $6::integer[], $7::text[], $8::text[], $9::bigint[],
                             $10::bigint[]);

-- change_arms --
UPDATE arm SET status = became.status, payload_hash = became.payload_hash, label = became.label
FROM unnest($2::integer[], $3::text[], $4::text[], $5::text[]) AS became (arm_no, status, payload_hash, label)
WHERE experiment_id = $1 AND arm.arm_no = became.arm_no;

-- add_statuses --
INSERT INTO arm_status (experiment_id, config_no, arm_no, status)
SELECT $1, $2, * FROM unnest($3::integer[], $4::text[]);

-- by_reference --
-- An id wins over a key that looks like one.
SELECT * FROM experiment WHERE id = $1 OR key = $1 ORDER BY id = $1 DESC LIMIT 1;

-- by_number --
SELECT * FROM experiment WHERE experiment_id = $1;

-- arms --
SELECT arm_no, arm_id, label, version, payload_hash, status, prior_serves, prior_rewards
FROM arm WHERE experiment_id = $1 ORDER BY arm_no;

-- cohorts --
SELECT cohort_no, attribute, value FROM cohort WHERE experiment_id = $1 ORDER BY cohort_no;

-- add_cohort --
INSERT INTO cohort (experiment_id, config_no, cohort_no, attribute, value) VALUES ($1, $2, $3, $4, $5);

-- list --
SELECT * FROM experiment ORDER BY created_at DESC, experiment_id DESC;

-- due --
-- As Experiment.due says of one.
SELECT id, CASE state WHEN 'draft' THEN 'start' ELSE 'stop' END AS action
FROM experiment
WHERE (state = 'draft' AND (spec->>'start_at')::timestamptz <= $1)
   OR (state IN ('running', 'rolled_back') AND NOT coalesce((spec->>'shipped')::boolean, false)
       AND coalesce((spec->>'end_at')::timestamptz,
                    started_at + (spec->>'duration_days')::double precision * interval '1 day') <= $1)
ORDER BY experiment_id;

-- revise --
UPDATE experiment SET
    state = $3, spec = $4, buckets = $5, allocation_epoch = $6, guard_epoch = $7, config_no = config_no + 1,
    updated_at = $8, seats = $9, forced = $10,
    started_at = CASE WHEN $3 = 'running' AND started_at IS NULL THEN $8 ELSE started_at END,
    end_at = CASE WHEN $3 = 'stopped' AND end_at IS NULL THEN $8 WHEN $3 <> 'shipped' THEN end_at END
WHERE experiment_id = $1 AND config_no = $2
RETURNING *;

-- lock --
SELECT * FROM experiment WHERE experiment_id = $1 FOR UPDATE;

-- known_arms --
SELECT arm_id FROM arm WHERE experiment_id = $1 AND arm_id = ANY($2::text[]);

-- count_arms --
SELECT coalesce(max(arm_no), 0) AS last, count(*) FILTER (WHERE status <> 'retired') AS live
FROM arm WHERE experiment_id = $1;

-- touch --
UPDATE experiment SET config_no = config_no + 1, updated_at = $2 WHERE experiment_id = $1
RETURNING *;
