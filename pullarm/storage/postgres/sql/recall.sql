-- decisions --
-- A page of an experiment's decisions, stubs among them.
SELECT * FROM decision WHERE experiment_id = $1 AND uid > $2 ORDER BY uid LIMIT $3;

-- rewards --
SELECT * FROM reward WHERE uid = ANY($1::uuid[]) ORDER BY uid, reward_uid;
