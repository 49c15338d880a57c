-- name: position
SELECT min(position) FROM views.positions
WHERE name IN ('balances', 'tiers', 'rewards', 'sales', 'consents', 'feedback', 'segments')

-- name: profiles
SELECT p.*, m.*, f.*, h.*
FROM ({position}) AS p
CROSS JOIN (
{members}
) AS m
JOIN (
{facts}
) AS f ON f.member_id = m.member_id
LEFT JOIN (
{people}
) AS h ON h.member_id = m.member_id

-- name: page
SELECT s.member_id, CASE WHEN t.next_change_at <= %(at)b THEN t.next_change_to ELSE t.tier END, s.enrolled_at,
       s.first_sold_at, s.last_sold_at, s.sales,
       least(s.net_minor, 9223372036854775807)::bigint
FROM views.sales_members s
JOIN views.tiers t USING (member_id)
WHERE s.program = %(program)b AND s.member_id > %(after)b
  AND (%(tier)b = '' OR CASE WHEN t.next_change_at <= %(at)b THEN t.next_change_to ELSE t.tier END = %(tier)b)
  AND (%(purchased_from)b::bigint IS NULL OR s.last_sold_at >= %(purchased_from)b)
  AND (%(not_purchased_since)b::bigint IS NULL OR s.last_sold_at IS NULL OR s.last_sold_at < %(not_purchased_since)b)
  AND (%(enrolled_from)b::bigint IS NULL OR s.enrolled_at >= %(enrolled_from)b)
  AND (%(enrolled_until)b::bigint IS NULL OR s.enrolled_at < %(enrolled_until)b)
  AND NOT EXISTS (SELECT FROM views.erased_members e WHERE e.member_id = s.member_id)
  {segment}
ORDER BY s.member_id LIMIT %(limit)b

-- name: in_segment
AND EXISTS (
    SELECT FROM views.segment_members g
    WHERE g.program = s.program AND g.segment_id = %(segment)b AND g.member_id = s.member_id
)
