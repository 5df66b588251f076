package patcher

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
)

// Series is a row of changes to one file, each on top of the one before. However
// many there are, the result is read again and verified once. What each replaces
// is a scalar on one line, or a line that it inserts, so what holds for all of
// them together holds for every beginning of the row.
type Series struct {
	file  *File
	text  []byte
	now   map[int]edit // by the offset: what stands there after all steps
	steps [][]edit

	// What Content gave last: the edits of so many steps, in order of position.
	given int
	edits []edit
}

// Series begins a row of changes to f.
func (f *File) Series() *Series { return &Series{file: f, text: f.content, now: map[int]edit{}} }

// Set adds a step: every image that n matches gets the tag. It is Edit for one
// image, and gives the tag it had.
func (s *Series) Set(n Name, tag string) (from string, changes bool, err error) {
	had, changes, err := s.Edit(Request{Images: []Name{n}}, Version{Tag: tag})
	return had.Tag, changes, err
}

// Edit adds a step: every place that r means gets the version. It reports whether
// there is anything to change, and which version the first place had that changes;
// where not, there is no step. Its errors are of type *Error; then there is none
// either.
func (s *Series) Edit(r Request, v Version) (from Version, changes bool, err error) {
	if err := r.check(v); err != nil {
		return Version{}, false, err
	}
	return s.EditEach(r, func(Place) Version { return v })
}

// EditEach is Edit where the places do not all get the same version: several
// images with the same tag have digests of their own.
func (s *Series) EditEach(r Request, of func(Place) Version) (from Version, changes bool, err error) {
	targets, err := s.file.targets(r)
	if err != nil {
		return Version{}, false, err
	}
	var step []edit
	for _, t := range targets {
		v := of(t.place(r.Pin))
		if err := r.check(v); err != nil {
			return Version{}, false, err
		}
		edits, had := s.missing(&t, v, r.Pin)
		if len(step) == 0 && len(edits) > 0 {
			from = had
		}
		step = append(step, edits...)
	}
	if len(step) == 0 {
		return Version{}, false, nil
	}
	for _, e := range step {
		s.now[e.start] = e
	}
	s.steps = append(s.steps, step)
	return from, true, nil
}

// missing returns the edits that give a target a version which it has not after
// the steps so far, and the version that it has.
func (s *Series) missing(t *target, v Version, pin bool) (edits []edit, had Version) {
	had = t.has
	touched := false
	for _, at := range t.offsets() {
		if e, edited := s.now[at]; edited {
			had, touched = e.now, true
		}
	}
	if !touched {
		return t.edits(v, pin, false), had
	}
	if had.Tag == v.Tag && (!pin || had.Digest == v.Digest) {
		return nil, had
	}
	// Back to what the file has: that is a change too.
	return t.edits(v, pin, true), had
}

// Verify reads the file again as it is after all steps, compares it with the
// original node by node, and returns it. Unless it succeeds, nothing is to be
// written; its errors are of type *Error. No step can be added afterwards: the
// original's syntax tree, which is much larger than its text, is let go.
func (s *Series) Verify() (*File, error) {
	edits := inPlace(s.now)
	changed := splice(s.text, edits)
	if len(changed) > MaxSize {
		return nil, refuse(0, ErrTooLarge, "with the new tag the file has %d bytes, more than the %d that are read: split it", len(changed), MaxSize)
	}
	docs, err := s.file.verify(changed, edits)
	if err != nil {
		return nil, err
	}
	name := s.file.name
	s.file = nil
	for _, step := range s.steps {
		for i := range step {
			step[i].node, step[i].into = nil, nil
		}
	}
	s.now = nil
	return build(name, changed, docs)
}

// Content returns the file after the first steps. It is cheapest where each call
// asks for as many steps as the one before, or more. It is not for several
// goroutines at once.
func (s *Series) Content(steps int) []byte {
	if steps < s.given {
		s.given, s.edits = 0, nil
	}
	for _, step := range s.steps[s.given:steps] {
		for _, e := range step {
			i, there := slices.BinarySearchFunc(s.edits, e, inOrderOfPosition)
			if there {
				s.edits[i] = e
			} else {
				s.edits = slices.Insert(s.edits, i, e)
			}
		}
	}
	s.given = steps
	if steps == 0 {
		return bytes.Clone(s.text)
	}
	return splice(s.text, s.edits)
}

func inOrderOfPosition(a, b edit) int { return cmp.Compare(a.start, b.start) }

func inPlace(edits map[int]edit) []edit {
	return slices.SortedFunc(maps.Values(edits), inOrderOfPosition)
}
