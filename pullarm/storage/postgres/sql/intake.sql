-- add --
-- In order of process, so that two workers never wait for each other in a circle. A process that was given up and is heard
-- of again is waited for from there on.
WITH come AS (
    SELECT process, min(first) AS first, range_agg(int8range(first, past)) AS received,
           coalesce(array_agg(past ORDER BY past, until) FILTER (WHERE until > 0), '{}') AS stated_past,
           coalesce(array_agg(until ORDER BY past, until) FILTER (WHERE until > 0), '{}') AS stated_until,
           (array_agg(spooled ORDER BY past DESC, until DESC))[1] AND NOT bool_or(ended) AS spooled,
           CASE WHEN bool_or(ended) THEN $7::timestamptz END AS ended_at
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::boolean[], $6::boolean[])
        AS span (process, first, past, until, spooled, ended)
    GROUP BY process
)
INSERT INTO intake AS i (process, received, stated_past, stated_until, spooled, ended_at, heard_at, waited_in)
SELECT process, received, stated_past, stated_until, spooled, ended_at, $7, incarnation FROM come, ledger
ORDER BY process
ON CONFLICT (process) DO UPDATE SET
    received = i.received + excluded.received,
    given_up = i.given_up + CASE WHEN i.waited_in = excluded.waited_in THEN '{}' ELSE int8multirange(int8range(
        0, (SELECT first FROM come WHERE come.process = i.process))) END,
    (stated_past, stated_until) = (SELECT s.stated_past, s.stated_until FROM newest_stated(
        i.received + i.given_up + excluded.received, i.stated_past || excluded.stated_past,
        i.stated_until || excluded.stated_until) AS s),
    spooled = CASE
        WHEN i.ended_at IS NOT NULL THEN false
        WHEN (excluded.stated_past[cardinality(excluded.stated_past)],
              excluded.stated_until[cardinality(excluded.stated_until)])
          >= (i.stated_past[cardinality(i.stated_past)], i.stated_until[cardinality(i.stated_until)]) IS NOT FALSE
            THEN excluded.spooled
        ELSE i.spooled AND excluded.ended_at IS NULL
    END,
    ended_at = coalesce(i.ended_at, excluded.ended_at),
    heard_at = greatest(i.heard_at, excluded.heard_at),
    waited_in = excluded.waited_in;

-- all --
-- A statement holds once no number before it is missing.
SELECT process, numbered, spooled, ended_at, heard_at, waited_in IS NOT DISTINCT FROM incarnation AS waited_for,
       ARRAY(SELECT lower(gap) FROM unnest(whole - received - given_up) AS gap ORDER BY gap) AS firsts,
       ARRAY(SELECT upper(gap) FROM unnest(whole - received - given_up) AS gap ORDER BY gap) AS ends,
       (SELECT coalesce(sum(upper(gap) - lower(gap)), 0)::bigint FROM unnest(whole * given_up - received) AS gap) AS lost,
       (SELECT until FROM unnest(stated_past, stated_until) AS s (past, until)
        WHERE past = 0 OR received + given_up @> int8range(0, past) ORDER BY past DESC, until DESC LIMIT 1) AS until_ms
FROM intake
CROSS JOIN LATERAL (SELECT coalesce(upper(received), 0) AS numbered) AS n
CROSS JOIN LATERAL (SELECT int8multirange(int8range(0, numbered)) AS whole) AS w
CROSS JOIN ledger
ORDER BY process;

-- give_up --
UPDATE intake SET given_up = given_up + int8multirange(int8range($2, $3)) WHERE process = $1;

-- dismiss --
-- Wait no more for a process and what it stored, unless it is heard of again.
UPDATE intake SET given_up = given_up + int8multirange(int8range(0, coalesce(upper(received), 0))), waited_in = NULL
WHERE process = $1 RETURNING true;

-- prune --
-- Lives that were last heard of before this moment, and all of whose events are accounted for.
DELETE FROM intake
WHERE heard_at < $1 AND received + given_up @> int8range(0, coalesce(upper(received), 0));

-- head --
SELECT fold_no FROM fold_head WHERE experiment_id = $1;

-- keep_cut --
INSERT INTO cut (experiment_id, name, fold_no, watermark, process, as_of) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING;

-- kept_cut --
SELECT fold_no, watermark, as_of, process FROM cut WHERE experiment_id = $1 AND name = $2;
