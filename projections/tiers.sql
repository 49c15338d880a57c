-- Tiers, one page of events at a time.

-- name: publish
INSERT INTO programs (program, version, starts_at, definition)
SELECT program, version, starts_at, definition
FROM unnest(%b::text[], %b::bigint[], %b::bigint[], %b::bytea[]) AS p (program, version, starts_at, definition)

-- name: enrol
INSERT INTO tiers (member_id, program, tier, since, standing)
SELECT member_id, program, tier, since, standing
FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::bigint[], %b::bytea[])
    AS e (member_id, program, tier, since, standing)

-- name: stand
UPDATE tiers t SET
    standing = s.standing, counted = s.counted,
    next_change_at = nullif(s.next_change_at, 0), next_change_to = nullif(s.next_change_to, '')
FROM unnest(%b::uuid[], %b::bytea[], %b::bigint[], %b::bigint[], %b::text[])
    AS s (member_id, standing, counted, next_change_at, next_change_to)
WHERE t.member_id = s.member_id

-- name: change
UPDATE tiers t SET tier = c.to_tier, since = c.since
FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::bigint[]) AS c (member_id, from_tier, to_tier, since)
WHERE t.member_id = c.member_id AND t.tier = c.from_tier
