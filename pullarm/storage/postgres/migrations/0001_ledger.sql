-- The ledger, experiments and their history.
--
-- A uid is 48 bits of milliseconds and 80 random bits. Tables of events are partitioned by ranges of it, one for each day
-- of decision, so that the primary key alone is unique over all partitions and a reward lies beside its decision.

CREATE TABLE ledger (
    incarnation uuid NOT NULL,
    created_at  timestamptz NOT NULL,
    only_one    boolean PRIMARY KEY DEFAULT true CHECK (only_one)
);

CREATE TABLE experiment (
    experiment_id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id               text NOT NULL UNIQUE,
    key              text NOT NULL UNIQUE,
    state            text NOT NULL,
    config_no        integer NOT NULL,
    allocation_epoch integer NOT NULL,
    guard_epoch      integer NOT NULL,
    spec             jsonb NOT NULL,
    aggregation      text NOT NULL,   -- of its rewards; fixed at creation, because the fold depends on it
    exposure         text NOT NULL,   -- when a decision counts as shown; fixed likewise
    salt             bytea NOT NULL,
    buckets          bytea NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    started_at       timestamptz,
    end_at           timestamptz
);

-- Every version an experiment ever had; append-only.
CREATE TABLE experiment_revision (
    experiment_id    integer NOT NULL REFERENCES experiment,
    config_no        integer NOT NULL,
    action           text NOT NULL,
    actor            text NOT NULL,
    at               timestamptz NOT NULL,
    state            text NOT NULL,
    allocation_epoch integer NOT NULL,
    guard_epoch      integer NOT NULL,
    spec             jsonb NOT NULL,
    buckets          bytea NOT NULL,
    PRIMARY KEY (experiment_id, config_no)
);

CREATE TABLE arm (
    experiment_id integer NOT NULL REFERENCES experiment,
    arm_no        integer NOT NULL,
    arm_id        text NOT NULL,
    label         text NOT NULL,
    config_no     integer NOT NULL,   -- the version that brought it
    PRIMARY KEY (experiment_id, arm_no),
    UNIQUE (experiment_id, arm_id)
);

-- A decision, or a stub of one whose reward came first. Its row is also the lock for everything about the decision.
CREATE TABLE decision (
    uid              uuid NOT NULL,
    decided_at       timestamptz NOT NULL,
    experiment_id    integer NOT NULL,
    allocation_epoch integer NOT NULL,
    assigned         smallint NOT NULL,
    acting           smallint NOT NULL,
    reason           smallint NOT NULL,
    learn_slots      smallint NOT NULL,
    unit_hash        bigint NOT NULL,
    cohort           integer NOT NULL,
    arms             integer[] NOT NULL,
    batch_no         bigint NOT NULL,          -- the fold that counted it
    stub             boolean NOT NULL,
    voided           boolean NOT NULL DEFAULT false,
    voided_batch     bigint,                   -- the fold that took it back
    config_no        integer,
    pub_no           bigint,
    kernel           smallint,
    unit             text,
    bucket           smallint,
    candidates       integer[],
    weights          bigint[],
    totals           bigint[],
    attributes       jsonb,
    request_id       text,
    unlisted         smallint,                 -- candidates that were no arms
    candidates_hash  bigint,                   -- where the candidates are not logged themselves
    all_arms         integer,                  -- how many arms there were, where all of them were offered
    PRIMARY KEY (uid)
) PARTITION BY RANGE (uid);

-- So that an experiment's figures do not cost a scan of all the others', nor what one fold brought a scan of all folds.
-- Equal keys share an entry.
CREATE INDEX ON decision (experiment_id, batch_no);
CREATE INDEX ON decision (experiment_id, voided_batch) WHERE voided_batch IS NOT NULL;

-- Every reward call, repetitions included: the credit is a function of this set.
CREATE TABLE reward (
    uid           uuid NOT NULL,
    reward_uid    uuid NOT NULL,               -- by time of receipt, one for every call
    received_at   timestamptz NOT NULL,
    occurred_at   timestamptz NOT NULL,
    experiment_id integer NOT NULL,
    slot          smallint NOT NULL,
    kind          text NOT NULL,
    reward_id     text NOT NULL,
    source        text NOT NULL,
    value         double precision NOT NULL,
    credit        integer NOT NULL,            -- millionths
    feeds         boolean NOT NULL,
    retract       boolean NOT NULL,
    status        smallint NOT NULL,
    batch_no      bigint NOT NULL,
    PRIMARY KEY (uid, reward_uid)
) PARTITION BY RANGE (uid);

CREATE INDEX ON reward (experiment_id, batch_no);

-- What the rewards of a decision, slot and kind are worth, and how much of it the posterior has.
CREATE TABLE credit (
    uid    uuid NOT NULL,
    slot   smallint NOT NULL,
    kind   text NOT NULL,
    value  integer NOT NULL,                   -- millionths
    booked integer NOT NULL,                   -- millionths
    serves smallint NOT NULL,                  -- 1 where this is what confirms that the slot was shown
    PRIMARY KEY (uid, slot, kind)
) PARTITION BY RANGE (uid);

CREATE TABLE posterior (
    experiment_id integer NOT NULL,
    policy        smallint NOT NULL,
    arm_no        integer NOT NULL,
    hour          integer NOT NULL,            -- of decision, since 1970
    n             bigint NOT NULL,
    s             bigint NOT NULL,             -- millionths
    PRIMARY KEY (experiment_id, policy, arm_no, hour)
) WITH (fillfactor = 80);

CREATE SEQUENCE batch_no;

CREATE TABLE fold_head (
    experiment_id integer PRIMARY KEY,
    fold_no       bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE fold_log (
    experiment_id integer NOT NULL,
    fold_no       bigint NOT NULL,
    batch_no      bigint NOT NULL,
    committed_at  timestamptz NOT NULL,
    changed       integer[] NOT NULL,          -- cells of the posterior, as arm_no * 8 + policy
    PRIMARY KEY (experiment_id, fold_no),
    UNIQUE (experiment_id, batch_no)           -- batches commit in another order than they are numbered
);

CREATE TABLE publication (
    experiment_id integer NOT NULL,
    pub_no        bigint NOT NULL,
    incarnation   uuid NOT NULL,
    fold_no       bigint NOT NULL,
    config_no     integer NOT NULL,
    as_of         timestamptz NOT NULL,
    grid_no       integer NOT NULL,
    kernel        smallint NOT NULL,
    PRIMARY KEY (experiment_id, pub_no)
);

CREATE TABLE grid (
    experiment_id integer NOT NULL,
    grid_no       integer NOT NULL,
    points        bytea NOT NULL,
    PRIMARY KEY (experiment_id, grid_no)
);

-- The posterior at one fold, so that any later one is this plus the ledger's rows since.
CREATE TABLE checkpoint (
    experiment_id integer NOT NULL,
    fold_no       bigint NOT NULL,
    cells         bytea NOT NULL,              -- int64 quadruples: policy, arm_no, n, s
    PRIMARY KEY (experiment_id, fold_no)
);

-- Entries no fold could take: kept whole, told loudly.
CREATE TABLE quarantine (
    entry_id   text PRIMARY KEY,
    at         timestamptz NOT NULL,
    problem    text NOT NULL,
    payload    bytea NOT NULL
);

-- The smallest uid of a moment, for ranges of time over tables keyed by uid.
CREATE FUNCTION uid_floor(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid
$$;

CREATE FUNCTION ensure_day(day date) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    child  text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ensure_day'));
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

-- The hour of a decision, since 1970.
CREATE FUNCTION hour_of(moment timestamptz) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT floor(date_part('epoch', moment) / 3600)::integer $$;

-- The fold that a batch was for an experiment. A query of its own for each row, because the rows it is asked of are few and
-- the folds are many.
CREATE FUNCTION fold_of(experiment integer, batch bigint) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT l.fold_no FROM fold_log l WHERE l.experiment_id = experiment AND l.batch_no = batch
$$;

-- What the accepted rewards of each decision, slot and kind are worth, in millionths, as of the fold with this number or,
-- for NULL, now; the rule is told in pullarm/domain/credit.py. A serve earns one credit at most: where the kind that feeds
-- the posterior was changed while rewards came, the first of its kinds by name feeds. Where exposure is to be confirmed,
-- any reward that counts does so, and the first of their kinds by name books it. PostgreSQL puts these functions into the
-- query that calls them, so that a condition on uid or experiment_id reaches the scan of the rewards.
CREATE FUNCTION worth_at(as_of bigint)
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
        WINDOW same AS (PARTITION BY uid, slot, kind, experiment_id, reward_id)
    ) AS r
    JOIN experiment e USING (experiment_id)
    GROUP BY r.uid, r.slot, r.kind, r.experiment_id, e.aggregation, e.exposure
$$;

-- What the table credit had to hold as of a fold, beside the cell of the posterior it is booked to. Both uids are the same
-- one; name both in a condition, so that neither side is read whole.
CREATE FUNCTION due_credit_at(as_of bigint)
RETURNS TABLE (uid uuid, decision_uid uuid, slot smallint, kind text, experiment_id integer, policy smallint,
               arm_no integer, hour integer, value integer, booked integer, serves integer)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT w.uid, d.uid AS decision_uid, w.slot, w.kind, d.experiment_id, d.acting AS policy, d.arms[w.slot] AS arm_no,
           hour_of(d.decided_at) AS hour, CASE WHEN was.voided THEN 0 ELSE w.credit END AS value,
           CASE WHEN w.feeds AND learnt.it THEN w.credit ELSE 0 END AS booked,
           CASE WHEN w.confirms AND learnt.it THEN 1 ELSE 0 END AS serves
    FROM worth_at(as_of) w
    JOIN decision d ON d.uid = w.uid
    CROSS JOIN LATERAL (
        SELECT d.voided AND (as_of IS NULL OR fold_of(d.experiment_id, d.voided_batch) <= as_of) AS voided
    ) AS was
    CROSS JOIN LATERAL (
        SELECT d.acting > 0 AND NOT was.voided AND w.slot <= d.learn_slots AND d.arms[w.slot] IS NOT NULL AS it
    ) AS learnt
$$;

CREATE VIEW due_credit AS SELECT * FROM due_credit_at(NULL);
