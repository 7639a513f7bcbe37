-- Exclusions: from one fold on, the ledger reads as if certain rows had never come. And the audit trail.

-- Conditions that are NULL match all. It holds as of fold f if since_fold <= f and it is not lifted by then.
CREATE TABLE exclusion (
    experiment_id integer NOT NULL,
    exclusion_no  integer NOT NULL,            -- of the rebuild that made it
    source        text,                        -- of rewards; NULL takes decisions as well
    from_at       timestamptz,                 -- of decision, and of receipt of a reward
    to_at         timestamptz,                 -- the first moment that is not excluded any more
    after_fold    bigint,                      -- rows that the folds after this one brought
    upto_fold     bigint,                      -- and up to this one
    since_fold    bigint NOT NULL,
    lifted_fold   bigint,
    PRIMARY KEY (experiment_id, exclusion_no),
    CHECK ((after_fold IS NULL) = (upto_fold IS NULL))
);

-- A fold with this number brought nothing: it is the rebuild that changed how the ledger is read.
ALTER TABLE fold_log ADD COLUMN rebuild_no integer;
CREATE UNIQUE INDEX ON fold_log (experiment_id, rebuild_no) WHERE rebuild_no IS NOT NULL;

CREATE TABLE audit (
    audit_no      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL,
    actor         text NOT NULL,
    origin        text NOT NULL,               -- the way it came: command, REST, a job's name
    experiment_id integer,
    action        text NOT NULL,
    before        jsonb NOT NULL,
    after         jsonb NOT NULL
);

CREATE INDEX ON audit (experiment_id, audit_no);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Whether an exclusion holds as of a fold (NULL is now) and takes what was decided or received at this moment and brought by
-- this batch. A batch that is no fold yet came after every rebuild.
CREATE FUNCTION holds_for(x exclusion, as_of bigint, moment timestamptz, batch bigint) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN as_of IS NULL THEN x.lifted_fold IS NULL
                ELSE x.since_fold <= as_of AND (x.lifted_fold IS NULL OR x.lifted_fold > as_of) END
       AND (x.from_at IS NULL OR moment >= x.from_at)
       AND (x.to_at IS NULL OR moment < x.to_at)
       AND (x.after_fold IS NULL OR fold_of(x.experiment_id, batch) BETWEEN x.after_fold + 1 AND x.upto_fold)
$$;

-- The exclusions that take a decision, or a reward, as of a fold. These return rows because PostgreSQL puts only such
-- functions into the query that calls them where they read a table: ask EXISTS (SELECT FROM decision_excluded(...)).
-- Whether there is any exclusion at all is looked up once a query: an empty table looked at for each row costs a fold a
-- tenth.
CREATE FUNCTION decision_excluded(as_of bigint, experiment integer, decided timestamptz, batch bigint)
RETURNS TABLE (exclusion_no integer)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT x.exclusion_no FROM exclusion x
    WHERE EXISTS (SELECT FROM exclusion)
      AND x.experiment_id = experiment AND x.source IS NULL AND holds_for(x, as_of, decided, batch)
$$;

CREATE FUNCTION reward_excluded(
    as_of bigint, experiment integer, reported_by text, received timestamptz, batch bigint
)
RETURNS TABLE (exclusion_no integer)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT x.exclusion_no FROM exclusion x
    WHERE EXISTS (SELECT FROM exclusion)
      AND x.experiment_id = experiment AND (x.source IS NULL OR x.source = reported_by)
      AND holds_for(x, as_of, received, batch)
$$;

-- Whether a decision counts for nothing as of a fold: excluded, or voided by a voiding that is not excluded itself.
CREATE FUNCTION taken_back(
    as_of bigint, experiment integer, decided timestamptz, batch bigint, voided boolean, voided_batch bigint
)
RETURNS TABLE (it boolean)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT EXISTS (SELECT FROM decision_excluded(as_of, experiment, decided, batch))
        OR voided AND (as_of IS NULL OR fold_of(experiment, voided_batch) <= as_of)
           AND NOT EXISTS (SELECT FROM decision_excluded(as_of, experiment, decided, voided_batch))
$$;

-- As in migration 0001, without the rewards that are excluded.
CREATE OR REPLACE FUNCTION worth_at(as_of bigint)
RETURNS TABLE (uid uuid, slot smallint, kind text, experiment_id integer, feeds boolean, confirms boolean, credit integer)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT r.uid, r.slot, r.kind, r.experiment_id,
           bool_or(r.feeds) AND r.kind = min(CASE WHEN bool_or(r.feeds) THEN r.kind END COLLATE "C")
               OVER (PARTITION BY r.uid, r.slot, r.experiment_id) AS feeds,
           e.exposure = 'confirmed'
               AND bool_or(r.counts) AND r.kind = min(CASE WHEN bool_or(r.counts) THEN r.kind END COLLATE "C")
               OVER (PARTITION BY r.uid, r.slot, r.experiment_id) AS confirms,
           coalesce(CASE e.aggregation
               WHEN 'first' THEN (array_agg(r.credit ORDER BY r.reward_uid) FILTER (WHERE r.counts))[1]
               WHEN 'sum' THEN least(1000000, coalesce(sum(r.credit) FILTER (WHERE r.counts), 0))  -- least() skips NULL
               ELSE max(r.credit) FILTER (WHERE r.counts)
           END, 0)::integer AS credit
    FROM (
        SELECT uid, slot, kind, experiment_id, reward_uid, credit, feeds,
               NOT bool_or(retract) OVER same AND row_number() OVER (same ORDER BY reward_uid) = 1 AS counts
        FROM reward
        WHERE status = 1 AND (as_of IS NULL OR fold_of(experiment_id, batch_no) <= as_of)
          AND NOT EXISTS (SELECT FROM reward_excluded(as_of, experiment_id, source, received_at, batch_no))
        WINDOW same AS (PARTITION BY uid, slot, kind, experiment_id, reward_id)
    ) AS r
    JOIN experiment e USING (experiment_id)
    GROUP BY r.uid, r.slot, r.kind, r.experiment_id, e.aggregation, e.exposure
$$;

-- As in migration 0001; an excluded decision is one that was taken back.
CREATE OR REPLACE FUNCTION due_credit_at(as_of bigint)
RETURNS TABLE (uid uuid, decision_uid uuid, slot smallint, kind text, experiment_id integer, policy smallint,
               arm_no integer, hour integer, value integer, booked integer, serves integer)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT w.uid, d.uid AS decision_uid, w.slot, w.kind, d.experiment_id, d.acting AS policy, d.arms[w.slot] AS arm_no,
           hour_of(d.decided_at) AS hour, CASE WHEN back.it THEN 0 ELSE w.credit END AS value,
           CASE WHEN w.feeds AND learnt.it THEN w.credit ELSE 0 END AS booked,
           CASE WHEN w.confirms AND learnt.it THEN 1 ELSE 0 END AS serves
    FROM worth_at(as_of) w
    JOIN decision d ON d.uid = w.uid
    CROSS JOIN LATERAL taken_back(as_of, d.experiment_id, d.decided_at, d.batch_no, d.voided, d.voided_batch) AS back
    CROSS JOIN LATERAL (
        SELECT d.acting > 0 AND NOT back.it AND w.slot <= d.learn_slots AND d.arms[w.slot] IS NOT NULL AS it
    ) AS learnt
$$;

-- The posterior that the ledger makes, beside which the stored one is held, and by which a rebuild replaces it.
CREATE FUNCTION due_posterior(experiment integer)
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
    ) AS parts
    GROUP BY policy, arm_no, hour
    HAVING sum(n) <> 0 OR sum(s) <> 0
$$;

-- Credits that are not what their rewards are worth, or not booked as they should be; NULL where there is none.
CREATE FUNCTION amiss_credit(experiment integer)
RETURNS TABLE (uid uuid, slot smallint, kind text, due_value integer, due_booked integer, due_serves integer,
               value integer, booked integer, serves smallint)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT uid, slot, kind, due.value, due.booked, due.serves, stored.value, stored.booked, stored.serves
    FROM (
        SELECT c.uid, c.slot, c.kind, c.value, c.booked, c.serves FROM due_credit c WHERE c.experiment_id = experiment
    ) AS due
    FULL JOIN (
        SELECT c.uid, c.slot, c.kind, c.value, c.booked, c.serves
        FROM credit c JOIN decision d USING (uid) WHERE d.experiment_id = experiment
    ) AS stored USING (uid, slot, kind)
    WHERE (due.value, due.booked, due.serves) IS DISTINCT FROM (stored.value, stored.booked, stored.serves)
$$;
