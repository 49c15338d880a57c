-- Trial balance, one page of events at a time.

-- name: enrol
INSERT INTO member_points (member_id, program, points)
SELECT member_id, program, 0 FROM unnest(%b::uuid[], %b::text[]) AS e (member_id, program)

-- name: book
-- Each member's account, and the program's totals. Says how many members it found.
WITH booked AS (
    UPDATE member_points m SET points = m.points + b.member
    FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
        AS b (member_id, member, issued, redeemed, breakage, clawed_back, restored, adjusted)
    WHERE m.member_id = b.member_id
    RETURNING m.program, b.*
), totalled AS (
    INSERT INTO program_totals (program, member, issued, redeemed, breakage, clawed_back, restored, adjusted)
    SELECT program, sum(member), sum(issued), sum(redeemed), sum(breakage), sum(clawed_back), sum(restored), sum(adjusted)
    FROM booked GROUP BY program
    ON CONFLICT (program) DO UPDATE SET
        member = program_totals.member + excluded.member,
        issued = program_totals.issued + excluded.issued,
        redeemed = program_totals.redeemed + excluded.redeemed,
        breakage = program_totals.breakage + excluded.breakage,
        clawed_back = program_totals.clawed_back + excluded.clawed_back,
        restored = program_totals.restored + excluded.restored,
        adjusted = program_totals.adjusted + excluded.adjusted
)
SELECT count(*) FROM booked
