-- What `loyalty replay` asks.

-- name: read
-- The events of one share of the streams.
SELECT {columns} FROM events e
WHERE e.notification_id > %(after)b AND e.notification_id <= %(until)b
  AND (uuid_hash(e.originator_id) & 2147483647) %% %(shares)b = %(share)b
ORDER BY e.notification_id LIMIT %(limit)b

-- name: out_of_order
-- The first position of the log that is missing, or was recorded before the one in front of it.
SELECT position, expected, recorded_at, recorded_before FROM (
    SELECT notification_id AS position, recorded_at,
           coalesce(lag(notification_id) OVER log, 0) + 1 AS expected, lag(recorded_at) OVER log AS recorded_before
    FROM (
        SELECT notification_id, recorded_at FROM events WHERE notification_id <= %(until)b
        UNION ALL
        SELECT %(until)b + 1, 9223372036854775807
    ) AS e WINDOW log AS (ORDER BY notification_id)
) AS e
WHERE position <> expected OR recorded_at < recorded_before
ORDER BY position LIMIT 1

-- name: schema
SELECT 1 FROM pg_namespace WHERE nspname = ANY (%b::text[])

-- name: known
SELECT finished FROM projection.replays WHERE schema = %b

-- name: begin
INSERT INTO projection.replays (schema, position, recorded_at) VALUES (%b, %b, %b)

-- name: indexes
-- What only readers need: the indexes of a schema that are no primary keys.
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = %b::text::regnamespace AND NOT i.indisprimary ORDER BY 1

-- name: finish
UPDATE projection.replays SET finished = true, made_at = clock_timestamp() WHERE schema = %b

-- name: forget
DELETE FROM projection.replays WHERE schema = %b

-- name: all
SELECT schema, position, recorded_at, finished FROM projection.replays ORDER BY schema
