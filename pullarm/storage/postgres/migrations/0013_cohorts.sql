-- Cohorts: decision.cohort has their numbers.

-- Append-only. What an experiment goes by is in its specification; a number stays that of its attribute and value.
CREATE TABLE cohort (
    experiment_id integer NOT NULL REFERENCES experiment,
    cohort_no     integer NOT NULL,
    attribute     text NOT NULL,
    value         text NOT NULL,
    config_no     integer NOT NULL,   -- the version that brought it
    PRIMARY KEY (experiment_id, cohort_no),
    UNIQUE (experiment_id, attribute, value)
);

-- What 200 groups of users did, in each cohort: for intervals of whatever is filtered. The vectors are of 25 groups each,
-- because a row for each group would be a row for each decision, and one for all would be written anew with each of them.
CREATE TABLE user_group (
    experiment_id integer NOT NULL,
    hours         smallint NOT NULL,           -- that a bucket has: 1 or 24
    bucket        integer NOT NULL,            -- of so many hours each, since 1970
    policy        smallint NOT NULL,           -- assigned
    cohort        integer NOT NULL,            -- -1 stands for all of them together
    stripe        smallint NOT NULL,           -- of 25 groups
    m             bigint[] NOT NULL,           -- serves
    c             bigint[] NOT NULL,           -- credit in millionths
    PRIMARY KEY (experiment_id, hours, bucket, policy, cohort, stripe)
) WITH (fillfactor = 70);

-- Which of the 200 groups a unit is in; pullarm/domain/rollup.py has the same.
CREATE FUNCTION group_of(unit_hash bigint) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT ((unit_hash & 9223372036854775807) % 200)::integer $$;

-- A vector of a stripe (NULL is zeros) with these amounts more at these places, from 0.
CREATE FUNCTION added(vector bigint[], places integer[], amounts bigint[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    summed bigint[] := coalesce(vector, array_fill(0::bigint, ARRAY[25]));
BEGIN
    FOR i IN 1 .. cardinality(places) LOOP
        summed[places[i] + 1] := summed[places[i] + 1] + amounts[i];
    END LOOP;
    RETURN summed;
END $$;

-- Whether all decisions of a row are there.
CREATE FUNCTION is_kept(g user_group) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT to_timestamp(g.bucket::bigint * g.hours * 3600) >= (SELECT kept_from())
$$;
