package wire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"time"
)

// The bounds of what may be under way of a file, in bytes: more where acknowledgements come back quickly, the least where they do
// not, so that a heartbeat behind it never waits long.
const (
	minCredit = 32 << 10
	maxCredit = window
	quickAck  = 200 * time.Millisecond
	slowAck   = 500 * time.Millisecond
)

// Upload is the coordinator's side of the file stream. One upload at a time.
type Upload struct{ st *Stream }

// Send sends data in chunks and returns when the peer has all of it. With paced it leaves at least half of the way to others.
// progress is told how many bytes the peer has; nil: nobody wants to know. If ctx is over before the end the session is closed:
// half a file cannot be taken back.
func (u *Upload) Send(ctx context.Context, data []byte, paced bool, progress func(taken int)) error {
	s := u.st.s
	stop := context.AfterFunc(ctx, func() { s.Fail(fmt.Errorf("upload: %w", context.Cause(ctx))) })
	defer stop()
	type chunk struct {
		end  int
		sent time.Time
	}
	var (
		out         []chunk // sent and not acknowledged, in order
		sent, taken int
		credit      = minCredit
		began       time.Time // when the present burst was sent
	)
	for taken < len(data) {
		// Paced it goes in bursts of the least credit, each followed by a pause as long as it took.
		if paced && taken == sent {
			if !began.IsZero() {
				if err := sleep(s, time.Since(began)); err != nil {
					return err
				}
			}
			began = time.Now()
		}
		may := credit
		if paced && taken < sent {
			may = 0
		}
		for sent < len(data) && sent-taken < may {
			n := min(len(data)-sent, MaxFile)
			at := time.Now()
			if err := u.st.sendRaw(data[sent : sent+n]); err != nil {
				return err
			}
			sent += n
			out = append(out, chunk{sent, at})
		}
		var ack Ack
		if err := u.st.receive(&ack); err != nil {
			return err
		}
		if ack.Upto <= uint64(taken) || ack.Upto > uint64(sent) {
			err := fmt.Errorf("the peer acknowledges %d bytes of a file of which %d were sent and %d acknowledged", ack.Upto, sent, taken)
			s.Fail(err)
			return err
		}
		taken = int(ack.Upto)
		var took time.Duration
		for len(out) > 0 && out[0].end <= taken {
			took = time.Since(out[0].sent)
			out = out[1:]
		}
		switch {
		case paced:
		case took < quickAck:
			credit = min(credit+MaxFile, maxCredit)
		case took > slowAck:
			credit = max(credit/2, minCredit)
		}
		if progress != nil {
			progress(taken)
		}
	}
	return nil
}

// sleep waits for d, or for the end of the session.
func sleep(s *Session, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-s.Done():
		return s.Err()
	}
}

// Download is the peer's side of the file stream. One download at a time.
type Download struct{ st *Stream }

// Receive takes the file that p announces, and holds it to its checksum. It waits as long as the session lives.
func (d *Download) Receive(p Plan) ([]byte, error) {
	if p.Size < 0 || p.Size > MaxJob {
		return nil, fmt.Errorf("the job has %d bytes, and at most %d are taken", p.Size, MaxJob)
	}
	var data bytes.Buffer // grows with what comes, not with what was announced
	for int64(data.Len()) < p.Size {
		b, err := d.st.receiveRaw()
		if err != nil {
			return nil, err
		}
		if len(b) == 0 || int64(data.Len()+len(b)) > p.Size {
			err := fmt.Errorf("a chunk of %d bytes came for a file of which %d of %d bytes are here", len(b), data.Len(), p.Size)
			d.st.s.Fail(err)
			return nil, err
		}
		data.Write(b)
		if err := d.st.send(&Ack{Upto: uint64(data.Len())}); err != nil {
			return nil, err
		}
	}
	if sum := sha256.Sum256(data.Bytes()); sum != p.SHA256 {
		return nil, fmt.Errorf("the job arrived with the checksum %x, and %x was announced", sum, p.SHA256)
	}
	return data.Bytes(), nil
}
