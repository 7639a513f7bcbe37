-- Exclusion groups and holdouts, users who are given a policy or an arm, and users who were erased.

CREATE TABLE experiment_group (
    group_id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    salt       bytea NOT NULL,
    holdout    integer NOT NULL DEFAULT 0,     -- millionths of all users
    created_at timestamptz NOT NULL
);

INSERT INTO experiment_group (name, salt, created_at)
SELECT 'all', uuid_send(gen_random_uuid()), to_timestamp(0);

-- Places in groups with their salts, and forced users; both as the version was published.
ALTER TABLE experiment ADD COLUMN seats jsonb NOT NULL DEFAULT '[]', ADD COLUMN forced jsonb NOT NULL DEFAULT '[]';
ALTER TABLE experiment_revision
    ADD COLUMN seats jsonb NOT NULL DEFAULT '[]', ADD COLUMN forced jsonb NOT NULL DEFAULT '[]';

-- What users who were erased are called since; of who they were nothing is kept.
CREATE TABLE erased_unit (
    experiment_id integer NOT NULL,
    unit_hash     bigint NOT NULL,
    erased_at     timestamptz NOT NULL,
    PRIMARY KEY (experiment_id, unit_hash)
);

-- An id that leads back to nothing without the secret; equal ones stay equal, and what is none or such a one already stays.
CREATE FUNCTION hashed_id(secret bytea, id text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN id = '' OR id ~ '^erased-[0-9a-f]{32}$' THEN id
                ELSE 'erased-' || left(encode(sha256(secret || convert_to(id, 'UTF8')), 'hex'), 32) END
$$;

-- Of the units of user_sums.n, those who were shown their first choice of all in this epoch: for a test of their split.
ALTER TABLE user_sums ADD COLUMN fresh bigint NOT NULL DEFAULT 0;
UPDATE user_sums SET fresh = n WHERE allocation_epoch = 0;
WITH first AS (
    SELECT DISTINCT ON (experiment_id, unit_hash) experiment_id, allocation_epoch, policy, day
    FROM user_day WHERE m > 0 ORDER BY experiment_id, unit_hash, allocation_epoch, day, policy
)
UPDATE user_sums s SET fresh = (
    SELECT count(*) FROM first f
    WHERE (f.experiment_id, f.allocation_epoch, f.policy) = (s.experiment_id, s.allocation_epoch, s.policy) AND f.day <= s.day
)
WHERE allocation_epoch > 0;
