package engine

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"lt/engine/scenario"
	"lt/peer/lab"
)

// freePort is a port of loopback that nobody uses now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// place is what a server's configuration may refer to.
type place struct {
	dir           string // with file.bin below www
	plain, secure int    // ports
}

const fileSize = 100_000

// noise is letters that do not come again and again, so that they compress as text does.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(r.IntN(26))
	}
	return b
}

// foreign is a server that someone else wrote.
type foreign struct {
	program string
	config  func(p place) string
	args    func(file string) []string
	file    bool // serves file.bin
	secure  bool // has a port with TLS
}

var foreigners = []foreign{
	{
		program: "nginx", file: true, secure: true,
		config: func(p place) string {
			return fmt.Sprintf(`daemon off; master_process off; pid %[1]s/nginx.pid; error_log stderr error;
events { worker_connections 256; }
http {
  access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  server {
    listen 127.0.0.1:%[2]d; listen 127.0.0.1:%[3]d ssl; ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem;
    root %[1]s/www;
    location = / { return 200 "ok"; }
  }
}`, p.dir, p.plain, p.secure)
		},
		args: func(file string) []string { return []string{"-c", file, "-e", "stderr"} },
	},
	{
		program: "apache2", file: true,
		config: func(p place) string {
			return fmt.Sprintf(`ServerRoot %[1]s
ServerName localhost
Listen 127.0.0.1:%[2]d
PidFile %[1]s/apache.pid
ErrorLog /dev/stderr
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
DirectoryIndex index.html
MaxKeepAliveRequests 0
User nobody
Group nogroup
DocumentRoot %[1]s/www
`, p.dir, p.plain)
		},
		args: func(file string) []string { return []string{"-DFOREGROUND", "-f", file} },
	},
	{
		program: "haproxy",
		config: func(p place) string {
			return fmt.Sprintf(`global
  maxconn 256
defaults
  mode http
  timeout client 10s
  timeout http-keep-alive 10s
frontend f
  bind 127.0.0.1:%d
  http-request return status 200 content-type text/plain string ok
`, p.plain)
		},
		args: func(file string) []string { return []string{"-db", "-f", file} },
	},
	{
		program: "caddy", file: true,
		config: func(p place) string {
			return fmt.Sprintf("{\n admin off\n auto_https off\n}\nhttp://127.0.0.1:%d {\n root * %s/www\n file_server\n respond / ok\n encode gzip\n}\n", p.plain, p.dir)
		},
		args: func(file string) []string { return []string{"run", "--adapter", "caddyfile", "--config", file} },
	},
}

// launch starts a server and returns when it accepts connections; it is gone at the end of the test.
func launch(t *testing.T, f foreign) place {
	t.Helper()
	program := lab.Program(t, f.program)
	p := place{dir: t.TempDir(), plain: freePort(t), secure: freePort(t)}
	// A server that is started as root gives its rights up and must find its files all the same.
	for _, dir := range []string{filepath.Dir(p.dir), p.dir} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cert := certificate(t, "127.0.0.1", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(p.dir, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"config":   []byte(f.config(p)), "www/file.bin": noise(fileSize), "www/index.html": []byte("ok"),
	} {
		if err := os.WriteFile(filepath.Join(p.dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, f.args(filepath.Join(p.dir, "config"))...)
	cmd.Env = append(os.Environ(), "HOME="+p.dir, "XDG_CONFIG_HOME="+p.dir, "XDG_DATA_HOME="+p.dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("%s said: %s", f.program, said.Bytes())
		}
	})
	give := time.After(10 * time.Second)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.plain))
		if err == nil {
			c.Close()
			return p
		}
		select {
		case <-ended:
			t.Fatalf("%s ended before it served: %s", f.program, said.Bytes())
		case <-give:
			t.Fatalf("%s does not serve: %v", f.program, err)
		case <-again.C:
		}
	}
}

// Servers that others wrote are spoken to without an error, over as many connections as there are users.
func TestForeignServers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers")
	}
	for _, f := range foreigners {
		t.Run(f.program, func(t *testing.T) {
			p := launch(t, f)
			targets := []string{fmt.Sprintf("http://127.0.0.1:%d", p.plain)}
			if f.secure {
				targets = append(targets, fmt.Sprintf("https://127.0.0.1:%d", p.secure))
			}
			for _, target := range targets {
				both(t, func(t *testing.T, poller option) {
					spec := closed(8, 20*time.Second)
					spec.Iterations = 160
					file := get(spec, "/", "/", "/missing")
					file.Target = target
					steps := file.Scenarios[0].Steps
					steps[1].Method = "HEAD"
					if f.file {
						steps[2].Check.Status = []scenario.StatusRange{{From: 404, To: 404}}
						h := steps[0].HTTP
						steps = append(steps, &scenario.Step{
							Name: "file", Method: "GET", URL: "/file.bin", HTTP: h,
							Check: scenario.Check{Size: &scenario.Compare{Op: "=", Value: fmt.Sprint(fileSize)}, Matches: []string{"^[a-z]{1000}"}},
						})
						if f.program == "caddy" {
							squeezed := *steps[3]
							squeezed.Name, squeezed.Headers = "compressed", []scenario.Pair{{Name: "Accept-Encoding", Value: "gzip"}}
							steps = append(steps, &squeezed)
						}
						file.Scenarios[0].Steps = steps
					}
					for _, st := range steps {
						st.HTTP.TLS.Insecure = true
					}
					o := play(t, file, nil, poller)
					if want := uint64(160 * len(steps)); o.requests != want || o.failed > 0 {
						t.Errorf("%d requests, %d iterations failed: %+v; want %d and none", o.requests, o.failed, o.firstError(), want)
					}
					if o.opened != 8 || o.stale > 0 {
						t.Errorf("%d connections, %d stale; want one a user", o.opened, o.stale)
					}
				})
			}
		})
	}
}
