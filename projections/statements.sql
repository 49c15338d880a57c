-- Statements, one page of events at a time.

-- name: enrol
INSERT INTO member_totals (member_id, total_points)
SELECT e.member_id, 0 FROM unnest(%b::uuid[]) AS e (member_id)

-- name: enter
-- `running` is the member's total relative to the start of the page.
INSERT INTO entries (member_id, position, effective_at, recorded_at, type, transaction_id, points, total_points, store)
SELECT e.member_id, e.position, e.effective_at, e.recorded_at, e.type, e.transaction_id, e.points,
       t.total_points + e.running, e.store
FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::bigint[], %b::text[], %b::uuid[], %b::bigint[], %b::bigint[],
            %b::text[])
    AS e (member_id, position, effective_at, recorded_at, type, transaction_id, points, running, store)
JOIN member_totals t USING (member_id)

-- name: total
UPDATE member_totals t SET total_points = t.total_points + c.points
FROM unnest(%b::uuid[], %b::bigint[]) AS c (member_id, points)
WHERE t.member_id = c.member_id
