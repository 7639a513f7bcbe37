-- What each part may do with the database, as group roles that nobody logs in as: give them to the parts' own users. The
-- owner of the tables migrates, restores and repairs. Serving has no role: it never comes here.
-- Run whenever the tables have changed; the same again changes nothing.

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM pullarm_workers, pullarm_control, pullarm_analytics;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM pullarm_workers, pullarm_control, pullarm_analytics;
GRANT USAGE ON SCHEMA public TO pullarm_workers, pullarm_control, pullarm_analytics;

-- Reading: all but what stands for somebody who logs in, and who was erased.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO pullarm_workers, pullarm_control, pullarm_analytics;
REVOKE SELECT ON token, session, erased_unit, archive_erasure FROM pullarm_analytics;
REVOKE SELECT ON session FROM pullarm_workers;

-- Workers keep the ledger and all that is derived of it: every table but those of people's doing.
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO pullarm_workers;
REVOKE INSERT, UPDATE, DELETE ON
    token, session, experiment_group, exclusion, erased_unit, sealed_day, audit, migration FROM pullarm_workers;
REVOKE DELETE ON experiment, experiment_revision, arm, decision, reward, verdict FROM pullarm_workers;
REVOKE INSERT ON experiment FROM pullarm_workers;
GRANT INSERT ON audit TO pullarm_workers;
GRANT UPDATE (removed_at, archived) ON sealed_day TO pullarm_workers;
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO pullarm_workers;  -- a new life moves them all on

-- Days come and go by functions of the owner's, so that nobody else makes or drops tables.
ALTER FUNCTION ensure_day(date) SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION seal_day(date, timestamptz) SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION remove_day(date, interval) SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION ensure_day(date), seal_day(date, timestamptz), remove_day(date, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_day(date), seal_day(date, timestamptz), remove_day(date, interval) TO pullarm_workers;

-- Control does what people ask for: experiments, their groups and verdicts, tokens and sessions. Of what was decided and
-- earned it changes nothing but who it was, where somebody is erased.
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO pullarm_control;
GRANT SELECT, UPDATE ON SEQUENCE experiment_experiment_id_seq TO pullarm_control;  -- Redis may know of higher numbers
GRANT INSERT, UPDATE ON experiment, experiment_revision, arm, arm_status, experiment_group, token TO pullarm_control;
GRANT INSERT ON fold_head, audit, cohort, cut, verdict, guard_rollback, alert, alert_delivery, erased_unit,
    archive_erasure TO pullarm_control;
GRANT INSERT, DELETE ON session TO pullarm_control;
GRANT UPDATE (unit_hash, unit, bucket, attributes, request_id) ON decision TO pullarm_control;
GRANT UPDATE (reward_id) ON reward TO pullarm_control;
GRANT UPDATE (unit_hash) ON user_day, guard_user TO pullarm_control;
GRANT UPDATE (confirmed) ON guard_rollback TO pullarm_control;
