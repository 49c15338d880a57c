-- A fit of the value models makes segments that ask for what they expect due.
ALTER TABLE segment_evaluations ADD COLUMN
    model_version bigint NOT NULL DEFAULT 0;   -- of the models that the evaluation began with; 0 where they do not matter
