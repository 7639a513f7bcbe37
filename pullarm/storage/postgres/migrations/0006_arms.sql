-- Arms in versions, each with a number, a status and pseudo-counts of its own; how many candidates a decision left out
-- because their arms were paused or retired.

ALTER TABLE arm
    ADD COLUMN version       integer NOT NULL DEFAULT 1,
    ADD COLUMN payload_hash  text NOT NULL DEFAULT '',
    ADD COLUMN status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'retired')),
    ADD COLUMN prior_serves  bigint NOT NULL DEFAULT 0,   -- millionths, like the rewards
    ADD COLUMN prior_rewards bigint NOT NULL DEFAULT 0,
    ADD CHECK (prior_rewards BETWEEN 0 AND prior_serves),
    DROP CONSTRAINT arm_experiment_id_arm_id_key,
    ADD UNIQUE (experiment_id, arm_id, version);

CREATE UNIQUE INDEX ON arm (experiment_id, arm_id) WHERE status <> 'retired';

-- Every status an arm was given, append-only: from that version of the experiment on it had it. An arm is active from the
-- version that brought it unless this says otherwise; arm.status is the newest.
CREATE TABLE arm_status (
    experiment_id integer NOT NULL,
    arm_no        integer NOT NULL,
    config_no     integer NOT NULL,
    status        text NOT NULL,
    PRIMARY KEY (experiment_id, arm_no, config_no),
    FOREIGN KEY (experiment_id, arm_no) REFERENCES arm
);

ALTER TABLE decision ADD COLUMN withheld smallint;

COMMENT ON COLUMN decision.withheld IS
    'Candidates that were left out because they were paused or retired arms: they are not among the candidates.';
COMMENT ON COLUMN decision.all_arms IS
    'How many arms were active in this version of the experiment, where all of those were offered.';
