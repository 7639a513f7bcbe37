-- server --
-- What a server says of itself; settings that the role may not read are null.
SELECT current_setting('server_version_num')::integer AS version,
       pg_is_in_recovery() AS read_only,
       current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off' AS durable,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
       current_setting('max_connections')::integer AS max_connections,
       coalesce((SELECT extract(epoch FROM max(clock_timestamp() - xact_start)) FROM pg_stat_activity
                 WHERE datname = current_database() AND backend_type = 'client backend'), 0)::float AS oldest_transaction_s,
       pg_database_size(current_database()) AS size_bytes,
       (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS folder,
       (SELECT last_archived_time FROM pg_stat_archiver) AS archived_at,
       (SELECT count(*) FROM pg_stat_replication) AS replicas;

-- clock --
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint;

-- ledger --
-- Of a database that has all migrations.
SELECT (SELECT count(*) FROM quarantine) AS quarantined,
       (SELECT max(at) FROM audit WHERE action = 'backup') AS backup_at;
