package wire

// DecodeUnchecked is Decode without the constraints, which random values do
// not satisfy.
func (s *Service) DecodeUnchecked(op string, body []byte, in any) error {
	p, v, err := s.planOf(in, op, "Input")
	if err != nil {
		return err
	}
	return s.read(p, v, body)
}

// Faults are the statuses of the error codes that the service's table has.
func (s *Service) Faults() map[string]int {
	out := map[string]int{}
	for _, f := range s.tables.faults {
		out[f.code] = f.status
	}
	return out
}

// Told calls fn with every field of a Go struct that the service's table
// speaks of, and the name of the shape that constrains it, if any.
func (s *Service) Told(fn func(structure, field, shape string)) {
	for _, st := range s.tables.structures {
		for _, m := range st.members {
			fn(st.name, m.field, m.shape)
		}
	}
}
