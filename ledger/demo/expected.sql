-- What the ledger must hold for each household, straight from the file and by nothing that the
-- loader uses: each line rounded to cents, summed by basket, a point for each whole 1.00 of it.
WITH chosen AS (
    SELECT basket_id
    FROM transactions
    GROUP BY basket_id
    ORDER BY min(transaction_timestamp), basket_id
    LIMIT $baskets_max
),
totals AS (
    SELECT household_id, basket_id, sum(round(sales_value * 100)::BIGINT)::BIGINT AS net_minor
    FROM transactions
    SEMI JOIN chosen USING (basket_id)
    GROUP BY household_id, basket_id
)
SELECT
    household_id,
    count(*) AS sales,
    sum(net_minor)::BIGINT AS net_minor,
    sum(net_minor // 100)::BIGINT AS points
FROM totals
GROUP BY household_id
