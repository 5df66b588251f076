package patcher

import (
	"cmp"
	"maps"
	"slices"
)

// Series is a row of tag changes to one file, each on top of the one before.
// However many there are, the result is read again and verified once. What each
// replaces is a scalar on one line, so what holds for all of them together holds
// for every beginning of the row.
type Series struct {
	file  *File
	text  []byte
	now   map[int]edit // by the offset of the scalar: what stands there after all steps
	steps [][]edit
}

// Series begins a row of changes to f.
func (f *File) Series() *Series { return &Series{file: f, text: f.content, now: map[int]edit{}} }

// Set adds a step: every image that n matches gets the tag. It reports whether
// there is anything to change, and which tag the first image had that changes;
// where not, there is no step. Its errors are of type *Error; then there is none
// either.
func (s *Series) Set(n Name, tag string) (from string, changes bool, err error) {
	if err := CheckTag(tag); err != nil {
		return "", false, err
	}
	targets, err := s.file.match(n)
	if err != nil {
		return "", false, err
	}
	var step []edit
	for _, t := range targets {
		old := t.ref.tag
		if e, edited := s.now[t.start]; edited {
			old = e.tag
		}
		if old != tag {
			if step == nil {
				from = old
			}
			step = append(step, t.withTag(tag))
		}
	}
	if step == nil {
		return "", false, nil
	}
	for _, e := range step {
		s.now[e.start] = e
	}
	s.steps = append(s.steps, step)
	return from, true, nil
}

// Verify reads the file again as it is after all steps, compares it with the
// original node by node, and returns it. Unless it succeeds, nothing is to be
// written; its errors are of type *Error. No step can be added afterwards: the
// original's syntax tree, which is much larger than its text, is let go.
func (s *Series) Verify() (*File, error) {
	changed := s.splice(s.now)
	if len(changed) > MaxSize {
		return nil, refuse(0, ErrTooLarge, "with the new tag the file has %d bytes, more than the %d that are read: split it", len(changed), MaxSize)
	}
	edits := slices.Collect(maps.Values(s.now))
	docs, err := s.file.verify(changed, edits)
	if err != nil {
		return nil, err
	}
	s.file = nil
	for _, step := range s.steps {
		for i := range step {
			step[i].node = nil
		}
	}
	s.now = nil
	return build(changed, docs)
}

// Content returns the file after the first steps.
func (s *Series) Content(steps int) []byte {
	edits := make(map[int]edit, steps)
	for _, step := range s.steps[:steps] {
		for _, e := range step {
			edits[e.start] = e
		}
	}
	return s.splice(edits)
}

func (s *Series) splice(edits map[int]edit) []byte {
	inOrder := slices.SortedFunc(maps.Values(edits), func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	return splice(s.text, inOrder)
}
