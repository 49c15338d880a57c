-- Feedback: what members thought of sales, products, rewards and visits. Their texts are in profile.feedback_texts. Instants are
-- microseconds since 1970-01-01 UTC; subjects have the numbers of loyalty.v1.FeedbackSubject, channels those of
-- loyalty.v1.Channel.
CREATE PROCEDURE projection.create_feedback() LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE feedback (
        member_id       uuid    NOT NULL,
        position        bigint  NOT NULL,
        feedback_id     uuid    NOT NULL,  -- request id of the command
        program         text    NOT NULL,
        said_at         bigint  NOT NULL,
        day             date    NOT NULL,  -- in the store's time zone
        subject         int     NOT NULL,
        about           uuid,              -- the transaction; NULL for a visit
        store           text    NOT NULL,
        sku             text    NOT NULL,  -- empty for a sale as a whole
        reward_id       text    NOT NULL,
        tier            text    NOT NULL,  -- at that time
        channel         int     NOT NULL,
        rating          int,               -- 1 to 5
        nps             int,               -- 0 to 10
        has_text        boolean NOT NULL,
        language_code   text    NOT NULL,
        PRIMARY KEY (member_id, position)
    );
    CREATE INDEX feedback_position_idx ON feedback (program, position);
    CREATE INDEX feedback_day_idx ON feedback (program, day);
END $$;

CREATE PROCEDURE projection.show_feedback(names text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($names$
        CREATE OR REPLACE VIEW %1$I.feedback AS
            SELECT member_id, position, feedback_id, program, said_at, day, subject, about, store, sku, reward_id, tier,
                   channel, rating, nps, has_text, language_code
            FROM feedback;
    $names$, names);
END $$;

CALL projection.begin_generation('feedback', 1);
CALL projection.show_generation('feedback', 1);
