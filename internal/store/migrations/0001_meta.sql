-- +goose Up
-- What is true of the data directory as a whole, such as the id of the root key
-- that seals the secrets in it.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- +goose Down
DROP TABLE meta;
