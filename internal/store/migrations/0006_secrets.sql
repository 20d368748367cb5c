-- +goose Up
-- Secrets of the server itself, each sealed for its name.
CREATE TABLE secrets (
    name   TEXT  NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL
);

-- +goose Down
DROP TABLE secrets;
