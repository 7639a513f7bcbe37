-- add --
-- In order of process, so that two workers never wait for each other in a circle.
INSERT INTO intake AS i (process, received)
SELECT process, range_agg(int8range(first, past))
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS span (process, first, past)
GROUP BY process ORDER BY process
ON CONFLICT (process) DO UPDATE SET received = i.received + excluded.received;

-- all --
SELECT process, upper(received) AS numbered,
       ARRAY(SELECT lower(gap) FROM unnest(gaps) AS gap ORDER BY gap) AS firsts,
       ARRAY(SELECT upper(gap) FROM unnest(gaps) AS gap ORDER BY gap) AS ends
FROM intake, LATERAL (SELECT int8multirange(int8range(0, upper(received))) - received AS gaps) AS missing
ORDER BY process;
