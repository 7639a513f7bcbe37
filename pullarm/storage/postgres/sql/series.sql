-- prepare --
SET LOCAL jit = off;

-- series --
SELECT bucket, policy, serves, rewarded, credit FROM rollup
WHERE experiment_id = $1 AND marginal = $2 AND bucket >= $3 AND bucket < $4 AND serves <> 0
ORDER BY bucket, policy;

-- items_series --
-- The same of some items, for the first group of slots: by the index for each bucket, policy and item, because a marginal may
-- have ten thousand items; joined, all of it is read once there is much of it.
SELECT bucket, policy, sum(serves)::bigint AS serves, sum(rewarded)::bigint AS rewarded, sum(credit)::bigint AS credit
FROM generate_series($3::integer, $4::integer - 1) AS bucket
CROSS JOIN unnest($5::smallint[]) AS policy
CROSS JOIN unnest($6::integer[]) AS item
CROSS JOIN LATERAL (
    SELECT serves, rewarded, credit FROM rollup AS r
    WHERE r.experiment_id = $1 AND r.marginal = $2 AND r.bucket = bucket.bucket AND r.policy = policy.policy
      AND r.item = item.item AND r.slot_group = 0
    OFFSET 0
) AS found
GROUP BY bucket, policy HAVING sum(serves) <> 0
ORDER BY bucket, policy;

-- sums --
-- Sums over buckets of several marginals that together are one span, by what the marginals tell apart: columns, packed, whose
-- rows are in no order. In order, all that is added up was sorted first: on disk, from two weeks of a thousand arms on.
SELECT array_send(array_agg(policy)) AS policy, array_send(array_agg(item)) AS item,
       array_send(array_agg(slot_group)) AS slot_group, array_send(array_agg(serves)) AS serves,
       array_send(array_agg(rewarded)) AS rewarded, array_send(array_agg(credit)) AS credit
FROM (
    SELECT policy, item, slot_group, sum(serves)::bigint AS serves, sum(rewarded)::bigint AS rewarded,
           sum(credit)::bigint AS credit
    FROM unnest($2::smallint[], $3::integer[], $4::integer[]) AS part (marginal, first, last)
    CROSS JOIN LATERAL (
        SELECT policy, item, slot_group, serves, rewarded, credit FROM rollup
        WHERE experiment_id = $1 AND marginal = part.marginal AND bucket >= part.first AND bucket < part.last
        OFFSET 0  -- by the index for each part: joined by marginal, all of the table is read
    ) AS summed
    GROUP BY policy, item, slot_group HAVING sum(serves) <> 0
) AS found;
