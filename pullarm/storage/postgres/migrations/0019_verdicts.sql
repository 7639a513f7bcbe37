-- What experiments came to: frozen, with what it followed from, and what has been done of what is owed every day.

CREATE TABLE verdict (
    experiment_id    integer NOT NULL,
    verdict_no       integer NOT NULL,         -- from 1, by experiment
    name             text NOT NULL,            -- of its cut too: what is judged twice has the same name, and is judged once
    at               timestamptz NOT NULL,
    allocation_epoch integer NOT NULL,
    config_no        integer NOT NULL,
    outcome          text NOT NULL,
    final            boolean NOT NULL,         -- it stands, and there is none after it
    question         text NOT NULL,            -- all it followed from but the data: JSON; text stays the same to the byte
    content          text NOT NULL,
    details          jsonb NOT NULL,           -- told beside it, by policy; nothing follows from them
    PRIMARY KEY (experiment_id, verdict_no),
    UNIQUE (experiment_id, name),
    FOREIGN KEY (experiment_id, name) REFERENCES cut
);

CREATE TABLE verdict_run (
    experiment_id integer NOT NULL,
    due_at        timestamptz NOT NULL,
    PRIMARY KEY (experiment_id, due_at)
);
