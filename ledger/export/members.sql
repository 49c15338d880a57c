-- What the columns of an export of members are taken from: see member_columns.py. Whoever may not be told to another system is
-- left out here.
FROM views.balances b
JOIN views.tiers t USING (member_id)
JOIN views.booked_members z USING (member_id)
CROSS JOIN LATERAL views.balance_at(b.member_id, {now}) AS c
CROSS JOIN LATERAL (
    SELECT count(*) AS visits, max(e.effective_at) AS last_at
    FROM views.statements e WHERE e.member_id = b.member_id AND e.type = 'SaleRecorded'
) AS s
{identified}
WHERE {program} IN ('', b.program)
ORDER BY b.member_id
