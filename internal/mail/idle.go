package mail

import (
	"context"
	"slices"
	"sync"
	"time"
)

// idle are the connections that wait for a mail. Nothing is said on them meanwhile.
type idle struct {
	most int
	wait time.Duration

	mu          sync.Mutex
	connections []*connection // the one used last is the last
	closed      bool
	// leaving are the connections that are being ended aside of any mail. It grows only before closed is set.
	leaving sync.WaitGroup
}

func newIdle(most int, wait time.Duration) *idle { return &idle{most: most, wait: wait} }

// take gives the connection to this server that was used last, or nil. Those that were made with other settings are of no
// use any more and are ended.
func (i *idle) take(to server) *connection {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.connections = slices.DeleteFunc(i.connections, func(c *connection) bool {
		if c.server == to {
			return false
		}
		i.end(c)
		return true
	})
	if len(i.connections) == 0 {
		return nil
	}
	last := len(i.connections) - 1
	c := i.connections[last]
	i.connections = slices.Delete(i.connections, last, last+1)
	c.retire.Stop() // if it comes too late for that, it finds nothing
	return c
}

// put keeps c for a while, unless there are enough.
func (i *idle) put(c *connection) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed || len(i.connections) >= i.most {
		return false
	}
	i.connections = append(i.connections, c)
	c.retire = time.AfterFunc(i.wait, func() { i.expire(c) })
	return true
}

// expire ends c if it is idle still.
func (i *idle) expire(c *connection) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if at := slices.Index(i.connections, c); at >= 0 {
		i.connections = slices.Delete(i.connections, at, at+1)
		i.end(c)
	}
}

// leave ends a connection that was taken, without making the mail wait for it.
func (i *idle) leave(c *connection) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.end(c)
}

// end says goodbye on c; the lock is held.
func (i *idle) end(c *connection) {
	if c.retire != nil {
		c.retire.Stop()
	}
	if i.closed {
		c.hangUp() // nobody waits for leaving any more
		return
	}
	i.leaving.Go(func() { c.goodbye(context.Background()) })
}

// close ends all and waits until they are gone; none is kept from now on.
func (i *idle) close() {
	i.mu.Lock()
	for _, c := range i.connections {
		i.end(c)
	}
	i.connections, i.closed = nil, true
	i.mu.Unlock()
	i.leaving.Wait()
}
