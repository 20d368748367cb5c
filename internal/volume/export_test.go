package volume

// SetPackSize makes e fill packs up to n bytes only, so that a little data makes
// many packs.
func (e *Engine) SetPackSize(n int) { e.packSize = n }

// RecordPacks is how many packs a progress record is about.
const RecordPacks = recordPacks
