-- What the demo takes for granted about the file, as a count of what contradicts it.
SELECT 'lines with an amount that is not whole cents' AS assumption, count(*) AS contradictions
FROM transactions
WHERE greatest(
    abs(sales_value * 100 - round(sales_value * 100)),
    abs(retail_disc * 100 - round(retail_disc * 100)),
    abs(coupon_disc * 100 - round(coupon_disc * 100)),
    abs(coupon_match_disc * 100 - round(coupon_match_disc * 100))
) > 0.000001
UNION ALL
SELECT 'lines with an amount below zero', count(*)
FROM transactions
WHERE least(quantity, sales_value, retail_disc, coupon_disc, coupon_match_disc) < 0
UNION ALL
SELECT 'baskets of several households, stores or times, or with a product twice', count(*)
FROM (
    SELECT basket_id
    FROM transactions
    GROUP BY basket_id
    HAVING count(DISTINCT (household_id, store_id, transaction_timestamp)) > 1
        OR count(DISTINCT product_id) < count(*)
)
