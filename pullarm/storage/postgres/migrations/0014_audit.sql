-- The audit trail says from where a change came, and which version of an experiment it made.

ALTER TABLE audit
    ADD COLUMN address   text NOT NULL DEFAULT '',   -- of whoever asked, where it came over a network
    ADD COLUMN config_no integer;

CREATE INDEX ON audit (experiment_id, config_no) WHERE config_no IS NOT NULL;
