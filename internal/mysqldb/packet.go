package mysqldb

import (
	"context"
	"database/sql"
	"errors"
)

// Packet is some statements that are sent together and answered together: one round trip instead of one for each. The server
// runs them in their order, up to the first that fails, and every one is answered for itself. It takes a connection with
// Config.Packets, and is used again after Run.
//
// Statements that change rows are followed by SELECT ROW_COUNT(): the driver keeps the counts of a packet to itself when one
// of its statements has a result, and forgets them all when one of them fails.
type Packet struct {
	most    int // bytes of one packet
	text    []byte
	answers []answer
}

// answer is what is done with what a statement gives. All before the last one have come by without an error when it is called.
type answer struct {
	read   func(rows *sql.Rows) error // of its result; an error is Run's
	failed func(err error) error      // what the statement's own error means
}

// Packet makes an empty packet for one of the server's connections.
func (s *Server) Packet() *Packet {
	const header = 1 << 10 // more than what stands around the text
	return &Packet{most: s.MaxPacket() - header}
}

// Len is how many bytes the statements have that wait to be sent.
func (p *Packet) Len() int { return len(p.text) }

// Fits tells whether a further statement of so many bytes goes into the packet. One that does not fit into an empty one
// (see Holds) is to be sent without it.
func (p *Packet) Fits(bytes int) bool { return len(p.text)+bytes <= p.most }

// Holds tells whether a statement of so many bytes goes into an empty packet: the server may take one without a packet
// around it that is a little larger.
func (p *Packet) Holds(bytes int) bool { return bytes <= p.most }

// Do adds a statement that is not asked for what it did. Its error is the next one's.
func (p *Packet) Do(statement string) {
	p.text = append(append(p.text, statement...), ';')
}

// Exec adds a statement that changes rows. matched hears how many rows it has matched (as RowsAffected does), and failed what
// error it gave: what they return is Run's error.
func (p *Packet) Exec(statement []byte, matched func(n int64) error, failed func(err error) error) {
	p.text = append(append(p.text, statement...), ";SELECT ROW_COUNT();"...)
	p.answers = append(p.answers, answer{failed: failed, read: func(rows *sql.Rows) error {
		var n int64
		if !rows.Next() {
			return failed(errors.Join(errNoAnswer, rows.Err()))
		}
		if err := rows.Scan(&n); err != nil {
			return failed(err)
		}
		return matched(n)
	}})
}

// Query adds a statement with a result: read has to read it to its end, Err included.
func (p *Packet) Query(statement []byte, read func(rows *sql.Rows) error, failed func(err error) error) {
	p.text = append(append(p.text, statement...), ';')
	p.answers = append(p.answers, answer{read: read, failed: failed})
}

// Coordinates adds the question of Server.Coordinates. Asked behind statements that lock rows, the answer is from a time at
// which all of these locks are held.
func (p *Packet) Coordinates(s *Server, into *Coordinates) {
	p.Query([]byte(s.statusQuery), func(rows *sql.Rows) (err error) {
		*into, err = s.readCoordinates(rows)
		return err
	}, s.noCoordinates)
}

var errNoAnswer = errors.New("a statement of a packet was not answered")

// Run sends what was added, in one packet, and hands the answers out in the order of the statements. The first error ends
// it: that of a callback, or of the server, as the callback of the statement that failed turns it. After a callback's error the
// statements behind it have run all the same; whoever has errors must roll back.
func (p *Packet) Run(ctx context.Context, q Queryer) (err error) {
	if len(p.text) == 0 {
		return nil
	}
	text, answers := string(p.text), p.answers
	p.text, p.answers = p.text[:0], nil
	rows, err := q.QueryContext(ctx, text)
	if err != nil {
		if len(answers) == 0 {
			return err
		}
		return answers[0].failed(err)
	}
	defer func() { _ = rows.Close() }() // what ended it counts; a connection that breaks while it is read out is of no more use
	for i := range answers {
		if i > 0 && !rows.NextResultSet() {
			return answers[i].failed(lastError(rows))
		}
		if err := answers[i].read(rows); err != nil {
			return err
		}
	}
	for rows.NextResultSet() { // of statements that are not asked
	}
	return rows.Err()
}

func lastError(rows *sql.Rows) error {
	if err := rows.Err(); err != nil {
		return err
	}
	return errNoAnswer
}
