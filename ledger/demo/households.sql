-- The households in the order in which they first buy, with where and when that is.
SELECT
    household_id,
    arg_min(store_id, (sold_at, basket_id)) AS store_id,
    epoch_us(min(sold_at)) AS sold_at_us
FROM baskets
GROUP BY household_id
ORDER BY sold_at_us, household_id
