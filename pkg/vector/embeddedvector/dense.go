package embeddedvector

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// blockRows is how many rows one call of the kernel scans.
	blockRows = 512
	// parallelWork is how many components make a second core worth its start.
	parallelWork = 4 << 20
	// maxScanners bounds the goroutines of one search, for others search too.
	maxScanners = 8
	// rescoreFactor times the depth are scored exactly after the coarse scan,
	// whose error is far smaller than the distance between those ranks.
	rescoreFactor = 2
)

// block is a run of rows of a piece.
type block struct {
	piece    int32
	from, to uint32
}

// dense returns the best chunks by cosine, in no order: an exact scan of the
// high planes, then an exact score for the best of them.
func (r *run) dense(ctx context.Context, depth int) (*best, error) {
	r.blocks = r.blocks[:0]
	for i := range r.pieces {
		size := uint32(r.pieces[i].size())
		for from := uint32(0); from < size; from += blockRows {
			r.blocks = append(r.blocks, block{int32(i), from, min(from+blockRows, size)})
		}
	}
	candidates := r.scan(ctx, depth*rescoreFactor)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b := &r.denseLeg
	b.start(r, depth)
	for _, f := range candidates {
		f.score = r.cosine(f)
		b.offer(f)
	}
	return b, nil
}

// cosine scores a chunk that has a vector and was scanned, exactly.
func (r *run) cosine(f found) float64 {
	p := &r.pieces[f.piece]
	return r.question.refine(p.dots[f.chunk], p.row(p.low, f.chunk), p.scales[f.chunk])
}

// scan returns the best rows of the blocks by coarse score, in no order.
func (r *run) scan(ctx context.Context, limit int) []found {
	count := min(runtime.GOMAXPROCS(0), maxScanners, 1+r.chunks*len(r.question.steps)/parallelWork)
	for len(r.scanners) < count {
		r.scanners = append(r.scanners, new(best))
	}
	scanners := r.scanners[:count]
	for _, s := range scanners {
		s.start(r, limit)
	}
	if count == 1 {
		for _, at := range r.blocks {
			if ctx.Err() != nil {
				return nil
			}
			r.scanBlock(scanners[0], at)
		}
		return scanners[0].result()
	}
	var next atomic.Int64
	var wait sync.WaitGroup
	for _, s := range scanners {
		wait.Go(func() {
			for at := next.Add(1) - 1; at < int64(len(r.blocks)) && ctx.Err() == nil; at = next.Add(1) - 1 {
				r.scanBlock(s, r.blocks[at])
			}
		})
	}
	wait.Wait()
	all := scanners[0]
	for _, other := range scanners[1:] {
		for _, f := range other.result() {
			all.offer(f)
		}
	}
	return all.result()
}

func (r *run) scanBlock(s *best, at block) {
	p := &r.pieces[at.piece]
	dots := p.dots[at.from:at.to]
	dotRows(r.question.steps, p.high[int(at.from)*p.stride:int(at.to)*p.stride], dots)
	floor := float32(s.floor())
	scales := p.scales[at.from:at.to]
	for i, dot := range dots {
		scale := scales[i]
		score := float32(dot) * scale * r.question.scale
		if score < floor || scale < 0 {
			continue
		}
		chunk := at.from + uint32(i)
		if !r.sees(p, p.owner[chunk]) {
			continue
		}
		if s.offer(found{score: float64(score), piece: at.piece, chunk: chunk}) {
			floor = float32(s.floor())
		}
	}
}
