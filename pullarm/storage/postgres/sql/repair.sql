-- prepare --
SET LOCAL jit = off;
CREATE TEMPORARY TABLE IF NOT EXISTS rebuilt_cell (
    policy smallint, arm_no integer, hour integer, n bigint, s bigint, was_n bigint, was_s bigint
) ON COMMIT DELETE ROWS;
-- Without a value, a credit that is to go.
CREATE TEMPORARY TABLE IF NOT EXISTS rebuilt_credit (
    uid uuid, slot smallint, kind text, value integer, booked integer, serves smallint
) ON COMMIT DELETE ROWS;

-- alone --
-- One rebuild of an experiment at a time; 31 is this lock's class.
SELECT pg_try_advisory_xact_lock(31, $1);

-- numbers --
SELECT fold_no, (SELECT coalesce(max(rebuild_no), 0) + 1 FROM fold_log WHERE experiment_id = $1) AS rebuild_no
FROM fold_head WHERE experiment_id = $1;

-- last_fold_before --
SELECT coalesce(max(fold_no), 0) FROM fold_log WHERE experiment_id = $1 AND committed_at < $2;

-- exclude --
-- Until the rebuild knows its fold, its exclusion reads as if it had always held. Nobody else sees it.
INSERT INTO exclusion (experiment_id, exclusion_no, source, from_at, to_at, after_fold, upto_fold, since_fold)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0);

-- lifted --
SELECT lifted_fold FROM exclusion WHERE experiment_id = $1 AND exclusion_no = $2;

-- lift --
-- Likewise: until the rebuild knows its fold, as if the exclusion had never held.
UPDATE exclusion SET lifted_fold = 0 WHERE experiment_id = $1 AND exclusion_no = $2;

-- stage --
-- In one look: the posterior that the ledger makes beside the one that is stored, and as of which fold.
WITH stored AS (
    SELECT policy, arm_no, hour, n, s FROM posterior WHERE experiment_id = $1
), staged AS (
    INSERT INTO rebuilt_cell
    SELECT policy, arm_no, hour, coalesce(l.n, 0), coalesce(l.s, 0), coalesce(p.n, 0), coalesce(p.s, 0)
    FROM due_posterior($1) l FULL JOIN stored p USING (policy, arm_no, hour)
)
SELECT fold_no FROM fold_head WHERE experiment_id = $1;

-- stage_credits --
INSERT INTO rebuilt_credit
SELECT uid, slot, kind, due_value, due_booked, due_serves FROM amiss_credit($1);

-- difference --
-- Also under weights of hours: see weighted_posterior in migration 0005.
SELECT policy, arm_no, sum(was_n)::bigint AS was_n, sum(was_s)::bigint AS was_s, sum(n)::bigint AS n, sum(s)::bigint AS s,
       sum(was_s::numeric * settled) AS was_settled, sum((was_n::numeric * 1000000 - was_s) * pending) AS was_pending,
       sum(s::numeric * settled) AS settled, sum((n::numeric * 1000000 - s) * pending) AS pending
FROM rebuilt_cell
CROSS JOIN LATERAL (SELECT width_bucket(hour, $1::integer[]) AS place) AS i
CROSS JOIN LATERAL (
    SELECT CASE WHEN policy = $5 THEN ($2::integer[])[place] ELSE ($3::integer[])[place] END AS settled,
           CASE WHEN policy = $5 THEN ($2::integer[])[place] ELSE ($4::integer[])[place] END AS pending
) AS counted
GROUP BY policy, arm_no;

-- hold --
-- Waits for the publisher, because it keeps checkpoints too, and then for the folds that are under way; what comes
-- meanwhile waits for the rebuild.
SELECT pg_advisory_xact_lock(20, $1), pg_advisory_xact_lock(30, $1);

-- touched --
-- Decisions whose rewards or voiding came after a fold.
WITH batches AS MATERIALIZED (
    SELECT batch_no FROM fold_log WHERE experiment_id = $1 AND fold_no > $2
)
SELECT uid FROM reward WHERE experiment_id = $1 AND batch_no = ANY(ARRAY(SELECT batch_no FROM batches))
UNION
SELECT uid FROM decision WHERE experiment_id = $1 AND voided_batch = ANY(ARRAY(SELECT batch_no FROM batches));

-- forget_credits --
DELETE FROM rebuilt_credit WHERE uid = ANY($1::uuid[]);

-- restage_credits --
INSERT INTO rebuilt_credit
SELECT uid, slot, kind, due.value, due.booked, due.serves
FROM (SELECT * FROM due_credit WHERE uid = ANY($1::uuid[]) AND decision_uid = ANY($1::uuid[])) AS due
FULL JOIN (SELECT * FROM credit WHERE uid = ANY($1::uuid[])) AS stored USING (uid, slot, kind)
WHERE (due.value, due.booked, due.serves) IS DISTINCT FROM (stored.value, stored.booked, stored.serves);

-- add_cells --
INSERT INTO rebuilt_cell
SELECT *, 0, 0 FROM unnest($1::smallint[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[]);

-- swap_credits --
WITH gone AS (
    DELETE FROM credit c USING rebuilt_credit r
    WHERE r.value IS NULL AND (c.uid, c.slot, c.kind) = (r.uid, r.slot, r.kind)
)
INSERT INTO credit AS c (uid, slot, kind, value, booked, serves)
SELECT uid, slot, kind, value, booked, serves FROM rebuilt_credit WHERE value IS NOT NULL ORDER BY uid, slot, kind
ON CONFLICT (uid, slot, kind) DO UPDATE
SET value = excluded.value, booked = excluded.booked, serves = excluded.serves;

-- swap_cells --
-- Cells that are no more stay as zeros, so that they are published.
WITH due AS (
    SELECT policy, arm_no, hour, sum(n)::bigint AS n, sum(s)::bigint AS s
    FROM rebuilt_cell GROUP BY policy, arm_no, hour
), stored AS (
    SELECT policy, arm_no, hour, n, s FROM posterior WHERE experiment_id = $1
), swapped AS (
    INSERT INTO posterior AS p (experiment_id, policy, arm_no, hour, n, s)
    SELECT $1, policy, arm_no, hour, coalesce(d.n, 0), coalesce(d.s, 0)
    FROM due d FULL JOIN stored USING (policy, arm_no, hour)
    WHERE (coalesce(d.n, 0), coalesce(d.s, 0)) <> (coalesce(stored.n, 0), coalesce(stored.s, 0))
    ON CONFLICT (experiment_id, policy, arm_no, hour) DO UPDATE SET n = excluded.n, s = excluded.s
    RETURNING p.policy, p.arm_no
)
SELECT DISTINCT arm_no * 8 + policy AS cell FROM swapped ORDER BY cell;

-- advance --
WITH advanced AS (
    UPDATE fold_head SET fold_no = fold_no + 1 WHERE experiment_id = $1 RETURNING fold_no
)
INSERT INTO fold_log (experiment_id, fold_no, batch_no, committed_at, changed, rebuild_no)
SELECT $1, fold_no, nextval('batch_no'), $2, $3, $4 FROM advanced
RETURNING fold_no;

-- settle --
-- From which fold on a new exclusion holds, or a lifted one does no more.
UPDATE exclusion SET
    since_fold = CASE WHEN exclusion_no = $3 THEN $2 ELSE since_fold END,
    lifted_fold = CASE WHEN exclusion_no = $4 THEN $2 ELSE lifted_fold END
WHERE experiment_id = $1 AND exclusion_no IN ($3, $4);

-- past --
SELECT (a.after->>'rebuild_no')::integer AS rebuild_no, (a.after->>'fold_no')::bigint AS fold_no, a.at, a.actor,
       coalesce(a.after->>'note', '') AS note, (a.after->>'restored')::integer AS restored,
       x.source, x.from_at, x.to_at, x.after_fold, x.upto_fold, x.lifted_fold
FROM audit a
LEFT JOIN exclusion x ON x.experiment_id = a.experiment_id AND x.exclusion_no = (a.after->>'rebuild_no')::integer
WHERE a.experiment_id = $1 AND a.action = 'rebuild' ORDER BY a.audit_no;
