-- Which log a consumer's position is in. A log that goes on after it has lost events has a new id, and a position of before
-- would pass for one of it.
ALTER TABLE feed_consumers ADD COLUMN log_id uuid;
UPDATE feed_consumers SET log_id = (SELECT log_id FROM log_identity);
ALTER TABLE feed_consumers ALTER COLUMN log_id SET NOT NULL;
