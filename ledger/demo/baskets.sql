-- The baskets to load: the first by time, dealt to lanes by household, so that a household's baskets
-- stay in order however many lanes send at once.
CREATE TABLE baskets AS
WITH chosen AS (
    SELECT
        basket_id,
        min(household_id) AS household_id,
        min(store_id) AS store_id,
        min(transaction_timestamp) AS sold_at
    FROM transactions
    GROUP BY basket_id
    ORDER BY sold_at, basket_id
    LIMIT $baskets_max
)
SELECT
    *,
    household_id % $lanes AS lane,
    row_number() OVER (PARTITION BY household_id % $lanes ORDER BY sold_at, basket_id) - 1 AS place
FROM chosen
