-- empty --
-- Remove all that is in the schema, other than what extensions brought or goes with its table. Folds begin with the
-- decisions and publishers with the publications: once these are locked, nobody holds what is waited for. All are named
-- before the first is dropped, because some go with another.
DO $$
DECLARE
    drops text[];
    one   text;
BEGIN
    SET LOCAL client_min_messages = warning;
    IF to_regclass('public.decision') IS NOT NULL THEN
        LOCK TABLE public.decision, public.publication, public.fold_head, public.experiment;
    END IF;
    SELECT array_agg(format('DROP %s IF EXISTS %s CASCADE', kind, name)) INTO drops
    FROM (
        SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END
                   AS kind, format('public.%I', relname) AS name, 'pg_class'::regclass AS class, oid AS object
        FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT relispartition
        UNION ALL
        SELECT 'ROUTINE', oid::regprocedure::text, 'pg_proc'::regclass, oid
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL
        SELECT 'TYPE', format('public.%I', typname), 'pg_type'::regclass, oid
        FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
    ) AS ours
    WHERE NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = class AND objid = object AND objsubid = 0 AND deptype IN ('e', 'i')
    );
    FOREACH one IN ARRAY coalesce(drops, '{}') LOOP
        EXECUTE one;
    END LOOP;
END $$;

-- reopen --
-- :now is a time stamp. The one before left the search path empty.
SELECT pg_catalog.set_config('search_path', 'public', false);
SELECT open_incarnation(incarnation, :now) FROM ledger;

-- is_used --
SELECT EXISTS (SELECT FROM experiment);

-- inventory --
SELECT (SELECT count(*) FROM experiment) AS experiments, (SELECT max(committed_at) FROM fold_log) AS folded_at,
       (SELECT incarnation FROM ledger) AS incarnation;
