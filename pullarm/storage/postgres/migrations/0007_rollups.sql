-- Roll-ups and the statistics of users: a second stage after the fold, with a cursor of its own.

ALTER TABLE decision ADD COLUMN completed_batch bigint;  -- the fold that brought the decision, where a stub came before it
CREATE INDEX ON decision (experiment_id, completed_batch) WHERE completed_batch IS NOT NULL;
CREATE INDEX ON decision (unit_hash, request_id) WHERE request_id <> '';  -- the tries of one request

CREATE TABLE statistics_head (
    experiment_id integer PRIMARY KEY,
    fold_no       bigint NOT NULL,             -- the last fold that all tables below have
    first_at      timestamptz,                 -- of decision
    last_at       timestamptz
) WITH (fillfactor = 50);

-- Sums over decisions in some marginals, because all dimensions together would be as many rows as decisions: 1 minute,
-- 2 hour, 3 day of decision by assigned policy; 4 hour, 6 day by acting policy, arm (item) and group of slots; 5 day by
-- assigned policy and cohort (item).
CREATE TABLE rollup (
    experiment_id  integer NOT NULL,
    marginal       smallint NOT NULL,
    bucket         integer NOT NULL,           -- minutes, hours or days since 1970
    policy         smallint NOT NULL,
    item           integer NOT NULL,
    slot_group     smallint NOT NULL,          -- 0 for slot 1, 1 for 2 and 3, 2 for 4 to 7, ...: the logarithm
    serves         bigint NOT NULL,
    rewarded       bigint NOT NULL,            -- serves with a credit above zero
    credit         bigint NOT NULL,            -- millionths
    credit_squared numeric NOT NULL,
    PRIMARY KEY (experiment_id, marginal, bucket, policy, item, slot_group)
) WITH (fillfactor = 80);

-- Counts that no marginal has: decisions, unlisted and withheld (candidates), reason, voided, calls and distinct (rewards).
CREATE TABLE tally (
    experiment_id integer NOT NULL,
    name          text NOT NULL,
    item          integer NOT NULL,            -- a reason, a policy, a status of rewards, or 0
    n             bigint NOT NULL,
    PRIMARY KEY (experiment_id, name, item)
) WITH (fillfactor = 50);

-- What each unit did on each day on which it did anything.
CREATE TABLE user_day (
    experiment_id    integer NOT NULL,
    unit_hash        bigint NOT NULL,
    allocation_epoch integer NOT NULL,
    policy           smallint NOT NULL,        -- assigned
    day              integer NOT NULL,         -- 24 hours each, the first from the start of the experiment
    m                bigint NOT NULL,          -- serves
    r                bigint NOT NULL,          -- of them with a credit above zero
    c                bigint NOT NULL,          -- credit in millionths
    PRIMARY KEY (experiment_id, unit_hash, allocation_epoch, policy, day)
) WITH (fillfactor = 80);

-- Sums over units of what each did up to and including a day. Units count with the policy of their first row of user_day
-- only. A day without a row of its own has the sums of the last one before it. Epoch 0 stands for all of them together.
CREATE TABLE user_sums (
    experiment_id    integer NOT NULL,
    allocation_epoch integer NOT NULL,
    policy           smallint NOT NULL,
    day              integer NOT NULL,
    n                bigint NOT NULL,
    m                bigint NOT NULL,
    r                bigint NOT NULL,
    c                bigint NOT NULL,
    mm               numeric NOT NULL,
    cc               numeric NOT NULL,
    mc               numeric NOT NULL,
    moved            bigint NOT NULL,          -- serves in none of these: of units that had another policy first
    PRIMARY KEY (experiment_id, allocation_epoch, policy, day)
) WITH (fillfactor = 50);

-- Decisions beside the folds that brought them, first and (NULL while it is a stub) whole.
CREATE VIEW decision_fold AS
SELECT d.uid, d.experiment_id, d.batch_no, d.voided_batch, d.completed_batch,
       d.decided_at, d.allocation_epoch, d.assigned, d.acting, d.reason, d.unit_hash, d.cohort, d.arms,
       d.request_id, d.unlisted, d.withheld, d.voided,
       coalesce(b.fold_no, 0) AS fold_no,
       CASE WHEN NOT d.stub THEN coalesce(c.fold_no, b.fold_no, 0) END AS whole_fold
FROM decision d
LEFT JOIN fold_log b ON b.experiment_id = d.experiment_id AND b.batch_no = d.batch_no
LEFT JOIN fold_log c ON c.experiment_id = d.experiment_id AND c.batch_no = d.completed_batch;
