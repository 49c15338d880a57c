-- What the feed asks of the log. Ids come as text, since that is what consumers get.

-- name: range
SELECT p.notification_id, p.originator_id::text, p.originator_version, p.recorded_at, p.command_id::text, p.topic, p.state
FROM (
    SELECT {columns} FROM events e
    WHERE e.notification_id > %(after)b AND e.notification_id <= %(until)b
    ORDER BY e.notification_id LIMIT %(limit)b
) AS p

-- name: range_of_types
SELECT p.notification_id, p.originator_id::text, p.originator_version, p.recorded_at, p.command_id::text, p.topic, p.state
FROM (
    SELECT {columns} FROM events e
    WHERE e.notification_id > %(after)b AND e.notification_id <= %(until)b AND e.topic = ANY (%(topics)b::text[])
    ORDER BY e.notification_id LIMIT %(limit)b
) AS p

-- name: first_events
SELECT notification_id, originator_id::text, topic, state FROM events
WHERE originator_id = ANY (%b::uuid[]) AND originator_version = 1
