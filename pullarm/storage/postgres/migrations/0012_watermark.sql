-- Up to when the ledger is complete: what processes say of themselves beside the numbers of their events
-- (docs/decisions/0020). Lives of processes from before have said nothing, and are not waited for.

ALTER TABLE intake
    ADD COLUMN given_up     int8multirange NOT NULL DEFAULT '{}',  -- numbers that are lost; they may come after all
    ADD COLUMN stated_past  bigint[] NOT NULL DEFAULT '{}',        -- ascending; see newest_stated
    ADD COLUMN stated_until bigint[] NOT NULL DEFAULT '{}',        -- beside it: its events of before have lower numbers
    ADD COLUMN spooled      boolean NOT NULL DEFAULT true,         -- whether some of them may wait in a spool
    ADD COLUMN ended_at     timestamptz,                           -- of the fold that brought that it has ended
    ADD COLUMN heard_at     timestamptz NOT NULL DEFAULT 'epoch',  -- of the last fold that brought anything of it
    ADD COLUMN waited_in    uuid;                                  -- the life of the ledger then; NULL: given up since

-- Of what a process stated, all that can ever matter: for each stretch of numbers without a gap the newest of its
-- statements, because what lies before it comes or is given up as a whole.
CREATE FUNCTION newest_stated(come int8multirange, past bigint[], until bigint[])
RETURNS TABLE (stated_past bigint[], stated_until bigint[])
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(one.past ORDER BY one.past), '{}'), coalesce(array_agg(one.until ORDER BY one.past), '{}')
    FROM (
        SELECT DISTINCT ON (stretch) s.past, s.until
        FROM unnest(past, until) AS s (past, until) LEFT JOIN unnest(come) AS stretch ON stretch @> s.past - 1
        ORDER BY stretch, s.past DESC, s.until DESC
    ) AS one
$$;

-- What verdicts are made on: kept under a name, so that they can be made again.
CREATE TABLE cut (
    experiment_id integer NOT NULL REFERENCES experiment,
    name          text NOT NULL,
    fold_no       bigint NOT NULL,
    watermark     timestamptz,                 -- all events of before are in it
    process       text NOT NULL,               -- that held the watermark back
    as_of         timestamptz NOT NULL,
    PRIMARY KEY (experiment_id, name)
);
