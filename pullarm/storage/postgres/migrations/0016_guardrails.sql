-- Guardrails: the counters that their tests need beside the roll-ups, what they came to, and alerts.

-- From which decisions on the tests of users' rewards count, one every two days from the beginning of a guard epoch, in
-- periods of 14 days. A row is made before any decision is counted that it concerns, and never changed.
CREATE TABLE guard_start (
    experiment_id    integer NOT NULL,
    start_no         integer NOT NULL,
    guard_epoch      integer NOT NULL,
    allocation_epoch integer NOT NULL,
    period           integer NOT NULL,
    place            integer NOT NULL,         -- in its period, from 0
    minute           integer NOT NULL,         -- of decision, since 1970
    PRIMARY KEY (experiment_id, start_no)
);

-- What each unit did between a start and the next one.
CREATE TABLE guard_user (
    experiment_id integer NOT NULL,
    unit_hash     bigint NOT NULL,
    start_no      integer NOT NULL,
    policy        smallint NOT NULL,           -- assigned
    m             bigint NOT NULL,             -- serves
    c             bigint NOT NULL,             -- credit in millionths
    PRIMARY KEY (experiment_id, unit_hash, start_no, policy)
) WITH (fillfactor = 80);

-- Sums over units of what each did from a start on, up to the end of its period or guard epoch.
CREATE TABLE guard_sums (
    experiment_id integer NOT NULL,
    start_no      integer NOT NULL,
    policy        smallint NOT NULL,
    n             bigint NOT NULL,
    m             bigint NOT NULL,
    c             bigint NOT NULL,
    mm            numeric NOT NULL,
    cc            numeric NOT NULL,
    mc            numeric NOT NULL,
    PRIMARY KEY (experiment_id, start_no, policy)
) WITH (fillfactor = 50);

-- Of the draws between a start and the next one: sums of 1 / (propensity * candidates) - 1, in millionths, and of its
-- square. Its mean is 0 where propensities are true and none is 0.
CREATE TABLE guard_draws (
    experiment_id integer NOT NULL,
    start_no      integer NOT NULL,
    policy        smallint NOT NULL,           -- acting
    n             bigint NOT NULL,
    x             bigint NOT NULL,
    xx            numeric NOT NULL,
    PRIMARY KEY (experiment_id, start_no, policy)
) WITH (fillfactor = 50);

-- Serving's minutes put together to hours from the beginning of a guard epoch, each count beside that of its worst minute.
CREATE TABLE guard_hour (
    experiment_id      integer NOT NULL,
    guard_epoch        integer NOT NULL,
    policy             smallint NOT NULL,      -- assigned
    hour               integer NOT NULL,       -- since the beginning of the guard epoch
    warning_ms         double precision NOT NULL,
    limit_ms           double precision NOT NULL,
    calls              bigint NOT NULL,
    errors             bigint NOT NULL,
    worst_errors       bigint NOT NULL,
    over_warning       bigint NOT NULL,
    worst_over_warning bigint NOT NULL,
    over_limit         bigint NOT NULL,
    worst_over_limit   bigint NOT NULL,
    rewards            bigint NOT NULL,
    refused            bigint NOT NULL,
    worst_refused      bigint NOT NULL,
    PRIMARY KEY (experiment_id, guard_epoch, policy, hour)
) WITH (fillfactor = 80);

-- What each check came to. What is not here for the last five minutes is owed.
CREATE TABLE guard_check (
    experiment_id integer NOT NULL,
    guardrail     text NOT NULL,
    due_at        timestamptz NOT NULL,
    checked_at    timestamptz NOT NULL,
    guard_epoch   integer NOT NULL,
    verdict       text NOT NULL,
    content       jsonb NOT NULL,
    PRIMARY KEY (experiment_id, guardrail, due_at)
);

-- Rollbacks by guardrails: what spoke for them, and whether matured rewards say the same.
CREATE TABLE guard_rollback (
    experiment_id integer NOT NULL,
    guard_epoch   integer NOT NULL,
    at            timestamptz NOT NULL,
    stopped       boolean NOT NULL,            -- for good, because there had been too many
    reason        text NOT NULL,
    evidence      jsonb NOT NULL,
    recheck_at    timestamptz,
    confirmed     boolean,
    PRIMARY KEY (experiment_id, guard_epoch)
);

-- What somebody is to be told, and how far that is. An alert is told again only after some hours.
CREATE TABLE alert (
    alert_no      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL,
    key           text NOT NULL,               -- what it is about: the same is not told again and again
    level         text NOT NULL,
    experiment_id integer,
    title         text NOT NULL,
    text          text NOT NULL
);

CREATE INDEX ON alert (key, at);

CREATE TABLE alert_delivery (
    alert_no     bigint NOT NULL REFERENCES alert,
    channel      text NOT NULL,
    attempts     integer NOT NULL DEFAULT 0,
    next_at      timestamptz,                  -- NULL once it is delivered or given up
    delivered_at timestamptz,
    problem      text NOT NULL DEFAULT '',
    PRIMARY KEY (alert_no, channel)
);

CREATE INDEX ON alert_delivery (next_at) WHERE next_at IS NOT NULL;

-- The first whole minute, since 1970, of an experiment's guard epoch; NULL where it never ran in it.
CREATE FUNCTION guarded_from(experiment integer, epoch integer) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT ceil(date_part('epoch', min(r.at)) / 60)::integer FROM experiment_revision r
    WHERE r.experiment_id = experiment AND r.guard_epoch = epoch AND r.state IN ('running', 'shipped')
$$;

-- Whether all decisions since a start are there.
CREATE FUNCTION guard_start_is_kept(minute integer) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT to_timestamp(minute::bigint * 60) >= (SELECT kept_from())
$$;

CREATE INDEX ON guard_rollback (recheck_at) WHERE confirmed IS NULL;

-- How many latencies of a sketch lie in buckets above this one.
CREATE FUNCTION slower_than(sketch jsonb, edge integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(sum(n::bigint), 0)::bigint FROM jsonb_each_text(sketch) AS counted (bucket, n) WHERE bucket::integer > edge
$$;
