-- record --
INSERT INTO audit (at, actor, origin, address, experiment_id, config_no, action, before, after)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- page --
SELECT * FROM audit WHERE $1::bigint IS NULL OR audit_no < $1 ORDER BY audit_no DESC LIMIT $2;

-- page_of --
SELECT * FROM audit WHERE experiment_id = $3 AND ($1::bigint IS NULL OR audit_no < $1) ORDER BY audit_no DESC LIMIT $2;

-- since --
SELECT * FROM audit WHERE experiment_id = $1 AND config_no > $2 ORDER BY config_no;
