-- open --
-- Only from the life that the caller knows: of many who find it out, one opens the next.
UPDATE ledger SET incarnation = gen_random_uuid(), created_at = $2, system = this_system()
WHERE incarnation = $1 RETURNING incarnation;

-- skip_numbers --
-- Of experiments, batches and whatever else is counted.
SELECT setval(c.oid::regclass, nextval(c.oid::regclass) + $1) FROM pg_class c
WHERE c.relkind = 'S' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'ledger'::regclass);

-- skip_versions --
-- The same configuration under a number that was never handed out. Whatever columns there are, they are copied.
WITH skipped AS (
    UPDATE experiment SET config_no = config_no + $1, updated_at = $2
    RETURNING experiment_id, config_no
)
INSERT INTO experiment_revision
SELECT (jsonb_populate_record(r, jsonb_build_object(
    'config_no', s.config_no, 'action', 'restore', 'actor', '', 'at', $2::timestamptz))).*
FROM skipped s JOIN experiment_revision r ON (r.experiment_id, r.config_no) = (s.experiment_id, s.config_no - $1);

-- skip_publications --
-- The newest publication again, likewise: the next one follows it, and is sent whole because of its incarnation.
INSERT INTO publication
SELECT (jsonb_populate_record(p, jsonb_build_object('pub_no', p.pub_no + $1, 'incarnation', $2::uuid))).*
FROM publication p
WHERE p.pub_no = (SELECT max(pub_no) FROM publication newest WHERE newest.experiment_id = p.experiment_id);
