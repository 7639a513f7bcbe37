-- Which of the numbers that each life of a serving process gave its events have come. What lies between them is on its way,
-- or lost. Redelivered and in whatever order, the set is the same.

CREATE TABLE intake (
    process  text PRIMARY KEY,                 -- one name for each life
    received int8multirange NOT NULL           -- from 0; normally one range
) WITH (fillfactor = 50);

-- Which PostgreSQL this is, where it may be asked: another one than the ledger was made in has it from a backup.
CREATE FUNCTION this_system() RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT system_identifier FROM pg_control_system());
EXCEPTION WHEN insufficient_privilege OR undefined_function THEN
    RETURN NULL;
END $$;

ALTER TABLE ledger ADD COLUMN system bigint DEFAULT this_system();
