-- Files of removed days.

-- What each file has to hold. The checksum is of what an erasure leaves as it is.
CREATE TABLE archived (
    experiment_id integer NOT NULL,
    day           date NOT NULL,
    kind          text NOT NULL,
    rows          bigint NOT NULL,
    checksum      bigint NOT NULL,
    archived_at   timestamptz NOT NULL,
    PRIMARY KEY (experiment_id, day, kind)
);

ALTER TABLE sealed_day ADD COLUMN archived boolean NOT NULL DEFAULT false;

-- Users who are erased from the ledger and not from the files yet; what leads to them goes with the row.
CREATE TABLE archive_erasure (
    experiment_id integer NOT NULL,
    unit_hash     bigint NOT NULL,             -- whose it was
    unit          text NOT NULL,               -- what stands for them
    instead_hash  bigint NOT NULL,
    bucket        smallint NOT NULL,
    noted_at      timestamptz NOT NULL,
    PRIMARY KEY (experiment_id, unit_hash)
);
