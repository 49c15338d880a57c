-- Buying insight: questions to the view of sales under names that stay. There are no tables of its own here, so nothing is
-- to be rebuilt. Days are those of the program's time zone; lists that are NULL do not restrict.

CREATE PROCEDURE projection.show_insight(names text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($names$
        -- Every line that was sold and every one that came back, with its receipt.
        CREATE OR REPLACE VIEW %1$I.sold AS
        SELECT s.program, s.member_id, s.position, s.of_position, s.transaction_id, s.kind, s.is_voided, s.occurred_at, s.day,
               s.store, s.channel, s.tier, l.number, l.line_id, l.sku, l.category, l.brand, l.labels, l.kind AS line_kind, l.units,
               l.price_minor AS gross_minor, l.till_discount_minor, l.reward_discount_minor, l.net_minor,
               l.net_minor - l.units * l.unit_cost_minor::numeric AS margin_minor,  -- NULL where the cost is not known
               l.awarded_points, l.redeemed_points
        FROM %1$I.sales s JOIN %1$I.sale_lines l USING (position);

        -- Every time that an offer gave points, or was redeemed. With a sale it has the sale's position and net amount.
        -- What bought a voucher, or gave one by hand, is 'issued': it has its points, but neither a sale nor a quantity, for
        -- the voucher is redeemed when it is used.
        CREATE OR REPLACE VIEW %1$I.offer_uses AS
        SELECT s.program, s.member_id, s.position, a.number,
               CASE WHEN starts_with(a.offer, 'reward/') THEN substr(a.offer, 8) ELSE a.offer END AS offer,
               starts_with(a.offer, 'reward/') AS is_reward, 'award' AS kind, s.is_voided, s.day, s.store, s.channel, s.tier,
               s.net_minor, a.points AS awarded_points, 0::bigint AS quantity, 0::bigint AS redeemed_points,
               0::bigint AS value_minor
        FROM %1$I.sale_awards a JOIN %1$I.sales s USING (position)
        UNION ALL
        SELECT r.program, r.member_id, r.position, r.number, r.reward_id, true, CASE WHEN r.is_issue THEN 'issued' ELSE r.kind END,
               r.is_voided, r.day, r.store, r.channel, s.tier, s.net_minor, 0, CASE WHEN r.is_issue THEN 0 ELSE r.quantity END,
               r.points, r.value_minor
        FROM %1$I.redemptions r
        LEFT JOIN %1$I.sales s
            ON r.kind = 'in_sale' AND NOT r.is_issue AND s.member_id = r.member_id AND s.position = r.position;

        -- What was bought in sales that were not reversed: goods by category, SKU or brand.
        CREATE OR REPLACE FUNCTION %1$I.bought(
            of_program text, item text, from_day date, until_day date, of_stores text[] = NULL, of_channels int[] = NULL,
            of_tiers text[] = NULL
        ) RETURNS TABLE ("position" bigint, member_id uuid, day date, store text, item text, number bigint, units bigint,
                         net_minor bigint, reward_discount_minor bigint)
        LANGUAGE sql STABLE AS $body$
            SELECT s.position, s.member_id, s.day, s.store,
                   CASE item WHEN 'sku' THEN l.sku WHEN 'brand' THEN l.brand ELSE l.category END, l.number, l.units,
                   l.net_minor, l.reward_discount_minor
            FROM %1$I.sales s JOIN %1$I.sale_lines l USING (position)
            WHERE s.program = of_program AND s.day >= from_day AND s.day < until_day AND s.kind = 'sale' AND NOT s.is_voided
              AND (of_stores IS NULL OR s.store = ANY (of_stores)) AND (of_channels IS NULL OR s.channel = ANY (of_channels))
              AND (of_tiers IS NULL OR s.tier = ANY (of_tiers))
              AND l.kind = 1 AND CASE item WHEN 'sku' THEN l.sku WHEN 'brand' THEN l.brand ELSE l.category END <> ''
        $body$;

        -- Pairs that are bought in one sale, in at least `min_sales` of them. What is rarer by itself is left out first, and
        -- what is left has a number instead of its name: pairs of all SKUs of a year are made of a million lines.
        CREATE OR REPLACE FUNCTION %1$I.bought_together(
            of_program text, item text, from_day date, until_day date, min_sales bigint, of_stores text[] = NULL,
            of_channels int[] = NULL, of_tiers text[] = NULL
        ) RETURNS TABLE (first text, second text, sales bigint, first_sales bigint, second_sales bigint)
        LANGUAGE sql STABLE AS $body$
            WITH bought AS MATERIALIZED (
                SELECT DISTINCT b.position, b.item
                FROM %1$I.bought(of_program, item, from_day, until_day, of_stores, of_channels, of_tiers) b
            ), frequent AS MATERIALIZED (
                SELECT b.item, count(*) AS sales, row_number() OVER (ORDER BY b.item COLLATE "C")::int AS id
                FROM bought b GROUP BY b.item HAVING count(*) >= min_sales
            ), kept AS MATERIALIZED (
                SELECT b.position, f.id FROM bought b JOIN frequent f USING (item)
            ), pairs AS (
                SELECT a.id AS first, b.id AS second, count(*) AS sales
                FROM kept a JOIN kept b ON b.position = a.position AND b.id > a.id
                GROUP BY a.id, b.id HAVING count(*) >= min_sales
            )
            SELECT a.item, b.item, p.sales, a.sales, b.sales
            FROM pairs p JOIN frequent a ON a.id = p.first JOIN frequent b ON b.id = p.second
        $body$;

        -- The companions of one thing.
        CREATE OR REPLACE FUNCTION %1$I.bought_with(
            of_program text, item text, this text, from_day date, until_day date, min_sales bigint, of_stores text[] = NULL,
            of_channels int[] = NULL, of_tiers text[] = NULL
        ) RETURNS TABLE (first text, second text, sales bigint, first_sales bigint, second_sales bigint)
        LANGUAGE sql STABLE AS $body$
            WITH bought AS NOT MATERIALIZED (
                SELECT b.position, b.item
                FROM %1$I.bought(of_program, item, from_day, until_day, of_stores, of_channels, of_tiers) b
            ), these AS MATERIALIZED (
                SELECT DISTINCT b.position FROM bought b WHERE b.item = this
            ), companions AS MATERIALIZED (
                SELECT d.item, count(*) AS sales
                FROM (SELECT DISTINCT b.position, b.item FROM these t JOIN bought b USING (position)) AS d
                WHERE d.item <> this GROUP BY d.item HAVING count(*) >= min_sales
            ), alone AS (
                SELECT d.item, count(*) AS sales
                FROM (
                    SELECT DISTINCT b.position, b.item FROM bought b WHERE b.item IN (SELECT c.item FROM companions c)
                ) AS d
                GROUP BY d.item
            )
            SELECT this, c.item, c.sales, (SELECT count(*) FROM these), a.sales
            FROM companions c JOIN alone a USING (item)
        $body$;

        -- Members who bought something in one of two periods, or in both, with what they spent on it, less what came back. A
        -- net of NULL says that they did not buy it then, bought_in_first and bought_in_second whether they bought anything at all.
        CREATE OR REPLACE FUNCTION %1$I.won_and_lost(
            of_program text, item text, first_from date, first_until date, second_from date, second_until date,
            of_stores text[] = NULL, of_channels int[] = NULL, of_tiers text[] = NULL
        ) RETURNS TABLE (item text, member_id uuid, first_minor numeric, second_minor numeric, bought_in_first boolean,
                         bought_in_second boolean)
        LANGUAGE sql STABLE AS $body$
            WITH told AS MATERIALIZED (
                SELECT s.member_id, s.position, s.kind = 'sale' AND NOT s.is_voided AS counts, s.day >= second_from AS is_second
                FROM %1$I.sales s
                WHERE s.program = of_program AND s.day >= first_from AND s.day < second_until
                  AND (s.day < first_until OR s.day >= second_from)
                  AND (of_stores IS NULL OR s.store = ANY (of_stores))
                  AND (of_channels IS NULL OR s.channel = ANY (of_channels))
                  AND (of_tiers IS NULL OR s.tier = ANY (of_tiers))
            ), members AS MATERIALIZED (
                SELECT t.member_id, bool_or(t.counts AND NOT t.is_second) AS in_first,
                       bool_or(t.counts AND t.is_second) AS in_second
                FROM told t GROUP BY t.member_id
            ), spent AS (
                SELECT t.member_id, CASE item WHEN 'sku' THEN l.sku WHEN 'brand' THEN l.brand ELSE l.category END AS item,
                       bool_or(t.counts AND NOT t.is_second) AS in_first, bool_or(t.counts AND t.is_second) AS in_second,
                       coalesce(sum(l.net_minor) FILTER (WHERE NOT t.is_second), 0) AS first_minor,
                       coalesce(sum(l.net_minor) FILTER (WHERE t.is_second), 0) AS second_minor
                FROM told t JOIN %1$I.sale_lines l USING (position)
                WHERE l.kind = 1
                GROUP BY 1, 2
            )
            SELECT s.item, s.member_id, CASE WHEN s.in_first THEN s.first_minor END,
                   CASE WHEN s.in_second THEN s.second_minor END, m.in_first, m.in_second
            FROM spent s JOIN members m USING (member_id)
            WHERE (s.in_first OR s.in_second) AND s.item <> ''
        $body$;

        -- Units sold of each SKU in each store on each day, and how many of them with an offer: a reward or voucher that took
        -- something off the line, or one of the promotions named for which it counted.
        CREATE OR REPLACE FUNCTION %1$I.demand(
            of_program text, from_day date, until_day date, of_stores text[] = NULL, of_channels int[] = NULL,
            of_tiers text[] = NULL, promotions text[] = '{}'
        ) RETURNS TABLE (store text, sku text, day date, units numeric, offer_units numeric)
        LANGUAGE sql STABLE AS $body$
            SELECT b.store, b.item, b.day, sum(b.units),
                   coalesce(sum(b.units) FILTER (WHERE b.reward_discount_minor > 0 OR EXISTS (
                       SELECT FROM %1$I.sale_awards a
                       WHERE a.position = b.position AND a.offer = ANY (promotions)
                         AND a.line_points[b.number] IS NOT NULL)), 0)
            FROM %1$I.bought(of_program, 'sku', from_day, until_day, of_stores, of_channels, of_tiers) b
            GROUP BY b.store, b.item, b.day
            HAVING sum(b.units) > 0  -- a day of nothing but fees and deposits sold nothing
        $body$;
    $names$, names);
END $$;

-- They are shown with the view of sales: readers of a replay have them too.
ALTER PROCEDURE projection.show_sales(text) RENAME TO show_sale_tables;

CREATE PROCEDURE projection.show_sales(names text) LANGUAGE plpgsql AS $$
BEGIN
    CALL projection.show_sale_tables(names);
    CALL projection.show_insight(names);
END $$;

CALL projection.show_generation('sales', 1);
