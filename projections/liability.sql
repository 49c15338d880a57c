-- Liability, one page of events at a time.

-- name: enrol
INSERT INTO booked_members (member_id, program, time_zone)
SELECT member_id, program, time_zone FROM unnest(%b::uuid[], %b::text[], %b::text[]) AS e (member_id, program, time_zone)

-- name: open
INSERT INTO vintages (member_id, lot, vintage)
SELECT o.member_id, o.lot, to_char(to_timestamp(o.effective_at / 1000000) AT TIME ZONE m.time_zone, 'YYYY-MM')
FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[]) AS o (member_id, lot, effective_at)
JOIN booked_members m USING (member_id)

-- name: move
-- Says how many movements found their member. One of a lot that is not known has no vintage and is refused. Most are into
-- lots that their own event opens: those need not be looked up.
WITH dated AS (
    SELECT e.member_id, e.position, e.lot, e.kind, e.points, e.sold_minor, e.opens, m.program,
           (to_timestamp(e.recorded_at / 1000000) AT TIME ZONE m.time_zone)::date AS booked_on,
           to_timestamp(e.effective_at / 1000000) AT TIME ZONE m.time_zone AS effective_at
    FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::text[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
                %b::bigint[])
        AS e (member_id, position, lot, kind, points, sold_minor, recorded_at, effective_at, opens)
    JOIN booked_members m USING (member_id)
), moved AS (
    INSERT INTO movements (member_id, position, lot, kind, points, sold_minor, program, vintage, booked_on, effective_on)
    SELECT member_id, position, lot, kind, points, sold_minor, program, to_char(effective_at, 'YYYY-MM'), booked_on,
           effective_at::date
    FROM dated WHERE opens = 1
    UNION ALL
    SELECT d.member_id, d.position, d.lot, d.kind, d.points, d.sold_minor, d.program,
           CASE WHEN d.lot = 0 THEN '' ELSE v.vintage END, d.booked_on, d.effective_at::date
    FROM dated d LEFT JOIN vintages v ON v.member_id = d.member_id AND v.lot = d.lot
    WHERE d.opens = 0
    RETURNING program, vintage, booked_on, effective_on, kind, points, sold_minor
), summed AS (
    INSERT INTO liability_days AS d
    SELECT program, vintage, booked_on, effective_on,
           coalesce(sum(points) FILTER (WHERE kind = 'issued'), 0),
           coalesce(sum(points) FILTER (WHERE kind = 'restored'), 0),
           coalesce(sum(points) FILTER (WHERE kind = 'reinstated'), 0),
           coalesce(sum(points) FILTER (WHERE kind = 'adjusted'), 0),
           coalesce(sum(points) FILTER (WHERE kind = 'redeemed'), 0),
           coalesce(sum(points) FILTER (WHERE kind = 'expired'), 0),
           coalesce(sum(points) FILTER (WHERE kind = 'clawed_back'), 0),
           sum(sold_minor)
    FROM moved GROUP BY program, vintage, booked_on, effective_on
    ON CONFLICT (program, vintage, booked_on, effective_on) DO UPDATE SET
        issued = d.issued + excluded.issued,
        restored = d.restored + excluded.restored,
        reinstated = d.reinstated + excluded.reinstated,
        adjusted = d.adjusted + excluded.adjusted,
        redeemed = d.redeemed + excluded.redeemed,
        expired = d.expired + excluded.expired,
        clawed_back = d.clawed_back + excluded.clawed_back,
        sold_minor = d.sold_minor + excluded.sold_minor
)
SELECT count(*) FROM moved
