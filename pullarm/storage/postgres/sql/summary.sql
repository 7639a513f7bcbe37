-- per_policy --
-- Sums over the units of each policy, of one epoch or (0) all of them, up to and including a day.
SELECT policy, n, m, r, c, mm, cc, mc, moved FROM (
    SELECT DISTINCT ON (policy) * FROM user_sums
    WHERE experiment_id = $1 AND allocation_epoch = $2 AND ($3::integer IS NULL OR day <= $3::integer)
    ORDER BY policy, day DESC
) AS newest WHERE m > 0 OR moved > 0 ORDER BY policy;

-- first_exposures --
-- Units by the epoch and the policy that they were first shown, beside the buckets of that epoch.
SELECT s.allocation_epoch, s.policy, s.fresh, r.buckets FROM (
    SELECT DISTINCT ON (allocation_epoch, policy) allocation_epoch, policy, fresh FROM user_sums
    WHERE experiment_id = $1 AND allocation_epoch > 0
    ORDER BY allocation_epoch, policy, day DESC
) AS s
LEFT JOIN LATERAL (
    SELECT buckets FROM experiment_revision v
    WHERE v.experiment_id = $1 AND v.allocation_epoch = s.allocation_epoch ORDER BY config_no DESC LIMIT 1
) AS r ON true
WHERE s.fresh > 0 ORDER BY s.allocation_epoch, s.policy;

-- tallies --
SELECT name, item, n FROM tally WHERE experiment_id = $1 AND n <> 0 ORDER BY name, item;

-- refused_rewards --
-- Of this experiment, and of those (0) whose decision id tells none.
SELECT experiment_id, status::smallint AS status, sum(told::bigint)::bigint AS rewards
FROM serving_minute, jsonb_each_text(refused) AS counted (status, told)
WHERE experiment_id IN (0, $1) AND refused <> '{}'
GROUP BY 1, 2 ORDER BY 1, 2;

-- cut --
-- What the statistics hold, and how far the fold and the publication are.
SELECT f.fold_no AS head, coalesce(s.fold_no, 0) AS fold_no, s.first_at, s.last_at, p.pub_no,
       (SELECT committed_at FROM fold_log l WHERE l.experiment_id = $1 AND l.fold_no > coalesce(s.fold_no, 0)
        ORDER BY l.fold_no LIMIT 1) AS behind_since
FROM fold_head f
LEFT JOIN statistics_head s USING (experiment_id)
LEFT JOIN LATERAL (
    SELECT pub_no FROM publication WHERE experiment_id = $1 ORDER BY pub_no DESC LIMIT 1
) p ON true
WHERE f.experiment_id = $1;
