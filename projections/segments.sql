-- Segments, in the order of their events.

-- name: save
INSERT INTO segments AS s (stream_id, stream_version, program, segment_id, display_name_en, display_name_hi, expression,
                           definition, version, definition_version, saved_position, saved_at, is_deleted, members, listed)
SELECT stream_id, stream_version, program, segment_id, display_name_en, display_name_hi, expression, definition, version,
       stream_version, saved_position, saved_at, false, 0, 0
FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bytea[],
            %b::bigint[], %b::bigint[], %b::bigint[])
    AS e (stream_id, stream_version, program, segment_id, display_name_en, display_name_hi, expression, definition,
          version, saved_position, saved_at)
ON CONFLICT (stream_id) DO UPDATE SET
    stream_version = excluded.stream_version,
    display_name_en = excluded.display_name_en,
    display_name_hi = excluded.display_name_hi,
    expression = excluded.expression,
    definition = excluded.definition,
    version = excluded.version,
    definition_version = excluded.definition_version,
    saved_position = excluded.saved_position,
    saved_at = excluded.saved_at
WHERE s.stream_version = excluded.stream_version - 1

-- name: delete
UPDATE segments s SET stream_version = e.stream_version, definition_version = e.stream_version, is_deleted = true
FROM unnest(%b::uuid[], %b::bigint[]) AS e (stream_id, stream_version)
WHERE s.stream_id = e.stream_id AND s.stream_version = e.stream_version - 1

-- name: list
-- Who is on the list already stays; who is not on it is not taken off.
WITH segment AS (
    SELECT * FROM unnest(%b::uuid[], %b::bigint[]) AS e (stream_id, stream_version)
), added AS (
    INSERT INTO segment_lists (stream_id, member_id)
    SELECT stream_id, substr(member, 9)::uuid FROM segment, unnest(%b::text[]) AS e (member)
    ON CONFLICT DO NOTHING RETURNING 1
), removed AS (
    DELETE FROM segment_lists l USING segment, unnest(%b::text[]) AS e (member)
    WHERE l.stream_id = segment.stream_id AND l.member_id = substr(e.member, 9)::uuid
    RETURNING 1
)
UPDATE segments s SET
    stream_version = e.stream_version,
    listed = s.listed + (SELECT count(*) FROM added) - (SELECT count(*) FROM removed)
FROM segment e
WHERE s.stream_id = e.stream_id AND s.stream_version = e.stream_version - 1

-- name: leave
UPDATE segment_memberships m SET left_position = e.position, left_at = e.recorded_at
FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::text[]) AS e (stream_id, position, recorded_at, member)
WHERE m.stream_id = e.stream_id AND m.member_id = substr(e.member, 9)::uuid AND m.left_position IS NULL

-- name: enter
-- Nobody enters who is in: an index sees to it.
INSERT INTO segment_memberships (stream_id, member_id, entered_position, entered_at)
SELECT stream_id, substr(member, 9)::uuid, position, recorded_at
FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::text[]) AS e (stream_id, position, recorded_at, member)

-- name: count
UPDATE segments s SET stream_version = e.last_version, members = s.members + e.more
FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::bigint[]) AS e (stream_id, version_before, last_version, more)
WHERE s.stream_id = e.stream_id AND s.stream_version = e.version_before
