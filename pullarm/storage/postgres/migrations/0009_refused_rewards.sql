-- How many rewards were answered, and those that were refused by status: they are no rows of `reward`.

ALTER TABLE serving_minute
    ADD COLUMN rewards bigint NOT NULL DEFAULT 0,
    ADD COLUMN refused jsonb NOT NULL DEFAULT '{}';    -- RewardStatus -> count

-- Minutes with refusals are few; a summary asks for them over all of an experiment's life.
CREATE INDEX ON serving_minute (experiment_id) WHERE refused <> '{}';
