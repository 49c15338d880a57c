-- What the columns of an export of members are taken from: see member_columns.py. Whoever may not be told to another system is
-- left out here. A change of tier whose time has come counts, recorded or not.
FROM views.balances b
JOIN views.sales_members s USING (member_id)
JOIN views.tiers r USING (member_id)
CROSS JOIN LATERAL views.balance_at(b.member_id, {now}) AS c
CROSS JOIN LATERAL (
    SELECT CASE WHEN r.next_change_at <= {now} THEN r.next_change_to ELSE r.tier END AS tier,
           CASE WHEN r.next_change_at <= {now} THEN r.next_change_at ELSE r.since END AS since
) AS t
CROSS JOIN LATERAL (
    SELECT (
        SELECT o.store FROM views.sale_places o WHERE o.member_id = b.member_id AND o.sales > 0
        GROUP BY o.store ORDER BY sum(o.sales) DESC, sum(o.net_minor) DESC, o.store COLLATE "C" LIMIT 1
    ) AS store, (
        SELECT n.name FROM views.sale_places o JOIN (VALUES {channels}) AS n (channel, name) USING (channel)
        WHERE o.member_id = b.member_id AND o.sales > 0
        GROUP BY n.name ORDER BY sum(o.sales) DESC, sum(o.net_minor) DESC, n.name COLLATE "C" LIMIT 1
    ) AS channel
) AS f
{identified}
{consenting}
WHERE {program} IN ('', b.program)
    AND NOT EXISTS (SELECT FROM views.erased_members e WHERE e.member_id = b.member_id)
ORDER BY b.member_id
