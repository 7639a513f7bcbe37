-- prepare --
-- A plan for any keys would not know how few partitions a page touches.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;

-- experiments --
-- Those with rows between these uids. A minimum is found in an index; EXISTS would scan the day for each experiment that
-- has none of it.
SELECT experiment_id FROM experiment e
WHERE (SELECT min(d.batch_no) FROM decision d WHERE d.experiment_id = e.experiment_id AND d.uid >= $1 AND d.uid < $2) IS NOT NULL
   OR (SELECT min(r.batch_no) FROM reward r WHERE r.experiment_id = e.experiment_id AND r.uid >= $1 AND r.uid < $2) IS NOT NULL
ORDER BY experiment_id;

-- rewards --
-- The next calls by (uid, reward_uid) after these, with what of the decision a call is to be understood by.
SELECT r.uid, r.reward_uid, r.occurred_at, r.received_at, r.slot, r.kind, r.reward_id, r.source, r.value, r.credit,
       r.feeds, r.retract, r.status, d.assigned, d.acting, d.arms[r.slot] AS arm_no, d.unit, d.unit_hash,
       EXISTS (SELECT FROM reward_excluded(NULL, r.experiment_id, r.source, r.received_at, r.batch_no)) AS excluded
FROM reward r LEFT JOIN decision d ON d.uid = r.uid AND d.uid >= $2 AND d.uid < $4
WHERE r.experiment_id = $1 AND r.uid >= $2 AND r.uid < $4 AND (r.uid, r.reward_uid) > ($2, $3)
ORDER BY r.uid, r.reward_uid LIMIT $5;

-- arms --
SELECT arm_no, arm_id FROM arm WHERE experiment_id = $1;

-- decisions_sums --
-- What a file of these slots, and of their credits of these kinds, has to add up to; as replay/archive.py adds it up.
SELECT count(*) FILTER (WHERE slot) AS rows,
       (coalesce(sum(('x' || left(md5(line), 15))::bit(60)::bigint), 0) % 1152921504606846976)::bigint AS checksum
FROM (
    SELECT true AS slot, concat_ws(':', encode(uuid_send(d.uid), 'hex'), s.slot, s.arm_no, s.weight, s.total,
                                   d.allocation_epoch, d.config_no, d.pub_no) AS line
    FROM decision d
    CROSS JOIN LATERAL unnest(d.arms, d.weights, d.totals) WITH ORDINALITY AS s (arm_no, weight, total, slot)
    WHERE d.experiment_id = $1 AND d.uid >= $2 AND d.uid < $3 AND NOT d.stub AND d.arms <> '{}'
    UNION ALL
    SELECT false, concat_ws(':', encode(uuid_send(c.uid), 'hex'), c.slot, c.kind, c.value, c.booked)
    FROM decision d JOIN credit c ON c.uid = d.uid AND c.uid >= $2 AND c.uid < $3
    WHERE d.experiment_id = $1 AND d.uid >= $2 AND d.uid < $3 AND NOT d.stub
      AND c.slot BETWEEN 1 AND cardinality(d.arms) AND c.kind = ANY($4::text[])
) AS lines;

-- rewards_sums --
SELECT count(*) AS rows,
       (coalesce(sum(('x' || left(md5(line), 15))::bit(60)::bigint), 0) % 1152921504606846976)::bigint AS checksum
FROM (
    SELECT concat_ws(':', encode(uuid_send(uid), 'hex'), encode(uuid_send(reward_uid), 'hex'), slot, kind, credit,
                     status, retract::integer, (extract(epoch FROM occurred_at) * 1000000)::bigint,
                     (extract(epoch FROM received_at) * 1000000)::bigint) AS line
    FROM reward WHERE experiment_id = $1 AND uid >= $2 AND uid < $3
) AS lines;

-- rebuilds --
-- Changes with every rebuild: what is left out by one, and whether, is written down with the rows.
SELECT coalesce(sum(fold_no), 0)::bigint FROM fold_log WHERE rebuild_no IS NOT NULL;

-- keep --
INSERT INTO archived (experiment_id, day, kind, rows, checksum, archived_at)
SELECT *, $6 FROM unnest($1::integer[], $2::date[], $3::text[], $4::bigint[], $5::bigint[])
ON CONFLICT (experiment_id, day, kind) DO UPDATE
SET rows = excluded.rows, checksum = excluded.checksum, archived_at = excluded.archived_at;

-- files --
-- Of an experiment or of all, oldest first, from one day on and before another.
SELECT a.experiment_id, e.id, a.day, a.kind, a.rows, a.checksum FROM archived a JOIN experiment e USING (experiment_id)
WHERE ($1::integer IS NULL OR a.experiment_id = $1) AND ($2::date IS NULL OR a.day >= $2) AND ($3::date IS NULL OR a.day < $3)
ORDER BY a.day, a.experiment_id, a.kind;

-- reach --
-- The last removed day, the last one that was removed without being archived, and whether the last one was archived.
SELECT max(day) AS removed, max(day) FILTER (WHERE NOT archived) AS lost,
       coalesce((array_agg(archived ORDER BY day DESC))[1], false) AS archiving
FROM sealed_day WHERE removed_at IS NOT NULL;

-- forget --
DELETE FROM archived WHERE (experiment_id, day, kind) = ($1, $2::date, $3);

-- erase --
-- Where there are files of the experiment. Who was erased before and is not rewritten yet keeps the first stand-in.
INSERT INTO archive_erasure (experiment_id, unit_hash, unit, instead_hash, bucket, noted_at)
SELECT $1, $2, $3, $4, $5::smallint, $6 WHERE EXISTS (SELECT FROM archived WHERE experiment_id = $1)
ON CONFLICT (experiment_id, unit_hash) DO NOTHING;

-- days --
SELECT count(DISTINCT day) FROM archived WHERE experiment_id = $1;

-- erasures --
SELECT experiment_id, salt, a.unit_hash, a.unit, a.instead_hash, a.bucket
FROM archive_erasure a JOIN experiment e USING (experiment_id) ORDER BY a.noted_at;

-- erased --
DELETE FROM archive_erasure WHERE (experiment_id, unit_hash) = ($1, $2);
