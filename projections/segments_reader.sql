-- Segments, as the API reads them.

-- name: reached
-- How far memberships are, whether the views show it, and whether all members of a segment, or of all segments of a
-- member's program, have been looked at.
-- Without any segment there is nothing to decide.
SELECT coalesce(s.position, CASE WHEN EXISTS (SELECT FROM views.segments) THEN 0 ELSE p.position END),
       p.position >= coalesce(s.appended, 0),
       NOT EXISTS (
           SELECT FROM views.segments d LEFT JOIN segment_evaluations e USING (stream_id)
           WHERE (d.stream_id = %(stream)b OR d.program = (
                      SELECT program FROM views.sales_members WHERE member_id = %(member)b))
             AND NOT d.is_deleted AND (e.definition_version IS DISTINCT FROM d.definition_version OR e.after IS NOT NULL)
       )
FROM views.positions p LEFT JOIN segmenter s ON true
WHERE p.name = 'segments'

-- name: segment
SELECT d.definition, d.version, d.saved_at, d.members, d.listed, d.is_deleted,
       coalesce(e.definition_version = d.definition_version AND e.after IS NULL, false)
FROM views.segments d LEFT JOIN segment_evaluations e USING (stream_id)
WHERE d.stream_id = %(stream)b

-- name: segments
SELECT d.definition, d.version, d.saved_at, d.members, d.listed, d.is_deleted,
       coalesce(e.definition_version = d.definition_version AND e.after IS NULL, false)
FROM views.segments d LEFT JOIN segment_evaluations e USING (stream_id)
WHERE d.program = %(program)b AND d.segment_id COLLATE "C" > %(after)b AND NOT d.is_deleted
ORDER BY d.segment_id COLLATE "C" LIMIT %(limit)b

-- name: members_now
SELECT member_id, entered_at, entered_position, left_at, left_position FROM views.segment_memberships
WHERE stream_id = %(stream)b AND member_id > %(after)b AND left_position IS NULL
ORDER BY member_id LIMIT %(limit)b

-- name: members_as_of
-- From when a member enters until, not including, when they leave.
SELECT member_id, entered_at, entered_position, left_at, left_position FROM views.segment_memberships
WHERE stream_id = %(stream)b AND member_id > %(after)b AND entered_at <= %(as_of)b
  AND (left_at IS NULL OR left_at > %(as_of)b)
ORDER BY member_id LIMIT %(limit)b

-- name: of_member
SELECT s.program || '/segments/' || s.segment_id, m.entered_at, m.entered_position, m.left_at, m.left_position
FROM views.segment_memberships m JOIN views.segments s USING (stream_id)
WHERE m.member_id = %(member)b AND m.entered_position < %(before)b AND (NOT %(current_only)b OR m.left_position IS NULL)
ORDER BY m.entered_position DESC LIMIT %(limit)b

-- name: standing
SELECT EXISTS (SELECT FROM views.segment_lists WHERE stream_id = %(stream)b AND member_id = %(member)b),
       m.entered_at, m.left_at
FROM (SELECT 1) AS one
LEFT JOIN LATERAL (
    SELECT entered_at, left_at FROM views.segment_memberships
    WHERE stream_id = %(stream)b AND member_id = %(member)b ORDER BY entered_position DESC LIMIT 1
) AS m ON true

-- name: zone
SELECT time_zone FROM views.sales_members WHERE program = %(program)b AND member_id = %(member)b

-- name: by_external_id
SELECT value, member_id FROM profile.identifiers
WHERE program = %(program)b AND type = %(type)b AND value = ANY (%(values)b)

-- name: known
-- Who of some members is in a program and not erased. The profile store is never behind the log.
SELECT member_id FROM profile.members WHERE member_id = ANY (%(members)b) AND program = %(program)b
