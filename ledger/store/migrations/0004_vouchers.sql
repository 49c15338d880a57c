-- The codes of vouchers, made here or uploaded. Events hold only their hashes, so that nobody who reads the log can use them;
-- a till that asks again for what it was answered gets the same code from here.
CREATE TABLE voucher_codes (
    code_hash       text        NOT NULL PRIMARY KEY,  -- SHA-256 of the code's letters and digits, hexadecimal
    code            text        NOT NULL
);

-- No samples of codes in what PostgreSQL knows of columns: a code goes with the person who has it.
ALTER TABLE voucher_codes ALTER COLUMN code SET STATISTICS 0;
