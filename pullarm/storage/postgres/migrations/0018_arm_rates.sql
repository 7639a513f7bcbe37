-- Rates of arms that hold although a policy chose what was shown (docs/decisions/0026).

-- How far they are. A decision counts once it is mature, so that nothing more is expected of it.
CREATE TABLE arm_rate_head (
    experiment_id integer PRIMARY KEY,
    next_uid      uuid NOT NULL,               -- the first decision that is not in them yet
    fold_no       bigint NOT NULL,             -- folds after this one were not looked through for what came late
    mature_before timestamptz                  -- decisions of before were mature when it was last looked; NULL: none
) WITH (fillfactor = 50);

-- Sums over the first slots of decisions that offered an arm, up to the end of a day (UTC): a day on which nothing offered
-- it has no row. h is the weight of a decision, the root of the arm's propensity; g is its score.
CREATE TABLE arm_rate (
    experiment_id    integer NOT NULL,
    allocation_epoch integer NOT NULL,
    policy           smallint NOT NULL,        -- acting
    arm_no           integer NOT NULL,
    day              integer NOT NULL,         -- since 1970
    offered          bigint NOT NULL,
    served           bigint NOT NULL,
    rewarded         bigint NOT NULL,          -- serves with a credit above zero
    credit           bigint NOT NULL,          -- millionths
    h                double precision NOT NULL,
    hg               double precision NOT NULL,
    hh               double precision NOT NULL,
    hhg              double precision NOT NULL,
    hhgg             double precision NOT NULL,
    PRIMARY KEY (experiment_id, allocation_epoch, policy, arm_no, day)
) WITH (fillfactor = 80);

-- Of each day: how many decisions are in the sums, and how many are not because their weights cannot be worked out again.
CREATE TABLE arm_rate_day (
    experiment_id integer NOT NULL,
    day           integer NOT NULL,
    counted       bigint NOT NULL,
    hashed        bigint NOT NULL,             -- only a hash of the candidates is logged
    other_kernel  bigint NOT NULL,             -- another version of the arithmetic made them
    unpublished   bigint NOT NULL,             -- the ledger has no such publication, or not its posterior any more
    differing     bigint NOT NULL,             -- what is logged is not what comes out
    PRIMARY KEY (experiment_id, day)
) WITH (fillfactor = 50);
