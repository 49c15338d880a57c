-- What the segmenter asks of the views, and where it keeps how far it is.

-- name: live
-- Segments in which somebody may be.
SELECT stream_id, stream_version, program, segment_id, definition, definition_version, is_deleted
FROM views.segments WHERE NOT is_deleted OR members > 0 ORDER BY is_deleted DESC, stream_id

-- name: zones
-- A version of each program: none of them has another time zone.
SELECT DISTINCT ON (program) program, definition FROM views.programs WHERE program = ANY (%(programs)b::text[])

-- name: positions
SELECT min(position) AS read, min(position) FILTER (WHERE name = 'segments') AS segments
FROM views.positions WHERE name = ANY (%(names)b)

-- name: head
SELECT coalesce(max(notification_id), 0) FROM events

-- name: touched
-- The members to whom something happened, and those who were put on a list or taken off.
SELECT DISTINCT m.program, m.member_id
FROM events e JOIN views.sales_members m ON m.member_id = e.originator_id
WHERE e.notification_id > %(after)b AND e.notification_id <= %(until)b AND m.program = ANY (%(programs)b)

-- name: listings
SELECT e.topic, e.state FROM events e
WHERE e.notification_id > %(after)b AND e.notification_id <= %(until)b AND e.topic = %(topic)b

-- name: now_of
-- Who of some members is in some segments now, and on their lists.
SELECT stream_id, member_id, true FROM views.segment_memberships
WHERE stream_id = ANY (%(streams)b) AND member_id = ANY (%(members)b) AND left_position IS NULL
UNION ALL
SELECT stream_id, member_id, false FROM views.segment_lists
WHERE stream_id = ANY (%(streams)b) AND member_id = ANY (%(members)b)

-- name: now_between
SELECT stream_id, member_id, true FROM views.segment_memberships
WHERE stream_id = ANY (%(streams)b) AND member_id > %(after)b AND member_id <= %(last)b AND left_position IS NULL
UNION ALL
SELECT stream_id, member_id, false FROM views.segment_lists
WHERE stream_id = ANY (%(streams)b) AND member_id > %(after)b AND member_id <= %(last)b

-- name: concerned
-- The next members who are in a segment or on its list.
(SELECT member_id FROM views.segment_memberships
 WHERE stream_id = %(stream)b AND member_id > %(after)b AND left_position IS NULL
 ORDER BY member_id LIMIT %(limit)b)
UNION
(SELECT member_id FROM views.segment_lists
 WHERE stream_id = %(stream)b AND member_id > %(after)b
 ORDER BY member_id LIMIT %(limit)b)
ORDER BY member_id LIMIT %(limit)b

-- name: state
SELECT position, appended FROM segmenter

-- name: keep_state
INSERT INTO segmenter (position, appended) VALUES (%(position)b, %(appended)b)
ON CONFLICT (only_one) DO UPDATE SET position = excluded.position, appended = excluded.appended

-- name: models
SELECT program, max(version)::bigint FROM estimates.models WHERE program = ANY (%(programs)b) GROUP BY program

-- name: evaluations
SELECT stream_id, definition_version, day, model_version, cause, after FROM segment_evaluations

-- name: begin_anew
UPDATE segment_evaluations SET cause = %(cause)b, after = %(after)b

-- name: keep_evaluation
INSERT INTO segment_evaluations (stream_id, definition_version, day, model_version, cause, after)
VALUES (%(stream_id)b, %(definition_version)b, %(day)b, %(model_version)b, %(cause)b, %(after)b)
ON CONFLICT (stream_id) DO UPDATE
    SET definition_version = excluded.definition_version, day = excluded.day, model_version = excluded.model_version,
        cause = excluded.cause, after = excluded.after
