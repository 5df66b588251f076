package operator

import (
	"context"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"
)

// readyPoll is how often Every looks for the end of the first listing.
const readyPoll = time.Second

// Every runs a pass over all Deployments at each interval, the first once they
// are listed, until ctx ends. What is unfinished when the next is due goes on
// and is joined by it. Intervals vary by a tenth, so that operators which were
// started together do not stay so.
func (o *Operator) Every(ctx context.Context, interval time.Duration) {
	for !o.source.Ready() {
		select {
		case <-time.After(readyPoll):
		case <-ctx.Done():
			return
		}
	}
	for ctx.Err() == nil {
		next, cancel := context.WithTimeout(ctx, interval*9/10+rand.N(interval/5))
		if _, err := o.Pass(next, o.List(ctx).Targets); err != nil {
			o.log.Warn("no pass", zap.Error(err))
		}
		<-next.Done()
		cancel()
	}
}
