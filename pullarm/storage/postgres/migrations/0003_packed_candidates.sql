-- Candidates as packed bytes: four for each arm number, little-endian, in the caller's order. As an array, a hundred of
-- them took a worker as long as all the rest of the decision. Every partition is rewritten while folds wait, and the old
-- ones stay on the disk until all are. Workers of the version before cannot fold afterwards: stop them first.

CREATE FUNCTION pack_arms(numbers integer[]) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(string_agg(
        substring(big_endian FROM 4 FOR 1) || substring(big_endian FROM 3 FOR 1)
            || substring(big_endian FROM 2 FOR 1) || substring(big_endian FROM 1 FOR 1),
        '' ORDER BY place
    ), '')
    FROM unnest(numbers) WITH ORDINALITY AS arm (number, place), int4send(number) AS big_endian
$$;

ALTER TABLE decision ALTER COLUMN candidates TYPE bytea USING pack_arms(candidates);

DROP FUNCTION pack_arms;

CREATE FUNCTION arm_numbers(packed bytea) RETURNS integer[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT ARRAY(
        SELECT (get_byte(packed, place) + (get_byte(packed, place + 1) << 8) + (get_byte(packed, place + 2) << 16)
                + (get_byte(packed, place + 3)::bigint << 24))::integer
        FROM generate_series(0, octet_length(packed) - 1, 4) AS place
        ORDER BY place
    )
$$;

COMMENT ON FUNCTION arm_numbers(bytea) IS
    'Arm numbers packed as four bytes each, little-endian, as in decision.candidates; 0 is a candidate that was no arm. '
    'An error where the length is no multiple of four or a number is beyond integer.';
COMMENT ON COLUMN decision.candidates IS
    'Arm numbers in the caller''s order, four little-endian bytes each: read them with arm_numbers(candidates). Empty where '
    'candidates_hash or all_arms stands for them, NULL in a stub.';
