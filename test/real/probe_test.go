package real

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"unroot/test/engine"
)

// httpOK asks for / and wants status 200 and a page that says something.
func httpOK(says string) asking {
	return func(ctx context.Context, c *engine.Container, port int) error {
		client := http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       c.Dial,
		}}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK || !strings.Contains(string(body), says) {
			return fmt.Errorf("GET / answered %s: %.200q, want 200 and %q", res.Status, body, says)
		}
		return nil
	}
}

// appKept wants a count above those of one container's life.
func appKept(ctx context.Context, c *engine.Container, _ int) error {
	count, err := c.Exec(ctx, "cat", "data/count")
	if err == nil && len(count) == 1 && count < "4" {
		err = fmt.Errorf("the request count is %s, want 4: two containers, each started twice", count)
	}
	return err
}

// redisWrites wants a PONG, and data that the server can write to its disk.
func redisWrites(ctx context.Context, c *engine.Container, port int) error {
	return redisSays(ctx, c, port, [][2]string{{"PING", "+PONG"}, {"INCR kept", ":"}, {"SAVE", "+OK"}})
}

// redisKept wants the count of two containers, each started twice.
func redisKept(ctx context.Context, c *engine.Container, port int) error {
	return redisSays(ctx, c, port, [][2]string{{"INCR kept", ":5"}})
}

func redisSays(ctx context.Context, c *engine.Container, port int, exchanges [][2]string) error {
	conn, err := c.Dial(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for _, exchange := range exchanges {
		if err := ask(conn, answers, exchange[0], exchange[1]); err != nil {
			return err
		}
	}
	return nil
}

// ask sends one line and wants a line that begins with the answer.
func ask(conn net.Conn, answers *bufio.Reader, command, want string) error {
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return err
	}
	got, err := answers.ReadString('\n')
	if err != nil {
		return err
	}
	if got = strings.TrimSpace(got); !strings.HasPrefix(got, want) {
		return fmt.Errorf("%s answered %q, want %q", command, got, want)
	}
	return nil
}

// postgresWrites asks as a client over TCP does, with the password, and writes a row.
func postgresWrites(ctx context.Context, c *engine.Container, port int) error {
	return postgresSays(ctx, c, port, "42", "create table if not exists kept (v int)",
		"insert into kept values (1)", "select 41 + 1")
}

// postgresKept wants the rows of two containers, each started twice.
func postgresKept(ctx context.Context, c *engine.Container, port int) error {
	return postgresSays(ctx, c, port, "4", "select count(*) from kept")
}

func postgresSays(ctx context.Context, c *engine.Container, port int, want string, sql ...string) error {
	url := fmt.Sprintf("postgresql://postgres:secret@127.0.0.1:%d/postgres", port)
	args := []string{"psql", url, "--no-psqlrc", "--tuples-only", "--no-align", "--quiet"}
	for _, command := range sql {
		args = append(args, "--command", command)
	}
	out, err := c.Exec(ctx, args...)
	if err == nil && strings.TrimSpace(out) != want {
		err = fmt.Errorf("%s answered %q, want %q", sql[len(sql)-1], out, want)
	}
	return err
}

// greets wants a server that speaks first to say something.
func greets(says string) asking {
	return func(ctx context.Context, c *engine.Container, port int) error {
		conn, err := c.Dial(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		b := make([]byte, 256)
		n, err := conn.Read(b)
		if err == nil && !strings.Contains(string(b[:n]), says) {
			err = fmt.Errorf("greets with %q, want %q", b[:n], says)
		}
		return err
	}
}

func connects(ctx context.Context, c *engine.Container, port int) error {
	conn, err := c.Dial(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		err = conn.Close()
	}
	return err
}

// answersHTTP wants any answer in HTTP: a proxy without a network has no better one.
func answersHTTP(ctx context.Context, c *engine.Container, port int) error {
	conn, err := c.Dial(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer conn.Close()
	return ask(conn, bufio.NewReader(conn), "GET http://127.0.0.1:9/ HTTP/1.0\r\n", "HTTP/1.1 ")
}

func memcachedAnswers(ctx context.Context, c *engine.Container, port int) error {
	conn, err := c.Dial(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer conn.Close()
	return ask(conn, bufio.NewReader(conn), "version", "VERSION ")
}
