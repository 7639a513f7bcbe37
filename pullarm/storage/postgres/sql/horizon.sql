-- sealed --
SELECT max(day) AS sealed, max(day) FILTER (WHERE removed_at IS NOT NULL) AS removed FROM sealed_day;

-- horizon --
SELECT fold_no FROM past_horizon WHERE experiment_id = $1;
