-- due --
-- Experiments whose newest publication is behind their configuration or their fold or, where anybody learns from them, is
-- weighted for a time that has passed.
SELECT e.experiment_id
FROM experiment e
JOIN fold_head f USING (experiment_id)
LEFT JOIN LATERAL (
    SELECT fold_no, config_no, weighting_no FROM publication p
    WHERE p.experiment_id = e.experiment_id ORDER BY pub_no DESC LIMIT 1
) AS newest ON true
LEFT JOIN weighting w
    ON w.experiment_id = e.experiment_id AND w.weighting_no = newest.weighting_no AND e.state IN ('running', 'shipped')
WHERE newest IS NULL OR newest.fold_no < f.fold_no OR newest.config_no < e.config_no OR w.until <= $1
ORDER BY e.experiment_id;

-- try_lock --
-- One publisher for each experiment; 20 is this lock's class.
SELECT pg_try_advisory_lock(20, $1);

-- unlock --
SELECT pg_advisory_unlock(20, $1);

-- newest --
SELECT pub_no, fold_no, config_no, grid_no, weighting_no FROM publication
WHERE experiment_id = $1 ORDER BY pub_no DESC LIMIT 1;

-- head --
SELECT f.fold_no, e.config_no, l.incarnation FROM fold_head f JOIN experiment e USING (experiment_id), ledger l
WHERE f.experiment_id = $1;

-- all_cells --
SELECT policy, arm_no, sum(n)::bigint AS n, sum(s)::bigint AS s FROM posterior
WHERE experiment_id = $1 GROUP BY policy, arm_no ORDER BY policy, arm_no;

-- changed_cells --
-- The cells changed by the folds after the one that was last published, and those of the arms from $3 to $4, which are new:
-- where the ledger was put back, decisions of the time that was lost may have come before their arms. Of an experiment begun
-- a minute ago there are no statistics yet, and the planner takes its folds and its posterior for a row or two each: joined
-- with the cells every row of the posterior would be compared with every cell, so each cell is looked up; and the folds are
-- asked for in order, which their index by number alone gives.
SELECT (c.cell % 8)::smallint AS policy, c.cell / 8 AS arm_no, p.n, p.s
FROM (
    SELECT unnest(changed) AS cell
    FROM (SELECT changed FROM fold_log WHERE experiment_id = $1 AND fold_no > $2 ORDER BY fold_no) AS folds
    UNION
    SELECT generate_series($3::integer * 8, $4::integer * 8 + 7)
) AS c
CROSS JOIN LATERAL (
    SELECT sum(n)::bigint AS n, sum(s)::bigint AS s FROM posterior
    WHERE experiment_id = $1 AND policy = c.cell % 8 AND arm_no = c.cell / 8
) AS p
WHERE p.n IS NOT NULL
ORDER BY policy, arm_no;

-- arms_in --
SELECT count(*) FROM arm WHERE experiment_id = $1 AND config_no <= $2;

-- grid --
SELECT points FROM grid WHERE experiment_id = $1 AND grid_no = $2;

-- add_grid --
INSERT INTO grid (experiment_id, grid_no, points) VALUES ($1, $2, $3);

-- add --
INSERT INTO publication (experiment_id, pub_no, incarnation, fold_no, config_no, as_of, grid_no, kernel, weighting_no)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- last_checkpoint --
SELECT coalesce(max(fold_no), 0) FROM checkpoint WHERE experiment_id = $1;

-- add_checkpoint --
INSERT INTO checkpoint (experiment_id, fold_no, cells) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- experiments --
SELECT e.experiment_id, coalesce(max(p.pub_no), 0) AS pub_no
FROM experiment e LEFT JOIN LATERAL (
    SELECT pub_no FROM publication p WHERE p.experiment_id = e.experiment_id ORDER BY pub_no DESC LIMIT 1
) p ON true
GROUP BY e.experiment_id ORDER BY e.experiment_id;

-- incarnation --
SELECT incarnation FROM ledger;

-- unstopped --
-- Of these experiments, those that run on as far as the ledger knows.
SELECT experiment_id FROM experiment
WHERE experiment_id = ANY($1::integer[]) AND state IN ('running', 'rolled_back', 'shipped');

-- moved --
-- Whether this is another PostgreSQL than the one that this life of the ledger began in.
SELECT system <> this_system() FROM ledger WHERE incarnation = $1;
