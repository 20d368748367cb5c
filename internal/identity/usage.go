package identity

import (
	"time"

	"borealis/internal/cloud"
)

// A Usage is the last use of an access key, or the last time that a principal
// asked a service for something. It is stored, so its fields change only with a
// migration.
type Usage struct {
	Subject string    // an access key's id, an entity's, or an account's for its root user
	Service string    // as on the wire: "kms"
	Action  string    // the operation's name; "" for access keys
	Time    time.Time // in milliseconds
	Region  cloud.Region
}
