-- read --
SELECT as_of, until, points FROM weighting WHERE experiment_id = $1 AND weighting_no = $2;

-- newest --
SELECT weighting_no FROM publication WHERE experiment_id = $1 ORDER BY pub_no DESC LIMIT 1;

-- add --
INSERT INTO weighting (experiment_id, weighting_no, as_of, until, points)
SELECT $1, coalesce(max(weighting_no), 0) + 1, $2, $3, $4 FROM weighting WHERE experiment_id = $1
RETURNING weighting_no;

-- hours --
-- The first and the last hour that anything was learned of, or this one.
SELECT coalesce(min(hour), $2) AS first, coalesce(max(hour), $2) AS last FROM posterior WHERE experiment_id = $1;

-- extend --
UPDATE weighting SET until = $3 WHERE experiment_id = $1 AND weighting_no = $2;

-- rebuilt --
SELECT EXISTS (SELECT FROM fold_log WHERE experiment_id = $1 AND fold_no > $2 AND rebuild_no IS NOT NULL);

-- spec --
SELECT spec FROM experiment_revision WHERE experiment_id = $1 AND config_no = $2;

-- prepare --
SET LOCAL jit = off;

-- delays --
-- When rewards that the posterior has came, by decision. From each of equal parts of the time of decision, so that what it
-- costs has a bound however many rewards there are: at most 50, of the first 500 of whichever experiment. What a rebuild
-- left out says nothing of delays, though others may have rewarded the same decision.
SELECT found.uid, min(found.received_at) AS received_at
FROM (
    SELECT $2::timestamptz + part * ($3::timestamptz - $2) / 200 AS start,
           $2::timestamptz + (part + 1) * ($3::timestamptz - $2) / 200 AS stop
    FROM generate_series(0, 199) AS part
) AS slice
CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT * FROM reward
        WHERE uid >= uid_floor(slice.start) AND uid < uid_floor(slice.stop) ORDER BY uid, reward_uid LIMIT 500
    ) AS first
    WHERE experiment_id = $1 AND status = 1 AND NOT retract
      AND NOT EXISTS (SELECT FROM reward_excluded(NULL, experiment_id, source, received_at, batch_no))
    ORDER BY uid, reward_uid LIMIT 50
) AS found
JOIN credit USING (uid, slot, kind)
WHERE credit.booked > 0
GROUP BY found.uid, found.slot
ORDER BY found.uid, found.slot;

-- all_sums --
SELECT policy, arm_no, sum(settled_sum) AS settled, sum(pending_sum) AS pending
FROM weighted_posterior($2, $3, $4, $5, $6)
WHERE experiment_id = $1 GROUP BY policy, arm_no ORDER BY policy, arm_no;

-- changed_sums --
-- Of the cells changed by the folds after this one, looked up as in `changed_cells`.
SELECT (c.cell % 8)::smallint AS policy, c.cell / 8 AS arm_no, p.settled, p.pending
FROM (
    SELECT DISTINCT unnest(changed) AS cell
    FROM (SELECT changed FROM fold_log WHERE experiment_id = $1 AND fold_no > $7 ORDER BY fold_no) AS folds
) AS c
CROSS JOIN LATERAL (
    SELECT sum(settled_sum) AS settled, sum(pending_sum) AS pending
    FROM weighted_posterior($2, $3, $4, $5, $6)
    WHERE experiment_id = $1 AND policy = c.cell % 8 AND arm_no = c.cell / 8
) AS p
WHERE p.settled IS NOT NULL
ORDER BY policy, arm_no;

-- checkpoint_due --
SELECT NOT EXISTS (
    SELECT FROM weighted_checkpoint WHERE experiment_id = $1 AND weighting_no = $2
    AND fold_no >= (SELECT coalesce(max(fold_no), 0) FROM checkpoint WHERE experiment_id = $1)
);

-- add_checkpoint --
INSERT INTO weighted_checkpoint (experiment_id, weighting_no, fold_no, cells) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- checkpoint --
SELECT fold_no, cells FROM weighted_checkpoint
WHERE experiment_id = $1 AND weighting_no = $2 AND fold_no <= $3 ORDER BY fold_no DESC LIMIT 1;
