// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// fate kills operators, one after the other, and takes the mail server down, at moments that chance chooses: any, and
// more often those after which a mail may have to be sent again.
type fate struct {
	t     *testing.T
	lab   *lab
	mails *mailServer
	flags []string // of the operators

	mu       sync.Mutex
	random   *rand.Rand
	operator *process    // nil when it is dead
	lives    []time.Time // when each operator began
	kill     *blow
	downs    []*blow // the first is next
	restarts int
	counts   map[stage]int // kills
}

// stage is how far a mail has come.
type stage string

const (
	anytime  stage = "at any time"
	named    stage = "mail begun"
	received stage = "mail received"
	answered stage = "mail answered"
)

// blow is one that falls when so many more mails have come so far.
type blow struct {
	at    stage
	after int
	fall  func()
}

// moment is what the mail server calls at a stage.
func (f *fate) moment(at stage) func() {
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.downs) > 0 && f.downs[0].hit(at) {
			fall := f.downs[0].fall
			f.downs = f.downs[1:]
			fall()
		}
		if f.kill != nil && f.kill.hit(at) {
			f.kill.fall()
		}
	}
}

func (b *blow) hit(at stage) bool {
	if at != b.at && (at != received || b.at != anytime) {
		return false
	}
	b.after--
	return b.after == 0
}

// run starts operators and kills them, so often that it is spread over so many mails.
func (f *fate) run(mails, kills, restarts int) {
	f.mu.Lock()
	f.counts = map[stage]int{}
	f.planRestarts(mails, restarts)
	f.mu.Unlock()
	for left := kills; left > 0; left-- {
		f.born()
		p, err := f.lab.launch(0, f.mails.address, f.flags...)
		if err != nil {
			f.t.Error(err)
			return
		}
		select {
		case <-p.exited:
		case <-time.After(f.planKill(p, max(1, (mails-len(f.mails.distinct()))/left))):
			f.killAt(p, anytime)
		}
		if f.killAt(p, anytime) {
			f.t.Errorf("the operator ended by itself: %v\n%s", p.exit, p.said())
		}
	}
}

// born notes that another operator begins.
func (f *fate) born() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lives = append(f.lives, time.Now())
}

// planKill chooses when an operator dies, after about so many mails, and says when it does so at the latest.
func (f *fate) planKill(p *process, mails int) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.operator = p
	b := &blow{after: 1 + f.random.IntN(mails*3/2)}
	f.kill = b
	switch f.random.IntN(10) {
	case 0: // as it starts, or soon after
		f.kill = nil
		return f.upTo(1500 * time.Millisecond)
	case 1, 2:
		wait := f.upTo(100 * time.Millisecond)
		b.at, b.fall = anytime, func() { time.AfterFunc(wait, func() { f.killAt(p, anytime) }) }
	case 3:
		b.at, b.fall = named, func() { f.killNow(p, named) }
	case 4, 5, 6:
		b.at, b.fall = received, func() { f.killNow(p, received) }
	default:
		b.at, b.fall = answered, func() { f.killNow(p, answered) }
	}
	return 5 * time.Second // so many mails may not be left
}

// upTo is some while.
func (f *fate) upTo(longest time.Duration) time.Duration {
	return time.Duration(f.random.Int64N(int64(longest)))
}

// killAt kills an operator and says whether it was still to be killed.
func (f *fate) killAt(p *process, at stage) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.killNow(p, at)
}

func (f *fate) killNow(p *process, at stage) bool {
	if f.operator != p {
		return false
	}
	f.operator, f.kill = nil, nil
	f.counts[at]++
	p.kill()
	return true
}

// planRestarts chooses when the mail server goes down. It does so before the last quarter of the mails, since one that met it
// may wait for half a minute.
func (f *fate) planRestarts(mails, restarts int) {
	stages := slices.Repeat([]stage{received, named, anytime}, (restarts+2)/3)[:restarts]
	f.random.Shuffle(restarts, func(i, j int) { stages[i], stages[j] = stages[j], stages[i] })
	apart := mails / 2 / restarts
	for _, at := range stages {
		wait, away, then := f.upTo(100*time.Millisecond), f.upTo(800*time.Millisecond), f.upTo(2*time.Second)
		b := &blow{at: at, after: apart/2 + f.random.IntN(apart), fall: func() { f.restart(away, then) }}
		if at == anytime {
			b.fall = func() { time.AfterFunc(wait, func() { f.restart(away, then) }) }
		}
		f.downs = append(f.downs, b)
	}
}

// restart takes the mail server down for a while. The operator, which may take ten seconds to find that it is back, dies
// when it has been back for another while.
func (f *fate) restart(away, then time.Duration) {
	f.mails.goDown()
	time.AfterFunc(away, func() {
		if err := f.mails.comeUp(); err != nil {
			f.t.Errorf("the mail server does not come back: %v", err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.restarts++
		if p := f.operator; p != nil {
			time.AfterFunc(then, func() { f.killAt(p, anytime) })
		}
	})
}

// checkRestarts fails until the mail server was taken down so often and is back.
func (f *fate) checkRestarts(restarts int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return atLeast(restarts, f.restarts)
}
