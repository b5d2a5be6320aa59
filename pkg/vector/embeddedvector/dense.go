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

// dense returns the best chunks by cosine: an exact scan of the high planes,
// then an exact score for the best of them.
func (r *run) dense(ctx context.Context, depth int) ([]found, error) {
	q := newQuestion(r.query.Dense)
	blocks := make([]block, 0, r.chunks/blockRows+len(r.pieces))
	for i := range r.pieces {
		size := uint32(r.pieces[i].size())
		for from := uint32(0); from < size; from += blockRows {
			blocks = append(blocks, block{int32(i), from, min(from+blockRows, size)})
		}
	}
	candidates := r.scan(ctx, q, blocks, depth*rescoreFactor)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b := best{run: r, limit: depth}
	for _, f := range candidates {
		p := &r.pieces[f.piece]
		f.score = q.cosine(p.row(p.high, f.chunk), p.row(p.low, f.chunk), p.scales[f.chunk])
		b.offer(f)
	}
	return b.sorted(), nil
}

// scan returns the best rows of the blocks by coarse score, in no order.
func (r *run) scan(ctx context.Context, q question, blocks []block, limit int) []found {
	scanners := min(runtime.GOMAXPROCS(0), maxScanners, 1+r.chunks*len(q.steps)/parallelWork)
	if scanners == 1 {
		b := best{run: r, limit: limit}
		r.scratch.dots = zeroed(r.scratch.dots, blockRows)
		for _, at := range blocks {
			if ctx.Err() != nil {
				return nil
			}
			r.scanBlock(q, at, r.scratch.dots, &b)
		}
		return b.heap
	}
	var next atomic.Int64
	var wait sync.WaitGroup
	parts := make([]best, scanners)
	for i := range parts {
		parts[i] = best{run: r, limit: limit}
		wait.Go(func() {
			dots := make([]int32, blockRows)
			for at := next.Add(1) - 1; at < int64(len(blocks)) && ctx.Err() == nil; at = next.Add(1) - 1 {
				r.scanBlock(q, blocks[at], dots, &parts[i])
			}
		})
	}
	wait.Wait()
	for _, other := range parts[1:] {
		for _, f := range other.heap {
			parts[0].offer(f)
		}
	}
	return parts[0].heap
}

func (r *run) scanBlock(q question, at block, dots []int32, b *best) {
	p := &r.pieces[at.piece]
	dots = dots[:at.to-at.from]
	dotRows(q.steps, p.high[int(at.from)*p.stride:int(at.to)*p.stride], dots)
	floor := float32(b.floor())
	scales := p.scales[at.from:at.to]
	for i, dot := range dots {
		scale := scales[i]
		score := float32(dot) * scale * q.scale
		if score < floor || scale < 0 {
			continue
		}
		chunk := at.from + uint32(i)
		if !r.sees(p, p.owner[chunk]) {
			continue
		}
		b.offer(found{score: float64(score), piece: at.piece, chunk: chunk})
		floor = float32(b.floor())
	}
}
