-- prepare --
SET LOCAL jit = off;

-- series --
SELECT bucket, policy, serves, rewarded, credit, credit_squared FROM rollup
WHERE experiment_id = $1 AND marginal = $2 AND bucket >= $3 AND bucket < $4 AND serves <> 0
ORDER BY bucket, policy;

-- items_series --
-- The same of some items, for the first group of slots: bucket by bucket, because a marginal may have ten thousand items.
SELECT bucket, policy, sum(serves)::bigint AS serves, sum(rewarded)::bigint AS rewarded, sum(credit)::bigint AS credit,
       sum(credit_squared) AS credit_squared
FROM generate_series($3::integer, $4::integer - 1) AS bucket
CROSS JOIN unnest($5::smallint[]) AS policy
CROSS JOIN unnest($6::integer[]) AS item
JOIN rollup USING (bucket, policy, item)
WHERE experiment_id = $1 AND marginal = $2 AND slot_group = 0
GROUP BY bucket, policy HAVING sum(serves) <> 0
ORDER BY bucket, policy;

-- sums --
-- Sums over buckets of several marginals that together are one span, by what the marginals tell apart.
SELECT policy, item, slot_group, sum(serves)::bigint AS serves, sum(rewarded)::bigint AS rewarded,
       sum(credit)::bigint AS credit, sum(credit_squared) AS credit_squared
FROM unnest($2::smallint[], $3::integer[], $4::integer[]) AS part (marginal, first, last)
CROSS JOIN LATERAL (
    SELECT * FROM rollup
    WHERE experiment_id = $1 AND marginal = part.marginal AND bucket >= part.first AND bucket < part.last
) AS summed
GROUP BY policy, item, slot_group HAVING sum(serves) <> 0
ORDER BY policy, item, slot_group;
