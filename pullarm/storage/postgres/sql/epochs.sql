-- epochs --
-- The version that began each.
SELECT * FROM (
    SELECT DISTINCT ON (allocation_epoch, guard_epoch)
           allocation_epoch, guard_epoch, config_no, at, action, state, (spec ->> 'traffic_pct')::float8 AS traffic_pct, buckets
    FROM experiment_revision WHERE experiment_id = $1
    ORDER BY allocation_epoch, guard_epoch, config_no
) AS began ORDER BY config_no;

-- sums --
-- Sums over the units of each policy and epoch.
SELECT DISTINCT ON (allocation_epoch, policy) allocation_epoch, policy, n, m, r, c, mm, cc, mc
FROM user_sums WHERE experiment_id = $1 AND allocation_epoch > 0
ORDER BY allocation_epoch, policy, day DESC;
