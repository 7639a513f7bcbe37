-- Which of the numbers that each life of a serving process gave its events have come. What lies between them is on its way,
-- or lost. Redelivered and in whatever order, the set is the same.

CREATE TABLE intake (
    process  text PRIMARY KEY,                 -- one name for each life
    received int8multirange NOT NULL,          -- from 0; normally one range
    last_at  timestamptz NOT NULL
) WITH (fillfactor = 50);
