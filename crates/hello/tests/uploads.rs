//! Uploads: kept, counted, refused, abandoned.
mod common;
#[path = "common/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::{Client, Response, Site, answer, bind_with_uploads, until};
use hello::{UploadProgress, UploadState, Uploads};
use serde_json::{Value, json};

/// A directory of a test's own; removed with all that is in it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("uploads-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

type Told = Arc<Mutex<Vec<UploadProgress>>>;

fn site(uploads: Uploads) -> (Site, Told) {
    let told = Told::default();
    let ear = Arc::clone(&told);
    let uploads = uploads.progress_told_to(move |progress| ear.lock().unwrap().push(progress));
    (Site::of(bind_with_uploads(uploads)), told)
}

fn keeping(directory: &Directory) -> Uploads {
    Uploads::default().kept_in(directory.0.clone())
}

fn head(content_type: &str, framing: &str) -> String {
    format!(
        "POST /upload HTTP/1.1\r\nHost: hello\r\nContent-Type: {content_type}\r\n{framing}\r\n\r\n"
    )
}

fn upload(client: &mut Client, content_type: &str, body: &str) -> Response {
    client.send(&head(content_type, &format!("Content-Length: {}", body.len())));
    client.send(body);
    client.response()
}

fn parsed(response: &Response) -> Value {
    assert_eq!(response.header("content-type"), Some("application/json"), "{}", response.text());
    serde_json::from_str(response.text()).unwrap()
}

const FORM: &str = "multipart/form-data; boundary=XX";

fn part(disposition: &str, content: &str) -> String {
    format!("--XX\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
}

#[test]
fn a_raw_body_is_kept_under_a_name_of_the_servers_own() {
    let directory = Directory::new();
    let (site, told) = site(keeping(&directory));
    let mut client = site.connect();
    let content = "0123456789".repeat(30_000);
    let response = upload(&mut client, "application/octet-stream", &content);
    assert_eq!(response.status, 201);
    let report = parsed(&response);
    let [file] = &directory.files()[..] else { panic!("{:?}", directory.files()) };
    assert_eq!(fs::read_to_string(file).unwrap(), content);
    assert_eq!(
        report,
        json!({"body_bytes": 300_000, "parts": [{
            "field": null, "part_bytes": 300_000, "client_file_name": null,
            "stored_as": file.file_name().unwrap().to_str().unwrap(),
        }]})
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let told = told.lock().unwrap();
    let last = UploadProgress {
        upload: 1,
        received_bytes: 300_000,
        announced_bytes: Some(300_000),
        state: UploadState::Complete,
    };
    assert_eq!(told.last(), Some(&last));
    assert!(told.len() > 1 && told.is_sorted_by_key(|told| told.received_bytes), "{told:?}");
    drop(told);
    assert_eq!(client.get("/").text(), "Hello world");
}

#[test]
fn a_form_is_taken_apart_and_its_files_lie_in_the_directory_whatever_they_are_called() {
    let directory = Directory::new();
    let (site, _) = site(keeping(&directory));
    let body = [
        part("name=\"note\"", "a word"),
        part("name=\"up\"; filename=\"../../etc/passwd\"", "root\r\n--X\r\n"),
        part("name=\"abs\"; filename=\"/etc/shadow\"", "shadow"),
        "--XX--\r\n".into(),
    ]
    .concat();
    let mut client = site.connect();
    let response = upload(&mut client, FORM, &body);
    assert_eq!(response.status, 201, "{}", response.text());
    let report = parsed(&response);
    assert_eq!(report["body_bytes"], body.len());
    let parts = report["parts"].as_array().unwrap();
    let shown: Vec<_> = parts
        .iter()
        .map(|part| {
            (part["field"].as_str(), part["part_bytes"].as_u64(), part["client_file_name"].as_str())
        })
        .collect();
    assert_eq!(
        shown,
        [
            (Some("note"), Some(6), None),
            (Some("up"), Some(11), Some("passwd")),
            (Some("abs"), Some(6), Some("shadow")),
        ]
    );
    assert_eq!(parts[0]["stored_as"], Value::Null, "a word is no file");
    let stored = |n: usize| directory.0.join(parts[n]["stored_as"].as_str().unwrap());
    assert_eq!(fs::read_to_string(stored(1)).unwrap(), "root\r\n--X\r\n");
    assert_eq!(fs::read_to_string(stored(2)).unwrap(), "shadow");
    assert_eq!(directory.files().len(), 2);
    assert!(!Path::new(env!("CARGO_TARGET_TMPDIR")).join("etc").exists());
    assert_eq!(client.get("/").text(), "Hello world");
}

#[test]
fn without_a_directory_an_upload_is_counted_only() {
    let (site, _) = site(Uploads::default());
    let mut client = site.connect();
    let body = [part("name=\"f\"; filename=\"a.txt\"", "abc"), "--XX--".into()].concat();
    let response = upload(&mut client, FORM, &body);
    let report = parsed(&response);
    assert_eq!((response.status, &report["parts"][0]["stored_as"]), (200, &Value::Null));
    assert_eq!(report["parts"][0]["part_bytes"], 3);
    client.send("PUT /upload HTTP/1.1\r\nHost: hello\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(parsed(&client.response())["body_bytes"], 0);
}

/// The boundary that ends a form can come before the chunk that ends its body.
#[test]
fn a_form_sent_in_chunks_leaves_the_connection_usable() {
    let (site, _) = site(Uploads::default());
    let mut client = site.connect();
    client.send(&head(FORM, "Transfer-Encoding: chunked"));
    let body = [part("name=\"f\"", "abc"), "--XX--\r\n".into()].concat();
    for byte in body.bytes() {
        client.send_bytes(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    }
    std::thread::sleep(std::time::Duration::from_millis(30));
    client.send("0\r\n\r\n");
    assert_eq!(parsed(&client.response())["parts"][0]["part_bytes"], 3);
    assert_eq!(client.get("/").text(), "Hello world");
    assert_eq!(site.accepted(), 1);
}

#[test]
fn too_much_announced_is_refused_before_a_byte_of_it_came() {
    let directory = Directory::new();
    let (site, told) = site(keeping(&directory).limited_to(1_000));
    for framing in ["Content-Length: 1001", "Content-Length: 1001\r\nExpect: 100-continue"] {
        let mut client = site.connect();
        client.send(&head("text/plain", framing));
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (413, Some("close")));
        assert_eq!(response.text(), "the body is longer than 1000 B\n");
        client.sees_the_close().unwrap();
    }
    assert!(directory.files().is_empty() && told.lock().unwrap().is_empty());
    let response = upload(&mut site.connect(), "text/plain", &"x".repeat(1_000));
    assert_eq!(response.status, 201);
}

#[test]
fn too_much_unannounced_is_refused_as_soon_as_it_is() {
    let directory = Directory::new();
    let (site, told) = site(keeping(&directory).limited_to(100_000));
    for content_type in ["text/plain", FORM] {
        let mut client = site.connect();
        client.send(&head(content_type, "Transfer-Encoding: chunked"));
        let start = part("name=\"f\"; filename=\"a\"", "");
        client.send(&format!("{:x}\r\n{start}\r\n", start.len()));
        client.send(&format!("186a0\r\n{}\r\n", "x".repeat(100_000)));
        // No end is sent: the answer comes without it.
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (413, Some("close")));
        until("the file's removal", || directory.files().is_empty());
    }
    assert_eq!(told.lock().unwrap().last().unwrap().state, UploadState::GivenUp);
}

#[test]
fn a_client_that_leaves_amidst_an_upload_leaves_no_file() {
    let directory = Directory::new();
    let (site, told) = site(keeping(&directory));
    for (number, (content_type, is_reset)) in
        [("text/plain", false), ("text/plain", true), (FORM, false)].into_iter().enumerate()
    {
        let mut client = site.connect();
        client.send(&head(content_type, "Content-Length: 1000000"));
        client.send(&part("name=\"f\"; filename=\"a\"", &"x".repeat(100_000)));
        until("a file", || directory.files().iter().any(|file| fs::metadata(file).is_ok()));
        if is_reset {
            client.reset();
        } else {
            drop(client);
        }
        site.until_closed(number + 1);
        until("the file's removal", || directory.files().is_empty());
    }
    let given_up = |told: &&UploadProgress| told.state == UploadState::GivenUp;
    assert_eq!(told.lock().unwrap().iter().filter(given_up).count(), 3);
}

#[test]
fn a_server_that_is_killed_leaves_no_half_file_under_a_name_of_its_own() {
    let directory = Directory::new();
    let path = directory.0.to_str().unwrap();
    let mut hello = program::Hello::start(&["--upload-dir", path]);
    let mut client = hello.connect();
    client.send(&head("text/plain", "Content-Length: 1000000"));
    client.send(&"x".repeat(500_000));
    let is_written = |file: &PathBuf| fs::metadata(file).is_ok_and(|file| file.len() > 100_000);
    until("a part of it on the disk", || directory.files().iter().any(is_written));
    hello.child.kill().unwrap(); // SIGKILL
    hello.child.wait().unwrap();
    let files = directory.files();
    let [file] = &files[..] else { panic!("{files:?}") };
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with('.') && name.ends_with(".part"), "{name}");
}

#[test]
fn a_broken_form_is_told_what_is_wrong_and_leaves_no_file() {
    let directory = Directory::new();
    let (site, _) = site(keeping(&directory));
    let whole = part("name=\"f\"; filename=\"a\"", "abc");
    let many = [part("name=\"f\"", "").repeat(101), "--XX--".into()].concat();
    for (content_type, body, status) in [
        (FORM, "", 400),
        (FORM, "no form at all", 400),
        (FORM, &*whole, 400), // without its last boundary
        (FORM, "--XX\r\nContent-Disposition\r\n\r\nabc\r\n--XX--\r\n", 400),
        ("multipart/form-data", &*whole, 400), // which boundary?
        (FORM, &*many, 413),
    ] {
        let response = upload(&mut site.connect(), content_type, body);
        assert_eq!(response.status, status, "{content_type} {body:.60}: {}", response.text());
        assert_eq!(response.header("connection"), Some("close"));
        until("the file's removal", || directory.files().is_empty());
    }
}

#[test]
fn a_directory_that_has_gone_is_the_servers_fault() {
    let directory = Directory::new();
    let (site, _) = site(keeping(&directory));
    fs::remove_dir(&directory.0).unwrap();
    let response = upload(&mut site.connect(), "text/plain", "abc");
    assert_eq!(response.status, 500);
    let path = directory.0.to_str().unwrap();
    assert!(!response.text().contains(path), "no business of a client: {}", response.text());
}

#[test]
fn an_upload_cut_short_is_a_bad_request_and_leaves_no_file() {
    let directory = Directory::new();
    let (site, _) = site(keeping(&directory));
    for content_type in ["text/plain", FORM] {
        let mut client = site.connect();
        client.send(&head(content_type, "Content-Length: 1000"));
        client.send(&part("name=\"f\"; filename=\"a\"", "abc"));
        client.stream().shutdown(std::net::Shutdown::Write).unwrap();
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (400, Some("close")));
        assert!(response.text().contains("ended before its time"), "{}", response.text());
        assert!(directory.files().is_empty());
    }
}

/// How a client sends that looks for an answer only when it is done.
fn deaf(address: std::net::SocketAddr, chunked: bool) -> Response {
    const CHUNK: usize = 1 << 20;
    let mut client = common::Client::connect(address);
    let length = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 20971520" };
    client.send(&head("text/plain", length));
    let chunk = vec![b'x'; CHUNK];
    for _ in 0..20 {
        if chunked {
            client.send(&format!("{CHUNK:x}\r\n"));
        }
        client.send_bytes(&chunk); // not refused: the server goes on to read
        if chunked {
            client.send("\r\n");
        }
    }
    client.response()
}

#[test]
fn a_refusal_reaches_a_client_that_sends_20_mib_before_it_reads() {
    let site = common::site(answer());
    for chunked in [false, true] {
        for _ in 0..20 {
            let response = deaf(site.address, chunked);
            assert_eq!((response.status, response.header("connection")), (413, Some("close")));
        }
    }
}
