-- The lines of the baskets that are still to send, basket by basket in the order of time. A basket
-- has a product once, so the product orders its lines.
--
-- The sources' dictionary: sales_value is what the retailer receives for the line; retail_disc and
-- coupon_match_disc are what the retailer took off; coupon_disc is a part of sales_value that the
-- manufacturer pays.
SELECT
    baskets.basket_id,
    baskets.household_id,
    baskets.store_id,
    epoch_us(baskets.sold_at) AS sold_at_us,
    baskets.lane,
    lines.product_id,
    lines.quantity,
    round(lines.sales_value * 100)::BIGINT AS net_minor,
    round(lines.retail_disc * 100)::BIGINT
        + round(lines.coupon_match_disc * 100)::BIGINT AS discount_minor,
    round(lines.coupon_disc * 100)::BIGINT AS coupon_minor
FROM transactions AS lines
JOIN baskets USING (basket_id)
WHERE baskets.place >= list_extract($sent, baskets.lane + 1)
ORDER BY sold_at_us, baskets.basket_id, lines.product_id
