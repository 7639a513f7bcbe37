-- lock --
-- The statistics of users stand still meanwhile, so that they and the decisions change together; class 21 is theirs.
SELECT pg_advisory_xact_lock(21, $1);

-- days --
-- Days that have partitions, oldest first.
SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'decision'::regclass ORDER BY 1;

-- find --
-- By name as well: a stub that was erased gets its name back when the decision comes. And who was erased before, because
-- rewards may have come since.
SELECT uid, unit_hash = $2 OR unit IS NOT DISTINCT FROM $3 AS theirs FROM decision
WHERE uid >= uid_floor($4::date::timestamp AT TIME ZONE 'UTC')
  AND uid < uid_floor(($4::date + 1)::timestamp AT TIME ZONE 'UTC')
  AND experiment_id = $1
  AND (unit_hash = $2 OR unit = $3 OR unit_hash IN (SELECT unit_hash FROM erased_unit WHERE experiment_id = $1));

-- decisions --
-- In order of uid, as folds lock them. What was erased before keeps the hash that the statistics of users have it under.
WITH locked AS (SELECT uid FROM decision WHERE uid = ANY($1::uuid[]) ORDER BY uid FOR UPDATE)
UPDATE decision d SET
    unit_hash = CASE WHEN unit_hash = $6 THEN $2 ELSE unit_hash END,
    unit = CASE WHEN stub THEN NULL ELSE $3 END,
    bucket = CASE WHEN stub THEN NULL ELSE $4::smallint END,
    attributes = CASE WHEN stub THEN NULL ELSE '{}'::jsonb END,
    request_id = hashed_id($5, request_id)
FROM locked WHERE d.uid = locked.uid;

-- rewards --
UPDATE reward SET reward_id = hashed_id($2, reward_id)
WHERE uid = ANY($1::uuid[]) AND reward_id <> hashed_id($2, reward_id);

-- users --
WITH days AS (UPDATE user_day SET unit_hash = $3 WHERE experiment_id = $1 AND unit_hash = $2)
UPDATE guard_user SET unit_hash = $3 WHERE experiment_id = $1 AND unit_hash = $2;

-- force --
UPDATE experiment_revision SET forced = (
    SELECT jsonb_agg(CASE WHEN user_ ->> 'user_id' = $2 THEN user_ || jsonb_build_object('user_id', $3::text) ELSE user_ END
                     ORDER BY place)
    FROM jsonb_array_elements(forced) WITH ORDINALITY AS listed (user_, place)
)
WHERE experiment_id = $1 AND forced @> jsonb_build_array(jsonb_build_object('user_id', $2::text));

-- free --
UPDATE experiment SET config_no = config_no + 1, updated_at = $3, forced = (
    SELECT coalesce(jsonb_agg(user_ ORDER BY place), '[]')
    FROM jsonb_array_elements(forced) WITH ORDINALITY AS listed (user_, place) WHERE user_ ->> 'user_id' <> $2
)
WHERE experiment_id = $1 AND forced @> jsonb_build_array(jsonb_build_object('user_id', $2::text));

-- note --
INSERT INTO erased_unit (experiment_id, unit_hash, erased_at) VALUES ($1, $2, $3);
