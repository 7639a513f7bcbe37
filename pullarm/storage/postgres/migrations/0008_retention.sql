-- Days of decisions that are removed, and new lives of the ledger.

-- Days whose rows are not changed any more, because they are about to be removed or were. Nothing is folded into the
-- newest of them or a day before it.
CREATE TABLE sealed_day (
    day        date PRIMARY KEY,
    sealed_at  timestamptz NOT NULL,
    removed_at timestamptz
);

-- What the rows of removed days had brought to the posterior: with it and the rows that are left it is proved.
CREATE TABLE opening (
    experiment_id integer NOT NULL,
    policy        smallint NOT NULL,
    arm_no        integer NOT NULL,
    hour          integer NOT NULL,            -- of decision, since 1970
    n             bigint NOT NULL,
    s             bigint NOT NULL,             -- millionths
    PRIMARY KEY (experiment_id, policy, arm_no, hour)
);

-- What they had brought to the tallies. (Roll-ups and users' days of that time are kept as they are, and are their own.)
CREATE TABLE opening_tally (
    experiment_id integer NOT NULL,
    name          text NOT NULL,
    item          integer NOT NULL,
    n             bigint NOT NULL,
    PRIMARY KEY (experiment_id, name, item)
);

-- The first moment whose decisions are all there.
CREATE FUNCTION kept_from() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce((max(day) + 1)::timestamp AT TIME ZONE 'UTC', '-infinity')
    FROM sealed_day WHERE removed_at IS NOT NULL
$$;

-- Whether all decisions of a row of roll-ups are there.
CREATE FUNCTION is_kept(r rollup) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT to_timestamp(r.bucket::bigint * CASE r.marginal WHEN 1 THEN 60 WHEN 2 THEN 3600 WHEN 4 THEN 3600 ELSE 86400 END)
        >= (SELECT kept_from())
$$;

-- How far back each experiment's past posteriors can be worked out: to this fold, the last one that removed rows had
-- anything to do with. There is a checkpoint of it.
CREATE TABLE past_horizon (
    experiment_id integer PRIMARY KEY,
    fold_no       bigint NOT NULL
);

CREATE FUNCTION refuse_sealed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'its decision was made on a sealed day: retention removed % or is about to', TG_TABLE_NAME
        USING ERRCODE = 'check_violation';
END $$;

CREATE OR REPLACE FUNCTION ensure_day(day date) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    child  text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ensure_day'));
    IF EXISTS (SELECT FROM sealed_day s WHERE s.day >= ensure_day.day) THEN
        RAISE EXCEPTION 'its decision was made on %, and retention removed the days up to %',
            day, (SELECT max(s.day) FROM sealed_day s) USING ERRCODE = 'check_violation';
    END IF;
    FOREACH parent IN ARRAY ARRAY['decision', 'reward', 'credit'] LOOP
        child := parent || to_char(day, '_YYYYMMDD');
        IF to_regclass(child) IS NULL THEN
            -- Made apart and attached: CREATE ... PARTITION OF would lock the parent against every fold.
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS)', child, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child,
                uid_floor(day::timestamp AT TIME ZONE 'UTC'),
                uid_floor((day + 1)::timestamp AT TIME ZONE 'UTC'));
        END IF;
    END LOOP;
END $$;

-- Let nothing be folded into a day any more. A trigger waits for the folds that write to the day, and for nobody else;
-- no other fold waits for it.
CREATE FUNCTION seal_day(day date, now timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    child  text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ensure_day'));
    INSERT INTO sealed_day (day, sealed_at) VALUES (seal_day.day, now) ON CONFLICT DO NOTHING;
    FOREACH parent IN ARRAY ARRAY['decision', 'reward', 'credit'] LOOP
        child := parent || to_char(day, '_YYYYMMDD');
        IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(child) AND tgname = 'sealed') THEN
            EXECUTE format('CREATE TRIGGER sealed BEFORE INSERT OR UPDATE ON %I '
                'FOR EACH ROW EXECUTE FUNCTION refuse_sealed()', child);
        END IF;
    END LOOP;
END $$;

-- Remove the partitions of a day. Folds wait for this transaction from the last LOCK on, and for the time that it waits
-- itself: lock_timeout ends that. The partitions come first, where an autovacuum gives way after deadlock_timeout.
CREATE FUNCTION remove_day(day date, patience interval) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    suffix text := to_char(day, '_YYYYMMDD');
BEGIN
    SET LOCAL lock_timeout = '3s';
    EXECUTE format('LOCK TABLE %I, %I, %I', 'decision' || suffix, 'reward' || suffix, 'credit' || suffix);
    PERFORM set_config('lock_timeout', extract(epoch FROM patience) || 's', true);
    LOCK TABLE ONLY decision, ONLY reward, ONLY credit;
    EXECUTE format('DROP TABLE %I, %I, %I', 'decision' || suffix, 'reward' || suffix, 'credit' || suffix);
END $$;

-- As in migration 0004, with what the rows of removed days had brought.
CREATE OR REPLACE FUNCTION due_posterior(experiment integer)
RETURNS TABLE (policy smallint, arm_no integer, hour integer, n bigint, s bigint)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT policy, arm_no, hour, sum(n)::bigint AS n, sum(s)::bigint AS s
    FROM (
        SELECT d.acting AS policy, served.arm_no, hour_of(d.decided_at) AS hour, count(*) AS n, 0 AS s
        FROM decision d
        CROSS JOIN LATERAL taken_back(NULL, d.experiment_id, d.decided_at, d.batch_no, d.voided, d.voided_batch) AS back
        CROSS JOIN LATERAL unnest(d.arms[1:d.learn_slots]) AS served (arm_no)
        WHERE d.experiment_id = experiment AND d.acting > 0 AND NOT back.it
          AND NOT EXISTS (SELECT FROM experiment e WHERE e.experiment_id = experiment AND e.exposure = 'confirmed')
        GROUP BY 1, 2, 3
        UNION ALL
        SELECT c.policy, c.arm_no, c.hour, sum(c.serves), sum(c.booked)
        FROM due_credit c WHERE c.experiment_id = experiment AND (c.booked, c.serves) <> (0, 0)
        GROUP BY 1, 2, 3
        UNION ALL
        SELECT o.policy, o.arm_no, o.hour, o.n, o.s FROM opening o WHERE o.experiment_id = experiment
    ) AS parts
    GROUP BY policy, arm_no, hour
    HAVING sum(n) <> 0 OR sum(s) <> 0
$$;

-- Begin a new life of the ledger, after it was put back to an earlier state; why and what for is told in
-- pullarm/storage/postgres/incarnation.py. Only from the life that the caller knows: of many who find it out, one opens the
-- next, and the others get NULL.
CREATE FUNCTION open_incarnation(was uuid, now timestamptz) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    opened uuid;
    -- Of experiments, batches, configurations and whatever else is an integer: room for some twenty thousand lives.
    numbers      CONSTANT integer := 100000;
    -- Three years of ten a second; Lua's numbers have room for nine million lives.
    publications CONSTANT bigint := 1000000000;
BEGIN
    UPDATE ledger SET incarnation = gen_random_uuid(), created_at = now, system = this_system()  -- of migration 0010
    WHERE incarnation = was RETURNING incarnation INTO opened;
    IF opened IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM setval(c.oid::regclass, nextval(c.oid::regclass) + numbers) FROM pg_class c
    WHERE c.relkind = 'S' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'ledger'::regclass);
    -- The same configuration under a number that was never given out. Whatever columns there are, they are copied.
    WITH skipped AS (
        UPDATE experiment SET config_no = config_no + numbers, updated_at = now RETURNING experiment_id, config_no
    )
    INSERT INTO experiment_revision
    SELECT (jsonb_populate_record(r, jsonb_build_object(
        'config_no', s.config_no, 'action', 'restore', 'actor', '', 'at', now))).*
    FROM skipped s
    JOIN experiment_revision r ON (r.experiment_id, r.config_no) = (s.experiment_id, s.config_no - numbers);
    -- The newest publication again, likewise: the next one follows it, and is sent whole because of its incarnation.
    INSERT INTO publication
    SELECT (jsonb_populate_record(p, jsonb_build_object(
        'pub_no', p.pub_no + publications, 'incarnation', opened))).*
    FROM publication p
    WHERE p.pub_no = (SELECT max(pub_no) FROM publication newest WHERE newest.experiment_id = p.experiment_id);
    RETURN opened;
END $$;
