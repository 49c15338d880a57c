-- When sources last said whether members have identifiers, so that what an older one says changes nothing: also of those
-- that were removed, which are in profile.identifiers no more. Of an identifier that no update has named there is no row.
CREATE TABLE profile.identifier_times (
    member_id       uuid    NOT NULL REFERENCES profile.members ON DELETE CASCADE,
    type            smallint NOT NULL,  -- loyalty.v1.IdentifierType
    value           text    NOT NULL,   -- as in profile.identifiers; the program is the member's
    source_at       bigint  NOT NULL,   -- microseconds since 1970-01-01 UTC
    PRIMARY KEY (member_id, type, value)
);

CALL profile.keep_no_samples();
