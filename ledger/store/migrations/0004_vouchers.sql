-- The codes of vouchers that were issued to members. Events hold only their hashes, so that nobody who reads the log can use
-- them; a till that asks again for what it was answered gets the same code from here.
CREATE TABLE voucher_codes (
    voucher_id      uuid        NOT NULL PRIMARY KEY,
    member_id       uuid        NOT NULL,
    code            text        NOT NULL
);
