-- prepare --
-- A plan for any keys would not know how few partitions a page touches.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;

-- page --
-- The newest decisions in [$2, $3) that fit, of the next $4 of all experiments: what a page costs has a bound, however
-- rare it is what is looked for. Stubs are left out: nothing is known of their draw yet.
SELECT uid, decided_at, allocation_epoch, config_no, pub_no, unit, bucket, cohort, assigned, acting, reason, attributes,
       request_id, voided, arms, weights, totals
FROM (SELECT * FROM decision WHERE uid >= $2 AND uid < $3 ORDER BY uid DESC LIMIT $4) AS next
WHERE experiment_id = $1 AND NOT stub
  AND ($5::smallint IS NULL OR assigned = $5) AND ($6::integer[] IS NULL OR arms && $6)
  AND ($7::integer IS NULL OR cohort = $7) AND ($8::smallint IS NULL OR bucket = $8)
ORDER BY uid DESC LIMIT $9;

-- last_scanned --
-- The last of those, where there are so many.
SELECT uid FROM decision WHERE uid >= $1 AND uid < $2 ORDER BY uid DESC OFFSET $3 - 1 LIMIT 1;

-- credits --
SELECT uid, slot, kind, value FROM credit WHERE uid = ANY($1::uuid[]) ORDER BY uid, slot, kind;
