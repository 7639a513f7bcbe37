-- decision --
SELECT * FROM decision WHERE uid = $1;

-- erased --
SELECT EXISTS (SELECT FROM erased_unit WHERE experiment_id = $1 AND unit_hash = $2);

-- rewards --
SELECT * FROM reward WHERE uid = $1 ORDER BY reward_uid;

-- publication --
SELECT p.pub_no, p.incarnation, p.fold_no, p.config_no, p.as_of, p.grid_no, p.kernel, p.weighting_no, g.points
FROM publication p LEFT JOIN grid g USING (experiment_id, grid_no)
WHERE p.experiment_id = $1 AND p.pub_no = $2;

-- revision --
-- One version of an experiment, how many of its arms and cohorts it had, and the stop or rollback that came next.
SELECT r.at, r.state, r.allocation_epoch, r.guard_epoch, r.spec, r.buckets, r.seats, r.forced,
       (SELECT count(*) FROM arm a WHERE a.experiment_id = r.experiment_id AND a.config_no <= r.config_no) AS arms,
       (SELECT count(*) FROM cohort c WHERE c.experiment_id = r.experiment_id AND c.config_no <= r.config_no) AS cohorts,
       (SELECT h.state FROM experiment_revision h
        WHERE h.experiment_id = r.experiment_id AND h.config_no > r.config_no AND h.state IN ('stopped', 'rolled_back')
        ORDER BY h.config_no LIMIT 1) AS halt
FROM experiment_revision r WHERE r.experiment_id = $1 AND r.config_no = $2;

-- statuses --
-- Of the arms that were moved up to a version, the status they had in it.
SELECT DISTINCT ON (arm_no) arm_no, status FROM arm_status
WHERE experiment_id = $1 AND config_no <= $2 ORDER BY arm_no, config_no DESC;

-- checkpoint --
SELECT fold_no, cells FROM checkpoint WHERE experiment_id = $1 AND fold_no <= $2 ORDER BY fold_no DESC LIMIT 1;

-- add_checkpoint --
INSERT INTO checkpoint (experiment_id, fold_no, cells) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- prepare --
SET LOCAL jit = off;

-- brought --
-- What the folds after $2 up to $3 added to each hourly cell of the posterior, from the rows that they brought: decisions
-- count with the fold that inserted them and are taken back by the fold that voided them; of a decision whose rewards or
-- voiding came in these folds, the credit is worked out as of both ends. Batches of other folds lie among those of these.
-- No rebuild lies among these folds, because each leaves a checkpoint: the same exclusions hold as of both ends.
WITH folds AS MATERIALIZED (
    SELECT batch_no FROM fold_log WHERE experiment_id = $1 AND fold_no > $2 AND fold_no <= $3
), span AS MATERIALIZED (
    SELECT min(batch_no) AS first, max(batch_no) AS last FROM folds
), voided AS MATERIALIZED (
    SELECT uid, acting, arms, learn_slots, decided_at, batch_no FROM decision
    WHERE experiment_id = $1 AND voided_batch BETWEEN (SELECT first FROM span) AND (SELECT last FROM span)
      AND voided_batch IN (SELECT batch_no FROM folds)
), served AS (
    SELECT acting, arms, learn_slots, decided_at, batch_no, 1 AS n FROM decision
    WHERE experiment_id = $1 AND batch_no BETWEEN (SELECT first FROM span) AND (SELECT last FROM span)
      AND batch_no IN (SELECT batch_no FROM folds)
    UNION ALL
    SELECT acting, arms, learn_slots, decided_at, batch_no, -1 AS n FROM voided
), concerned AS MATERIALIZED (
    SELECT uid FROM reward
    WHERE experiment_id = $1 AND batch_no BETWEEN (SELECT first FROM span) AND (SELECT last FROM span)
      AND batch_no IN (SELECT batch_no FROM folds)
    UNION
    SELECT uid FROM voided
), changes AS (
    SELECT acting AS policy, arm_no, hour_of(decided_at) AS hour, n, 0 AS s
    FROM served, unnest(arms[1:learn_slots]) AS arm_no
    WHERE acting > 0 AND NOT EXISTS (SELECT FROM decision_excluded($3, $1, decided_at, batch_no))
      AND NOT EXISTS (SELECT FROM experiment WHERE experiment_id = $1 AND exposure = 'confirmed')
    UNION ALL
    SELECT policy, arm_no, hour, serves, booked FROM due_credit_at($3)
    WHERE uid = ANY(ARRAY(SELECT uid FROM concerned)) AND decision_uid = ANY(ARRAY(SELECT uid FROM concerned))
    UNION ALL
    SELECT policy, arm_no, hour, -serves, -booked FROM due_credit_at($2)
    WHERE uid = ANY(ARRAY(SELECT uid FROM concerned)) AND decision_uid = ANY(ARRAY(SELECT uid FROM concerned))
)
SELECT policy, arm_no, hour, sum(n)::bigint AS n, sum(s)::bigint AS s FROM changes
GROUP BY policy, arm_no, hour HAVING sum(n) <> 0 OR sum(s) <> 0;
