package pdf

import (
	"math"
	"sort"
)

const (
	maxColumnDepth = 4
	// maxOrdered is how many segments are looked at for columns; no page made
	// to be read has more.
	maxOrdered = 5000
)

// readingOrder splits the segments of a page into regions, each to be read
// from top to bottom, in the order a reader takes them. A gutter, a vertical
// strip that no text crosses between two columns of prose, parts left from
// right; what crosses it (a title, a wide figure's caption) parts above from
// below. Columns of short cells are a table and stay together, row by row.
func readingOrder(segs []segment, depth int) [][]segment {
	if depth >= maxColumnDepth || len(segs) < 6 || len(segs) > maxOrdered {
		return [][]segment{segs}
	}
	for _, x := range gutters(segs) {
		if bands := splitAt(segs, x); bands != nil {
			var out [][]segment
			for _, b := range bands {
				if b.columns {
					out = append(out, readingOrder(b.left, depth+1)...)
					out = append(out, readingOrder(b.right, depth+1)...)
					continue
				}
				out = append(out, b.left)
			}
			return out
		}
	}
	return [][]segment{segs}
}

// gutters returns the middles of up to six vertical strips that few segments
// cross, the best first.
func gutters(segs []segment) []float64 {
	lo, hi, size := math.Inf(1), math.Inf(-1), 0.0
	for i := range segs {
		lo, hi = min(lo, segs[i].x0), max(hi, segs[i].x1)
		size += segs[i].size
	}
	size /= float64(len(segs))
	width := hi - lo
	if width < 12*size || math.IsNaN(width) {
		return nil
	}
	const bins = 256
	var cover [bins + 1]int // differences, then how many segments lie over a bin
	step := width / bins
	for i := range segs {
		from, to := int((segs[i].x0-lo)/step), int(math.Ceil((segs[i].x1-lo)/step))
		cover[min(max(from, 0), bins)]++
		cover[min(max(to, 0), bins)]--
	}
	for i := 1; i <= bins; i++ {
		cover[i] += cover[i-1]
	}
	type strip struct {
		x    float64
		cost int
	}
	var found []strip
	const edge = bins / 8
	for i := edge; i < bins-edge; {
		j := i
		for j+1 < bins-edge && cover[j+1] == cover[i] {
			j++
		}
		if cover[i] < cover[i-1] && cover[j+1] > cover[j] && cover[i]*3 < len(segs) {
			found = append(found, strip{x: lo + (float64(i+j)/2+0.5)*step, cost: cover[i]})
		}
		i = j + 1
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].cost < found[j].cost })
	var out []float64
	for _, s := range found[:min(len(found), 6)] {
		out = append(out, s.x)
	}
	return out
}

// band is a horizontal slice of a region: two columns, or one thing (left).
type band struct {
	left, right []segment
	columns     bool
}

// splitAt cuts a region at a gutter, or returns nil when no part of it is two
// columns of prose there.
func splitAt(segs []segment, x float64) []band {
	sorted := append([]segment(nil), segs...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].y > sorted[j].y })
	crosses := make([]bool, len(sorted))
	for i := range sorted {
		if sorted[i].x0 < x && sorted[i].x1 > x {
			crosses[i] = true
		}
	}
	spread := append([]bool(nil), crosses...)
	for i := range sorted { // a crossing line takes the rest of its row along
		if !crosses[i] {
			continue
		}
		for j := i - 1; j >= 0 && sorted[j].y-sorted[i].y < 0.3*sorted[i].size; j-- {
			spread[j] = true
		}
		for j := i + 1; j < len(sorted) && sorted[i].y-sorted[j].y < 0.3*sorted[i].size; j++ {
			spread[j] = true
		}
	}
	var bands []band
	found := false
	for i := 0; i < len(sorted); {
		j := i
		for j < len(sorted) && spread[j] == spread[i] {
			j++
		}
		b := band{left: sorted[i:j:j]}
		if !spread[i] {
			b = columnsOf(sorted[i:j], x)
		}
		found = found || b.columns
		if n := len(bands); n > 0 && !b.columns && !bands[n-1].columns {
			bands[n-1].left = append(bands[n-1].left, b.left...)
		} else {
			bands = append(bands, b)
		}
		i = j
	}
	if !found {
		return nil
	}
	return bands
}

// columnsOf parts the segments of a band that has no crossing line.
func columnsOf(segs []segment, x float64) band {
	var left, right []segment
	for _, s := range segs {
		if (s.x0+s.x1)/2 < x {
			left = append(left, s)
		} else {
			right = append(right, s)
		}
	}
	a, b := isProse(left), isProse(right)
	if a && b || (a || b) && len(left) >= 3 && len(right) >= 3 && !aligned(left, right) {
		return band{left: left, right: right, columns: true}
	}
	return band{left: segs}
}

// aligned reports whether most lines of the shorter column have a line of the
// other beside them, as the rows of a table do.
func aligned(left, right []segment) bool {
	if len(left) > len(right) {
		left, right = right, left
	}
	beside := 0
	for i := range left {
		for j := range right {
			if math.Abs(left[i].y-right[j].y) < 0.12*left[i].size {
				beside++
				break
			}
		}
	}
	return beside*2 > len(left)
}

// isProse reports whether segments look like lines of running text: at least
// three, long, and most of them as wide as their column.
func isProse(segs []segment) bool {
	if len(segs) < 3 {
		return false
	}
	lo, hi, chars := math.Inf(1), math.Inf(-1), 0
	for i := range segs {
		lo, hi = min(lo, segs[i].x0), max(hi, segs[i].x1)
		chars += segs[i].chars
	}
	rows, wide := 0, 0
	last := math.Inf(1)
	var covered float64
	ordered := append([]segment(nil), segs...)
	sort.SliceStable(ordered, func(i, j int) bool { return ordered[i].y > ordered[j].y })
	finish := func() {
		if rows > 0 && covered > 0.55*(hi-lo) {
			wide++
		}
		covered = 0
	}
	for i := range ordered {
		if last-ordered[i].y > 0.3*ordered[i].size {
			finish()
			rows++
			last = ordered[i].y
		}
		covered += ordered[i].x1 - ordered[i].x0
	}
	finish()
	return rows >= 3 && chars >= 16*rows && wide*2 >= rows
}
