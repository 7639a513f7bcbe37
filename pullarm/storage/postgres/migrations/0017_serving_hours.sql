-- Minutes of serving added up to hours, a good while after the hour's end: two weeks of minutes take seconds to add up.
-- What is not here yet is read from the minutes; a minute that comes later takes its hour away again.

CREATE TABLE serving_hour (
    experiment_id integer NOT NULL,
    policy        smallint NOT NULL,
    hour          integer NOT NULL,            -- since 1970
    calls         bigint NOT NULL,
    errors        bigint NOT NULL,
    over_100ms    bigint NOT NULL,
    over_120ms    bigint NOT NULL,
    sketch        jsonb NOT NULL,              -- as in serving_minute
    PRIMARY KEY (experiment_id, policy, hour)
);
