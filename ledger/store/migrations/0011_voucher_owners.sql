-- Whose a code is, so that it goes with the person: NULL for an uploaded one that nobody was given.
ALTER TABLE voucher_codes ADD COLUMN member_id uuid;

CREATE INDEX voucher_codes_member_idx ON voucher_codes (member_id) WHERE member_id IS NOT NULL;
