-- create --
INSERT INTO experiment (id, key, state, config_no, allocation_epoch, guard_epoch, spec, aggregation, exposure,
                        salt, buckets, created_at, updated_at)
VALUES ($1, $2, 'draft', 1, 1, 1, $3, $4, $5, $6, $7, $8, $8)
RETURNING *;

-- create_head --
INSERT INTO fold_head (experiment_id, fold_no) VALUES ($1, 0);

-- add_revision --
INSERT INTO experiment_revision
    (experiment_id, config_no, action, actor, at, state, allocation_epoch, guard_epoch, spec, buckets)
SELECT experiment_id, config_no, $2, $3, updated_at, state, allocation_epoch, guard_epoch, spec, buckets
FROM experiment WHERE experiment_id = $1;

-- add_arms --
INSERT INTO arm (experiment_id, arm_no, arm_id, label, config_no)
SELECT $1, * FROM unnest($2::integer[], $3::text[], $4::text[], $5::integer[]);

-- by_reference --
-- An id wins over a key that looks like one.
SELECT * FROM experiment WHERE id = $1 OR key = $1 ORDER BY id = $1 DESC LIMIT 1;

-- by_number --
SELECT * FROM experiment WHERE experiment_id = $1;

-- arms --
SELECT arm_no, arm_id, label FROM arm WHERE experiment_id = $1 ORDER BY arm_no;

-- list --
SELECT * FROM experiment ORDER BY created_at DESC, experiment_id DESC;

-- revise --
UPDATE experiment SET
    state = $3, spec = $4, buckets = $5, allocation_epoch = $6, guard_epoch = $7, config_no = config_no + 1,
    updated_at = $8,
    started_at = CASE WHEN $3 = 'running' AND started_at IS NULL THEN $8 ELSE started_at END,
    end_at = CASE WHEN $3 = 'stopped' AND end_at IS NULL THEN $8 ELSE end_at END
WHERE experiment_id = $1 AND config_no = $2
RETURNING *;

-- lock --
SELECT * FROM experiment WHERE experiment_id = $1 FOR UPDATE;

-- known_arms --
SELECT arm_id FROM arm WHERE experiment_id = $1 AND arm_id = ANY($2::text[]);

-- last_arm --
SELECT coalesce(max(arm_no), 0) FROM arm WHERE experiment_id = $1;

-- touch --
UPDATE experiment SET config_no = config_no + 1, updated_at = $2 WHERE experiment_id = $1 RETURNING config_no;
