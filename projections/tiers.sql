-- Tiers, one page of events at a time.

-- name: publish
INSERT INTO programs (program, version, starts_at, definition)
SELECT program, version, starts_at, definition
FROM unnest(%b::text[], %b::bigint[], %b::bigint[], %b::bytea[]) AS p (program, version, starts_at, definition)

-- name: enrol
INSERT INTO tiers (member_id, program, tier, qualifying_points, since)
SELECT member_id, program, tier, 0, since
FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::bigint[]) AS e (member_id, program, tier, since)

-- name: qualify
-- Qualifying points never go below 0 on the way. `lowest` is the lowest sum of the page's first events, at most 0; where
-- it would have taken the member below 0, what was missing then is not missing later.
UPDATE tiers t SET
    qualifying_points = t.qualifying_points + q.points - least(t.qualifying_points + q.lowest, 0)
FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[]) AS q (member_id, points, lowest)
WHERE t.member_id = q.member_id

-- name: change
UPDATE tiers t SET tier = c.to_tier, since = c.since
FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::bigint[]) AS c (member_id, from_tier, to_tier, since)
WHERE t.member_id = c.member_id AND t.tier = c.from_tier
