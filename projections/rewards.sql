-- Rewards, one page of events at a time.

-- name: issue_vouchers
INSERT INTO vouchers
    (member_id, voucher_id, position, reward_id, reward, starts_at, expires_at, left_minor, state)
SELECT member_id, voucher_id, position, reward_id, reward, starts_at, expires_at, left_minor, state
FROM unnest(%b::uuid[], %b::uuid[], %b::bigint[], %b::text[], %b::bytea[], %b::bigint[], %b::bigint[], %b::bigint[],
            %b::bigint[])
    AS v (member_id, voucher_id, position, reward_id, reward, starts_at, expires_at, left_minor, state)

-- name: change_vouchers
-- What is left of it is -1 where that stays as it is.
UPDATE vouchers v SET
    left_minor = CASE WHEN c.left_minor < 0 THEN v.left_minor ELSE c.left_minor END, state = c.state
FROM unnest(%b::uuid[], %b::uuid[], %b::bigint[], %b::bigint[]) AS c (member_id, voucher_id, left_minor, state)
WHERE v.member_id = c.member_id AND v.voucher_id = c.voucher_id

-- name: entitle
INSERT INTO entitlements
    (member_id, entitlement_id, position, reward_id, reward, starts_at, expires_at, used_times, state, sale, line_id, sku)
SELECT member_id, entitlement_id, position, reward_id, reward, starts_at, expires_at, used_times, state, sale, line_id, sku
FROM unnest(%b::uuid[], %b::uuid[], %b::bigint[], %b::text[], %b::bytea[], %b::bigint[], %b::bigint[], %b::bigint[],
            %b::bigint[], %b::text[], %b::text[], %b::text[])
    AS e (member_id, entitlement_id, position, reward_id, reward, starts_at, expires_at, used_times, state, sale, line_id,
          sku)

-- name: change_entitlements
-- How often it was used is -1 where that stays as it is.
UPDATE entitlements e SET
    used_times = CASE WHEN c.used_times < 0 THEN e.used_times ELSE c.used_times END, state = c.state
FROM unnest(%b::uuid[], %b::uuid[], %b::bigint[], %b::bigint[]) AS c (member_id, entitlement_id, used_times, state)
WHERE e.member_id = c.member_id AND e.entitlement_id = c.entitlement_id

-- name: draw
INSERT INTO stocks (program, pool, drawn, uploaded)
SELECT program, pool, drawn, 0 FROM unnest(%b::text[], %b::text[], %b::bigint[]) AS d (program, pool, drawn)
ON CONFLICT (program, pool) DO UPDATE SET drawn = excluded.drawn

-- name: upload
INSERT INTO stocks (program, pool, drawn, uploaded)
SELECT program, pool, 0, uploaded FROM unnest(%b::text[], %b::text[], %b::bigint[]) AS u (program, pool, uploaded)
ON CONFLICT (program, pool) DO UPDATE SET uploaded = excluded.uploaded

-- name: end_holds
DELETE FROM stock_holds h
USING unnest(%b::text[], %b::text[], %b::uuid[]) AS e (program, pool, hold_id)
WHERE h.program = e.program AND h.pool = e.pool AND h.hold_id = e.hold_id

-- name: hold
INSERT INTO stock_holds (program, pool, hold_id, amount, expires_at)
SELECT program, pool, hold_id, amount, expires_at
FROM unnest(%b::text[], %b::text[], %b::uuid[], %b::bigint[], %b::bigint[])
    AS h (program, pool, hold_id, amount, expires_at)
