-- create --
INSERT INTO experiment_group (name, salt, holdout, created_at) VALUES ($1, $2, $3, $4);

-- all --
SELECT * FROM experiment_group ORDER BY name;

-- lock --
-- Ahead of any experiment: who makes room for one, or holds users out, waits for the others.
SELECT * FROM experiment_group WHERE name = $1 FOR UPDATE;

-- share --
-- Nobody holds users out of all experiments meanwhile. Behind the lock of a group.
SELECT * FROM experiment_group WHERE name = 'all' FOR SHARE;

-- others --
-- The experiments that have a place in a group, but for one and for those whose places are free.
SELECT id, seats FROM experiment
WHERE seats @> jsonb_build_array(jsonb_build_object('group', $1::text))
  AND experiment_id IS DISTINCT FROM $2::integer AND state <> ALL($3::text[])
ORDER BY experiment_id;

-- hold_out --
UPDATE experiment_group SET holdout = $2 WHERE name = $1 RETURNING *;

-- members --
SELECT experiment_id FROM experiment
WHERE ($1 = 'all' OR seats @> jsonb_build_array(jsonb_build_object('group', $1::text))) AND state <> ALL($2::text[])
ORDER BY experiment_id FOR UPDATE;

-- reseat --
UPDATE experiment SET seats = $2, config_no = config_no + 1, updated_at = $3 WHERE experiment_id = $1;
