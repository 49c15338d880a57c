-- Trial balance, one page of events at a time.

-- name: enrol
INSERT INTO members (member_id, program, points)
SELECT member_id, program, 0 FROM unnest(%b::uuid[], %b::text[]) AS e (member_id, program)

-- name: book
-- Each member's account, and the program's totals. Says how many members it found.
WITH booked AS (
    UPDATE members m SET points = m.points + b.member
    FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
        AS b (member_id, member, issued, redeemed, breakage, clawed_back, restored, adjusted)
    WHERE m.member_id = b.member_id
    RETURNING m.program, b.*
), totalled AS (
    INSERT INTO totals (program, member, issued, redeemed, breakage, clawed_back, restored, adjusted)
    SELECT program, sum(member), sum(issued), sum(redeemed), sum(breakage), sum(clawed_back), sum(restored), sum(adjusted)
    FROM booked GROUP BY program
    ON CONFLICT (program) DO UPDATE SET
        member = totals.member + excluded.member,
        issued = totals.issued + excluded.issued,
        redeemed = totals.redeemed + excluded.redeemed,
        breakage = totals.breakage + excluded.breakage,
        clawed_back = totals.clawed_back + excluded.clawed_back,
        restored = totals.restored + excluded.restored,
        adjusted = totals.adjusted + excluded.adjusted
)
SELECT count(*) FROM booked
