-- prepare --
-- A plan for any keys would not know how few partitions a page touches.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;

-- page --
-- The next decisions by uid that filled a slot, for COPY. Stubs are left out: nothing is known of their draw yet.
-- Offered are packed arm numbers; `*` and the version where all arms were; `#` and their hash where only that is logged.
SELECT encode(uuid_send(uid), 'hex') AS decision_uid, decided_at, allocation_epoch, config_no, pub_no, kernel, unit,
       bucket, assigned, acting, reason, arms, weights, totals,
       CASE WHEN candidates_hash IS NOT NULL THEN '#' || lpad(to_hex(candidates_hash), 16, '0')
            WHEN all_arms > 0 THEN '*' || config_no
            ELSE encode(candidates, 'hex') END AS offered,
       attributes, request_id, voided,
       EXISTS (SELECT FROM decision_excluded(NULL, experiment_id, decided_at, batch_no)) AS excluded
FROM decision
WHERE experiment_id = $1 AND uid >= $2 AND uid < $3 AND NOT stub AND arms <> '{}'
  AND ($5::smallint IS NULL OR assigned = $5) AND ($6::integer[] IS NULL OR arms && $6)
  AND ($7::integer IS NULL OR cohort = $7) AND ($8::smallint IS NULL OR bucket = $8)
ORDER BY uid LIMIT $4;

-- credits --
-- What the rewards of these decisions came to; which of them count is told in pullarm/domain/credit.py. Joined and not
-- looked up by ANY, which takes longer to plan than to answer; the span tells the partitions.
SELECT c.uid, c.slot, c.kind, c.value / 1e6::float8 AS credit, c.booked / 1e6::float8 AS booked,
       count(r.uid) AS count, min(r.occurred_at) AS first_at, max(r.occurred_at) AS last_at,
       max(r.received_at) AS received_at
FROM unnest($1::uuid[]) AS page (uid)
JOIN credit c ON c.uid = page.uid AND c.uid BETWEEN $3::uuid AND $4::uuid
LEFT JOIN (
    SELECT uid, slot, kind, occurred_at, received_at,
           NOT bool_or(retract) OVER same AND row_number() OVER (same ORDER BY reward_uid) = 1 AS counts
    FROM unnest($1::uuid[]) AS page (uid) JOIN reward USING (uid)
    WHERE uid BETWEEN $3::uuid AND $4::uuid AND experiment_id = $2 AND status = 1
      AND NOT EXISTS (SELECT FROM reward_excluded(NULL, experiment_id, source, received_at, batch_no))
    WINDOW same AS (PARTITION BY uid, slot, kind, reward_id)
) AS r ON r.counts AND (r.uid, r.slot, r.kind) = (c.uid, c.slot, c.kind)
GROUP BY c.uid, c.slot, c.kind;

-- arms --
SELECT arm_no, arm_id, config_no FROM arm WHERE experiment_id = $1 ORDER BY arm_no;

-- statuses --
SELECT config_no, arm_no, status FROM arm_status WHERE experiment_id = $1 ORDER BY config_no;

-- revisions --
SELECT config_no, spec FROM experiment_revision WHERE experiment_id = $1 ORDER BY config_no;
