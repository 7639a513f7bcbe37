-- series --
SELECT bucket, policy, serves, rewarded, credit, credit_squared FROM rollup
WHERE experiment_id = $1 AND marginal = $2 AND bucket >= $3 AND bucket < $4 AND serves <> 0
ORDER BY bucket, policy;

-- items --
-- Sums over all buckets, by what the marginal tells apart.
SELECT policy, item, slot_group, sum(serves)::bigint AS serves, sum(rewarded)::bigint AS rewarded,
       sum(credit)::bigint AS credit, sum(credit_squared) AS credit_squared
FROM rollup
WHERE experiment_id = $1 AND marginal = $2 AND bucket >= $3 AND bucket < $4
GROUP BY policy, item, slot_group HAVING sum(serves) <> 0
ORDER BY policy, item, slot_group;
