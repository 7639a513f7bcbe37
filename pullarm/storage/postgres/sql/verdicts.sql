-- owed --
-- Experiments that have started and may come to another verdict, or are to be shipped by the one they came to.
SELECT e.id, e.spec->'decision'->>'time_zone' AS time_zone, run.due_at
FROM experiment e
LEFT JOIN LATERAL (
    SELECT outcome, final FROM verdict v WHERE v.experiment_id = e.experiment_id ORDER BY verdict_no DESC LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT due_at FROM verdict_run r WHERE r.experiment_id = e.experiment_id ORDER BY due_at DESC LIMIT 1
) AS run ON true
WHERE e.started_at IS NOT NULL AND NOT coalesce((e.spec->>'shipped')::boolean, false)
  AND e.state IN ('running', 'rolled_back', 'stopped')
  AND (newest.final IS NOT TRUE AND (newest.outcome = 'rolled_back' AND e.state = 'stopped') IS NOT TRUE
       OR newest.outcome = 'ship' AND (e.spec->'decision'->>'automatic_ship')::boolean
          AND (e.state = 'running' OR e.state = 'stopped' AND e.end_at >= coalesce(  -- as looks.ran_out says of one
              (e.spec->>'end_at')::timestamptz,
              e.started_at + (e.spec->>'duration_days')::double precision * interval '1 day')))
ORDER BY e.experiment_id;

-- ran --
INSERT INTO verdict_run (experiment_id, due_at) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- sums --
-- Over the units of each policy, by allocation epoch, up to and including a day.
SELECT DISTINCT ON (allocation_epoch, policy) allocation_epoch, policy, day, n, m, c, mm, cc, mc, fresh FROM user_sums
WHERE experiment_id = $1 AND allocation_epoch > 0 AND day < $2 ORDER BY allocation_epoch, policy, day DESC;

-- epochs --
-- The buckets of each allocation epoch, and since when it ran.
SELECT DISTINCT ON (allocation_epoch) allocation_epoch, buckets,
       min(at) FILTER (WHERE state IN ('running', 'shipped')) OVER (PARTITION BY allocation_epoch) AS ran_from
FROM experiment_revision WHERE experiment_id = $1 ORDER BY allocation_epoch, config_no DESC;

-- rolled_back --
-- Whether it was stopped while it was rolled back, or for having been so too often.
SELECT EXISTS (
    SELECT FROM experiment_revision r
    WHERE r.experiment_id = $1 AND r.action = 'stop' AND (r.actor = 'guardrails' OR EXISTS (
        SELECT FROM experiment_revision before
        WHERE before.experiment_id = $1 AND before.config_no = r.config_no - 1 AND before.state = 'rolled_back')));

-- past_is_kept --
SELECT started_at - interval '14 days' >= (SELECT kept_from()) FROM experiment WHERE experiment_id = $1;

-- cursor --
SELECT coalesce((SELECT fold_no FROM statistics_head WHERE experiment_id = $1), 0);

-- lock --
-- One verdict of an experiment at a time, until the transaction ends; 26 is this lock's class.
SELECT pg_advisory_xact_lock(26, $1);

-- add --
WITH kept AS (
    INSERT INTO cut (experiment_id, name, fold_no, watermark, process, as_of) VALUES ($1, $2, $3, $4, $5, $6)
)
INSERT INTO verdict (experiment_id, verdict_no, name, at, allocation_epoch, config_no, outcome, final, question, content, details)
SELECT $1, coalesce(max(verdict_no), 0) + 1, $2, $6, $7, $8, $9, $10, $11, $12, $13 FROM verdict WHERE experiment_id = $1;

-- page --
SELECT v.*, c.fold_no, c.watermark FROM verdict v JOIN cut c USING (experiment_id, name)
WHERE v.experiment_id = $1 AND ($2::integer IS NULL OR v.verdict_no < $2) ORDER BY v.verdict_no DESC LIMIT $3;

-- named --
SELECT v.*, c.fold_no, c.watermark FROM verdict v JOIN cut c USING (experiment_id, name)
WHERE v.experiment_id = $1 AND v.name = $2;

-- as_of --
SELECT v.*, c.fold_no, c.watermark FROM verdict v JOIN cut c USING (experiment_id, name)
WHERE v.experiment_id = $1 AND v.at <= $2 ORDER BY v.verdict_no DESC LIMIT 1;
