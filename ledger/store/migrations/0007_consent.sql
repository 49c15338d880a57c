-- Texts that members wrote. They are in no event, and go with the person or when the program's time for them is over.
CREATE TABLE profile.feedback_texts (
    request_id      uuid    NOT NULL PRIMARY KEY,   -- of the feedback
    member_id       uuid    NOT NULL REFERENCES profile.members ON DELETE CASCADE,
    feedback_text   text    NOT NULL,
    language_code   text    NOT NULL,
    recorded_at     bigint  NOT NULL                -- microseconds since 1970-01-01 UTC
);

CREATE INDEX feedback_texts_member_idx ON profile.feedback_texts (member_id);
CREATE INDEX feedback_texts_recorded_idx ON profile.feedback_texts (recorded_at);

-- Links by which members say what they think. Only the hash of a token is kept; it is 256 random bits, so a fast hash is enough.
CREATE TABLE profile.feedback_links (
    token_hash      bytea   NOT NULL PRIMARY KEY,   -- SHA-256
    member_id       uuid    NOT NULL REFERENCES profile.members ON DELETE CASCADE,
    transaction_id  uuid    NOT NULL,
    expires_at      bigint  NOT NULL                -- microseconds since 1970-01-01 UTC
);

CREATE INDEX feedback_links_member_idx ON profile.feedback_links (member_id);
CREATE INDEX feedback_links_expiry_idx ON profile.feedback_links (expires_at);

-- Erasing a person finds what refers to them.
CREATE INDEX enrollments_member_idx ON profile.enrollments (member_id);

CALL profile.keep_no_samples();
