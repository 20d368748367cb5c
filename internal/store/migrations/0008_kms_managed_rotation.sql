-- +goose Up
-- AWS managed keys rotate every year. Those that were made before keys rotated are
-- due for their schedule.
UPDATE kms_keys SET due = 0 WHERE due IS NULL AND body LIKE '%"Manager":"AWS"%';

-- +goose Down
SELECT 1;
