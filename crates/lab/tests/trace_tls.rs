//! `lab trace` with TLS and HTTP/2: a server with a certificate of its own, and nginx where there is
//! one.

#[path = "../../transport/tests/common/tls.rs"]
mod tls;
#[path = "program/tshark.rs"]
mod tshark;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};
use tls::{Authority, Server};
use transport::Trust;
use tshark::tshark;

/// Runs `lab trace` with `arguments`, and the file of whom to trust.
async fn trace(arguments: &str, trusts: Option<&Authority>) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_lab"));
    command.arg("trace").args(arguments.split_whitespace()).stdin(Stdio::null());
    let file = trusts.map(pem);
    if let Some(file) = &file {
        command.arg("--cacert").arg(file.path());
    }
    command.output().await.unwrap()
}

fn pem(authority: &Authority) -> NamedTempFile {
    let Trust::Pem(pem) = authority.trust() else { panic!("no certificate") };
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&pem).unwrap();
    file
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn json(arguments: &str, trusts: Option<&Authority>) -> (Value, i32) {
    let output = trace(&format!("{arguments} --format json"), trusts).await;
    let value = serde_json::from_slice(&output.stdout);
    let value = value.unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    (value, output.status.code().unwrap())
}

fn moments(exchange: &Value) -> Vec<&str> {
    let events = exchange["events"].as_array().unwrap();
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

fn handshake(exchange: &Value) -> &Value {
    let events = exchange["events"].as_array().unwrap();
    events.iter().find(|event| event["event"] == "TLSHandshakeDone").unwrap()
}

#[tokio::test]
async fn reuse_saves_the_handshake_too() {
    let authority = Authority::new();
    let server = Server::start(authority.signs_localhost(&["http/1.1"]), Duration::ZERO).await;
    let (session, code) = json(&server.url(), Some(&authority)).await;
    assert_eq!(code, 0, "{session:#}");
    let [first, second] = &session["exchanges"].as_array().unwrap()[..] else { panic!("two") };
    let reuse = &session["reuse"];
    assert!(reuse["tls_us"].as_u64().unwrap() > 0, "{reuse:#}");
    assert_eq!(reuse["saved_us"].as_u64(), {
        let of = |phase: &str| first["phases"][phase].as_u64().unwrap();
        // Each is cut to whole microseconds.
        let sum = of("dns_us") + of("connect_us") + of("tls_us");
        let saved = reuse["saved_us"].as_u64().unwrap();
        assert!((sum..sum + 3).contains(&saved), "{saved} {sum}");
        Some(saved)
    });
    assert_eq!(second["connection"], 1);
    let done = handshake(first);
    assert_eq!((&done["version"], &done["alpn"]), (&"TLSv1.3".into(), &"http/1.1".into()));
    assert_eq!(done["certificates"][0]["subject"], "CN=Test Server");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn http2_carries_both_requests_on_one_connection_and_says_what_it_hides() {
    let authority = Authority::new();
    let config = authority.signs_localhost(&["h2", "http/1.1"]);
    let server = Server::start(config, Duration::ZERO).await;
    let report = text(&trace(&server.url(), Some(&authority)).await.stdout);
    for line in
        [" h2 ", "HTTP/2 200 on #1, 11 B read", "hyper does not tell", "Reuse saved request 2"]
    {
        assert!(report.contains(line), "{line}\n{report}");
    }
    let (session, code) = json(&format!("{} --http1", server.url()), Some(&authority)).await;
    assert_eq!((code, &session["exchanges"][0]["version"]), (0, &"HTTP/1.1".into()));
    let (session, code) = json(&format!("{} --http2", server.url()), Some(&authority)).await;
    assert_eq!((code, &session["exchanges"][1]["version"]), (0, &"HTTP/2".into()));
    assert_eq!(session["exchanges"][1]["connection"], 1);
    assert!(!moments(&session["exchanges"][0]).contains(&"WroteHeaders"));
}

#[tokio::test]
async fn a_certificate_that_does_not_do_is_named_with_the_reason() {
    let authority = Authority::new();
    let stranger = Authority::named("Nobody's Friend");
    let cases = [
        (authority.signs(&["other.example"], 2097, &[]), &authority, "other.example"),
        (authority.signs(&["localhost"], 2021, &[]), &authority, "expired"),
        (authority.signs(&["localhost"], 2097, &[]), &stranger, "nobody who is trusted"),
    ];
    for (config, trusted, expected) in cases {
        let server = Server::start(config, Duration::ZERO).await;
        let url = server.url();
        let (session, code) = json(&format!("{url} --requests 1"), Some(trusted)).await;
        let exchange = &session["exchanges"][0];
        let error = exchange["error"].as_str().unwrap();
        assert_eq!(code, 1);
        assert!(error.contains(expected) && error.contains("localhost"), "{error}");
        let raw = error.contains(['{', '(', '"']) || error.contains("::");
        assert!(!raw, "no words for people: {error}");
        assert_eq!(moments(exchange).last(), Some(&"TLSHandshakeDone"), "{exchange:#}");
        assert!(exchange["phases"]["tls_us"].is_u64());
        // Whoever does not look sees nothing wrong, and is told that nobody looked.
        let output = trace(&format!("{url} --requests 1 --insecure"), None).await;
        let report = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{report}");
        assert!(report.contains("NOT CHECKED"), "{report}");
        assert!(report.contains("--insecure: nobody has checked who the server is."), "{report}");
    }
}

#[tokio::test]
async fn https_to_a_server_without_tls_fails_in_the_handshake() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = server::Server::bind(any, server::Answer::default()).unwrap().start();
    let url = format!("https://{}/ --requests 1 --insecure", server.address());
    let (session, code) = json(&url, None).await;
    let error = session["exchanges"][0]["error"].as_str().unwrap();
    assert_eq!((code, moments(&session["exchanges"][0]).last()), (1, Some(&"TLSHandshakeDone")));
    assert!(error.contains("TLS"), "{error}");
}

/// nginx with a certificate, for as long as the test runs.
struct Nginx {
    process: Child,
    port: u16,
    _place: TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Nginx {
    /// `None`, said aloud, if the machine has none.
    fn start(authority: &Authority) -> Option<Self> {
        if Command::new("nginx").arg("-v").output().is_err() {
            eprintln!("SKIPPED: this machine has no nginx");
            return None;
        }
        let place = TempDir::new().unwrap();
        let at = |name: &str| place.path().join(name).display().to_string();
        let (certificate, key) = authority.signs_pem(&["localhost"]);
        std::fs::write(at("certificate.pem"), certificate).unwrap();
        std::fs::write(at("key.pem"), key).unwrap();
        // Whoever takes the port in between makes nginx end at once, which is seen below.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "daemon off; master_process off; pid {pid}; error_log stderr;\n             events {{}}\n             http {{ access_log off;\n               client_body_temp_path {body}; proxy_temp_path {body}; fastcgi_temp_path {body};\n               uwsgi_temp_path {body}; scgi_temp_path {body};\n               server {{ listen 127.0.0.1:{port} ssl http2;\n                 ssl_certificate {certificate}; ssl_certificate_key {key};\n                 location / {{ return 200 'Hello world'; }} }} }}\n",
            pid = at("pid"),
            body = at("body"),
            certificate = at("certificate.pem"),
            key = at("key.pem"),
        );
        std::fs::write(at("nginx.conf"), config).unwrap();
        let process = Command::new("nginx")
            .args(["-c", &at("nginx.conf"), "-p", &at(""), "-e", "stderr"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut nginx = Self { process, port, _place: place };
        for _ in 0..2_000 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(nginx);
            }
            assert!(nginx.process.try_wait().unwrap().is_none(), "nginx does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("nginx does not listen");
    }
}

#[tokio::test]
async fn nginx_is_traced_in_both_versions_of_http() {
    let authority = Authority::new();
    let Some(nginx) = Nginx::start(&authority) else { return };
    for (flag, version) in [("--http1", "HTTP/1.1"), ("", "HTTP/2")] {
        let url = format!("https://localhost:{}/ {flag}", nginx.port);
        let (session, code) = json(&url, Some(&authority)).await;
        assert_eq!(code, 0, "{session:#}");
        for exchange in session["exchanges"].as_array().unwrap() {
            assert_eq!(exchange["version"], version);
            assert_eq!((&exchange["connection"], &exchange["body_bytes"]), (&1.into(), &11.into()));
        }
        assert!(session["reuse"]["saved_us"].is_u64());
    }
}

/// A file of the packets of two requests to `server`, and what was said of it; `None`, said aloud, where
/// packets cannot be heard.
async fn capture(
    server: &Server,
    authority: &Authority,
    flags: &str,
    directory: &TempDir,
) -> Option<(String, String)> {
    let file = directory.path().join("trace.pcapng").display().to_string();
    let arguments = format!("{} --pcap {file} --force {flags}", server.url());
    let output = trace(&arguments, Some(authority)).await;
    let words = text(&output.stderr);
    if words.contains("nothing was heard") {
        eprintln!("SKIPPED: {words}");
        return None;
    }
    assert_eq!(output.status.code(), Some(0), "{words}");
    Some((file, words))
}

#[tokio::test]
async fn a_file_of_https_opens_decrypted() {
    let (authority, directory) = (Authority::new(), TempDir::new().unwrap());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let config = authority.signs_localhost_in(version, &["h2", "http/1.1"]);
        let server = Server::start(config, Duration::ZERO).await;
        for (flag, filter, field) in [
            ("--http1", "http.request", "http.request.method"),
            ("--http2", "http2.headers.method", "http2.headers.method"),
        ] {
            let Some((file, words)) = capture(&server, &authority, flag, &directory).await else {
                return;
            };
            assert!(words.contains("with the keys of their TLS"), "{words}");
            let shown = ["-Y", filter, "-T", "fields", "-e", field];
            let Some(requests) = tshark(&file, &shown) else { return };
            assert_eq!(requests, "GET\nGET\n", "{version:?} {flag}");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_with_keys_is_for_its_owner_alone_and_without_them_opens_encrypted() {
    use std::os::unix::fs::PermissionsExt;

    let (authority, directory) = (Authority::new(), TempDir::new().unwrap());
    let server = Server::start(authority.signs_localhost(&["http/1.1"]), Duration::ZERO).await;
    let Some((file, _)) = capture(&server, &authority, "", &directory).await else { return };
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let has_keys = |bytes: &[u8]| bytes.windows(21).any(|it| it == b"CLIENT_TRAFFIC_SECRET");
    assert!(has_keys(&std::fs::read(&file).unwrap()));
    let Some((file, words)) = capture(&server, &authority, "--no-keys", &directory).await else {
        return;
    };
    assert!(!words.contains("keys"), "{words}");
    assert!(!has_keys(&std::fs::read(&file).unwrap()));
    let Some(requests) = tshark(&file, &["-Y", "http"]) else { return };
    assert_eq!(requests, "");
}

#[tokio::test]
async fn a_file_has_no_keys_of_connections_that_are_not_in_it() {
    let (authority, directory) = (Authority::new(), TempDir::new().unwrap());
    let config = || authority.signs_localhost(&["http/1.1"]);
    let heard = Server::start(config(), Duration::ZERO).await;
    let other = Server::start(config(), Duration::ZERO).await;
    let Some((file, _)) = capture(&heard, &authority, &other.url(), &directory).await else {
        return;
    };
    let bytes = std::fs::read(file).unwrap();
    let label = b"CLIENT_TRAFFIC_SECRET_0";
    let connections = bytes.windows(label.len()).filter(|it| it == label).count();
    assert_eq!((connections, other.accepted()), (1, 1));
}
