-- Whether deliveries of it were made, for the channels that take its level: who raises an alert knows of none.
ALTER TABLE alert ADD COLUMN handed_out boolean NOT NULL DEFAULT false;

UPDATE alert SET handed_out = true;

CREATE INDEX ON alert (alert_no) WHERE NOT handed_out;
