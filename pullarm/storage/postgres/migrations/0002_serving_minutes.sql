-- How serving did: absolute figures of one process's life for each experiment, assigned policy and minute.

CREATE TABLE serving_minute (
    experiment_id integer NOT NULL,
    policy        smallint NOT NULL,           -- assigned; 0 outside the experiment
    minute        integer NOT NULL,            -- since 1970
    process       text NOT NULL,               -- one name for each life of a process
    sequence      bigint NOT NULL,
    calls         bigint NOT NULL,
    errors        bigint NOT NULL,
    over_100ms    bigint NOT NULL,
    over_120ms    bigint NOT NULL,
    sketch        jsonb NOT NULL,              -- bucket -> count, as pullarm/statistics/sketch.py defines buckets
    PRIMARY KEY (experiment_id, policy, minute, process)
);
