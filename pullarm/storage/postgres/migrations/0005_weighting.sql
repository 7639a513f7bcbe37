-- What the hours of a posterior count when it is published, where not all count whole: one row for each step of time.

CREATE TABLE weighting (
    experiment_id integer NOT NULL,
    weighting_no  integer NOT NULL,
    as_of         timestamptz NOT NULL,
    until         timestamptz NOT NULL,        -- from then on the newest publication is behind
    points        bytea NOT NULL,              -- int32 quadruples, see pullarm/domain/weighting.py
    PRIMARY KEY (experiment_id, weighting_no)
);

ALTER TABLE publication ADD COLUMN weighting_no integer NOT NULL DEFAULT 0;  -- 0 where everything counts whole

-- The weighted posterior at one fold, unrounded, so that any later one under the same weights is this plus the ledger's
-- rows since: hourly sums would be hundreds of times as large.
CREATE TABLE weighted_checkpoint (
    experiment_id integer NOT NULL,
    weighting_no  integer NOT NULL,
    fold_no       bigint NOT NULL,
    cells         bytea NOT NULL,              -- policy and arm_no as int64, settled and pending sum as int128
    PRIMARY KEY (experiment_id, weighting_no, fold_no)
);

-- The posterior by hour under weights given as arrays: from hours[i] on, rewards count settled[i] and serves without a
-- reward pending[i], in millionths; for the policy at_once both count kept[i]. No hour lies before the first of these.
CREATE FUNCTION weighted_posterior(
    hours integer[], kept integer[], settled integer[], pending integer[], at_once integer
)
RETURNS TABLE (experiment_id integer, policy smallint, arm_no integer, settled_sum numeric, pending_sum numeric)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT p.experiment_id, p.policy, p.arm_no,
           p.s::numeric * CASE WHEN p.policy = at_once THEN kept[i.place] ELSE settled[i.place] END,
           (p.n * 1000000 - p.s)::numeric * CASE WHEN p.policy = at_once THEN kept[i.place] ELSE pending[i.place] END
    FROM posterior p CROSS JOIN LATERAL (SELECT width_bucket(p.hour, hours) AS place) AS i
$$;
