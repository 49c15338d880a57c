-- What a CRM team is to be told about the baskets, straight from the files and by nothing that the loader or the view of
-- sales use: a name of the figure, whom or what it is about, and what it is. Members have names of the ledger's: they say
-- who comes first of those that are equal.
WITH chosen AS (
    SELECT basket_id
    FROM transactions
    GROUP BY basket_id
    ORDER BY min(transaction_timestamp), basket_id
    LIMIT $baskets_max
),
names AS (
    SELECT unnest($households) AS household_id, unnest($members) AS member
),
lines AS (
    SELECT
        names.member,
        lines.basket_id,
        CAST(lines.store_id AS VARCHAR) AS store,
        CAST(timezone('America/New_York', timezone('UTC', lines.transaction_timestamp)) AS DATE) AS day,
        CAST(lines.product_id AS VARCHAR) AS product,
        coalesce(products.department, '') AS department,
        lines.quantity,
        round(lines.sales_value * 100)::BIGINT AS net_minor
    FROM transactions AS lines
    SEMI JOIN chosen USING (basket_id)
    JOIN names USING (household_id)
    LEFT JOIN products ON products.product_id = lines.product_id
),
spent AS (
    SELECT member, max(day) AS last_day, count(DISTINCT basket_id) AS baskets, sum(net_minor) AS net_minor
    FROM lines
    GROUP BY member
),
ranked AS (
    SELECT
        *,
        ntile(5) OVER (ORDER BY last_day, member) AS recency,
        ntile(5) OVER (ORDER BY baskets, member) AS frequency,
        ntile(5) OVER (ORDER BY net_minor, member) AS monetary,
        row_number() OVER (ORDER BY net_minor DESC, member) AS place,
        count(*) OVER () AS members
    FROM spent
),
stores AS (
    SELECT member, store, count(DISTINCT basket_id) AS baskets, sum(net_minor) AS net_minor
    FROM lines
    GROUP BY member, store
),
departments AS (
    SELECT member, department, count(DISTINCT basket_id) AS baskets, sum(net_minor) AS net_minor
    FROM lines
    WHERE department <> ''
    GROUP BY member, department
),
in_basket AS (
    SELECT DISTINCT basket_id, department
    FROM lines
    WHERE department <> ''
)
SELECT 'RFM scores', member, concat_ws(' ', recency, frequency, monetary) FROM ranked
UNION ALL
SELECT 'high-value members', member, concat_ws(' ', place, net_minor) FROM ranked WHERE (place - 1) * 10 < members
UNION ALL
SELECT 'favourite stores', member, arg_min(store, (-baskets, -net_minor, store)) FROM stores GROUP BY member
UNION ALL
SELECT 'favourite categories', member, arg_min(department, (-baskets, -net_minor, department))
FROM departments
GROUP BY member
UNION ALL
SELECT 'department sales', department, concat_ws(' ', sum(net_minor), sum(quantity), count(DISTINCT basket_id))
FROM lines
GROUP BY department
UNION ALL
SELECT 'product sales', product, concat_ws(' ', sum(net_minor), sum(quantity), count(DISTINCT basket_id))
FROM lines
GROUP BY product
UNION ALL
SELECT 'department pairs', one.department || ' + ' || other.department, count(*)::VARCHAR
FROM in_basket AS one
JOIN in_basket AS other ON other.basket_id = one.basket_id AND other.department > one.department
GROUP BY one.department, other.department
