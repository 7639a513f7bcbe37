-- prepare --
-- A plan for any keys would not know how few partitions a page touches.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;

-- page --
-- The next decisions by uid that filled a slot, each column packed into one value (pullarm/storage/postgres/packed.py).
-- Stubs are left out: nothing is known of their draw yet.
-- Offered are packed arm numbers; `*` and the version where all arms were; `#` and their hash where only that is logged.
SELECT count(*), max(config_no) AS newest, (array_agg(uid))[1] AS first, (array_agg(uid))[count(*)] AS last,
       array_send(array_agg(uid)) AS uid, array_send(array_agg(decided_at)) AS decided_at,
       array_send(array_agg(allocation_epoch)) AS allocation_epoch, array_send(array_agg(config_no)) AS config_no,
       array_send(array_agg(pub_no)) AS pub_no, array_send(array_agg(kernel)) AS kernel,
       array_send(array_agg(bucket)) AS bucket, array_send(array_agg(assigned)) AS assigned,
       array_send(array_agg(acting)) AS acting, array_send(array_agg(reason)) AS reason,
       array_send(array_agg(voided)) AS voided, array_send(array_agg(excluded)) AS excluded,
       array_send(array_agg(cardinality(arms))) AS slots, string_agg(array_send(arms), '') AS arms,
       string_agg(array_send(weights), '') AS weights, string_agg(array_send(totals), '') AS totals,
       array_send(array_agg(octet_length(unit))) AS unit_bytes, string_agg(unit, '') AS unit,
       array_send(array_agg(octet_length(request_id))) AS request_id_bytes, string_agg(request_id, '') AS request_id,
       array_send(array_agg(octet_length(attributes))) AS attributes_bytes, string_agg(attributes, '') AS attributes,
       array_send(array_agg(octet_length(offered))) AS offered_bytes, string_agg(offered, '') AS offered
FROM (
    SELECT uid, decided_at, allocation_epoch, config_no, pub_no, kernel, bucket, assigned, acting, reason, voided,
           EXISTS (SELECT FROM exclusion) -- asked once, where the next is asked of every row
           AND EXISTS (SELECT FROM decision_excluded(NULL, experiment_id, decided_at, batch_no)) AS excluded,
           arms, weights, totals, textsend(unit) AS unit, textsend(request_id) AS request_id,
           textsend(attributes::text) AS attributes,
           CASE WHEN candidates_hash IS NOT NULL THEN '#'::bytea || int8send(candidates_hash)
                WHEN all_arms > 0 THEN '*'::bytea || int4send(config_no)
                ELSE candidates END AS offered
    FROM decision
    WHERE experiment_id = $1 AND uid >= $2 AND uid < $3 AND NOT stub AND arms <> '{}'
      AND ($5::smallint IS NULL OR assigned = $5) AND ($6::integer[] IS NULL OR arms && $6)
      AND ($7::integer IS NULL OR cohort = $7) AND ($8::smallint IS NULL OR bucket = $8)
    ORDER BY uid LIMIT $4
) AS page;

-- credits --
-- What the rewards of these decisions came to, packed likewise; which of them count is told in
-- pullarm/domain/credit.py. The span tells the partitions, of each table.
SELECT count(*), array_send(array_agg(uid)) AS uid, array_send(array_agg(slot)) AS slot, array_agg(kind) AS kind,
       array_send(array_agg(value)) AS credit, array_send(array_agg(booked)) AS booked,
       array_send(array_agg(counted)) AS counted,
       array_send(array_agg(coalesce(first_at, '-infinity'))) AS first_at,
       array_send(array_agg(coalesce(last_at, '-infinity'))) AS last_at,
       array_send(array_agg(coalesce(received_at, '-infinity'))) AS received_at
FROM (
    SELECT uid, slot, kind, value, booked, count(*) FILTER (WHERE counts) AS counted,
           min(occurred_at) FILTER (WHERE counts) AS first_at, max(occurred_at) FILTER (WHERE counts) AS last_at,
           max(received_at) FILTER (WHERE counts) AS received_at
    FROM (
        SELECT c.uid, c.slot, c.kind, c.value, c.booked, r.occurred_at, r.received_at,
               NOT bool_or(r.retract) OVER same AND row_number() OVER (same ORDER BY r.reward_uid) = 1 AS counts
        FROM decision d
        JOIN credit c ON c.uid = d.uid AND c.uid BETWEEN $2 AND $3
        LEFT JOIN reward r ON (r.uid, r.slot, r.kind) = (c.uid, c.slot, c.kind) AND r.uid BETWEEN $2 AND $3
            AND r.experiment_id = $1 AND r.status = 1
            AND NOT EXISTS (SELECT FROM reward_excluded(NULL, r.experiment_id, r.source, r.received_at, r.batch_no))
        WHERE d.experiment_id = $1 AND d.uid BETWEEN $2 AND $3
          AND ($4::smallint IS NULL OR d.assigned = $4) AND ($5::integer[] IS NULL OR d.arms && $5)
          AND ($6::integer IS NULL OR d.cohort = $6) AND ($7::smallint IS NULL OR d.bucket = $7)
        WINDOW same AS (PARTITION BY c.uid, c.slot, c.kind, r.reward_id)
    ) AS came
    GROUP BY uid, slot, kind, value, booked
) AS credited;

-- arms --
SELECT arm_no, arm_id, config_no FROM arm WHERE experiment_id = $1 ORDER BY arm_no;

-- statuses --
SELECT config_no, arm_no, status FROM arm_status WHERE experiment_id = $1 ORDER BY config_no;

-- revisions --
SELECT config_no, spec FROM experiment_revision WHERE experiment_id = $1 ORDER BY config_no;
