-- What followers and auditors ask of the log.

-- name: range
SELECT {columns} FROM events e
WHERE e.notification_id > %(after)b AND e.notification_id <= %(until)b
ORDER BY e.notification_id LIMIT %(limit)b

-- name: range_of_types
SELECT {columns} FROM events e
WHERE e.notification_id > %(after)b AND e.notification_id <= %(until)b AND e.topic = ANY (%(topics)b::text[])
ORDER BY e.notification_id LIMIT %(limit)b

-- name: stream
-- A stream's versions grow with its positions. Who goes on behind one of its events starts from that event's version.
SELECT {columns} FROM events e
WHERE e.originator_id = %(stream)b
  AND e.originator_version > coalesce((
      SELECT a.originator_version FROM events a
      WHERE a.notification_id = %(after)b AND a.originator_id = %(stream)b), 0)
  AND e.notification_id > %(after)b AND e.notification_id <= %(until)b AND e.topic = ANY (%(topics)b::text[])
ORDER BY e.originator_version LIMIT %(limit)b

-- name: recorded
SELECT request_id FROM events WHERE request_id = ANY (%b::uuid[])

-- name: transaction
SELECT {columns} FROM (
    SELECT * FROM events WHERE request_id = %(transaction)b
    UNION ALL
    SELECT * FROM events WHERE transaction_id = %(transaction)b
) AS e
ORDER BY e.notification_id

-- name: head
SELECT coalesce(max(notification_id), 0) FROM events

-- name: recorded_at
SELECT recorded_at FROM events WHERE notification_id = %b
