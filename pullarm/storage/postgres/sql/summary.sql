-- per_policy --
-- Assigned decisions by policy; what was answered without a policy is told apart by its reason. Of the tries of one
-- request only the last counts; where exposure is to be confirmed ($3), of those that were.
WITH shown AS (
    SELECT uid, assigned, unit_hash, coalesce(request_id, '') AS request_id FROM decision d
    CROSS JOIN LATERAL taken_back(NULL, experiment_id, decided_at, batch_no, voided, voided_batch) AS back
    WHERE experiment_id = $1 AND reason = 1 AND assigned > 0 AND NOT back.it
      AND (NOT $3::boolean OR EXISTS (SELECT FROM credit c WHERE c.uid = d.uid AND c.slot = 1 AND c.serves > 0))
), decided AS (
    SELECT uid, assigned, unit_hash FROM shown WHERE request_id = ''
    UNION ALL
    (SELECT DISTINCT ON (unit_hash, request_id) uid, assigned, unit_hash FROM shown WHERE request_id <> ''
     ORDER BY unit_hash, request_id, uid DESC)
), credited AS (
    SELECT c.uid, max(c.value) AS value FROM credit c
    JOIN decided USING (uid)
    WHERE c.slot = 1 AND c.kind = $2
    GROUP BY c.uid
)
SELECT d.assigned AS policy, count(DISTINCT d.unit_hash) AS users, count(*) AS serves,
       count(*) FILTER (WHERE c.value > 0) AS rewards, coalesce(sum(c.value), 0)::bigint AS credit,
       coalesce(sum(c.value::numeric * c.value), 0) AS credit_squared
FROM decided d LEFT JOIN credited c USING (uid)
GROUP BY d.assigned ORDER BY d.assigned;

-- totals --
SELECT count(*) FILTER (WHERE NOT stub) AS decisions,
       coalesce(sum(unlisted), 0) AS unlisted_candidates, coalesce(sum(withheld), 0) AS withheld_candidates,
       min(decided_at) AS first_at, max(decided_at) AS last_at
FROM decision WHERE experiment_id = $1;

-- voided --
-- And those that an exclusion takes: neither are counted above.
SELECT assigned AS policy, count(*) AS decisions FROM decision
CROSS JOIN LATERAL taken_back(NULL, experiment_id, decided_at, batch_no, voided, voided_batch) AS back
WHERE experiment_id = $1 AND back.it GROUP BY assigned ORDER BY assigned;

-- reasons --
SELECT reason, count(*) AS decisions FROM decision
CROSS JOIN LATERAL taken_back(NULL, experiment_id, decided_at, batch_no, voided, voided_batch) AS back
WHERE experiment_id = $1 AND NOT back.it GROUP BY reason ORDER BY reason;

-- reward_statuses --
SELECT status, count(*) AS rewards, count(DISTINCT (uid, slot, kind, reward_id, retract)) AS distinct_rewards
FROM reward WHERE experiment_id = $1 GROUP BY status ORDER BY status;

-- refused_rewards --
-- Of this experiment, and of those (0) whose decision id tells none.
SELECT experiment_id, status::smallint AS status, sum(told::bigint)::bigint AS rewards
FROM serving_minute, jsonb_each_text(refused) AS counted (status, told)
WHERE experiment_id IN (0, $1) AND refused <> '{}'
GROUP BY 1, 2 ORDER BY 1, 2;

-- fold --
SELECT f.fold_no, p.pub_no, p.as_of FROM fold_head f
LEFT JOIN LATERAL (
    SELECT pub_no, as_of FROM publication WHERE experiment_id = $1 ORDER BY pub_no DESC LIMIT 1
) p ON true
WHERE f.experiment_id = $1;
