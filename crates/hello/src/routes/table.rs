//! The one list of routes: it finds a request's route, and it is what people are shown.

use std::fmt::Write;

use http::{Response, StatusCode};

use server::{ResponseBody, words};

use super::route::Route;
use super::{bytes, chunks, early_hints, echo, json, slow, status, upload};

const READ: &str = "GET, HEAD, OPTIONS";

/// Every path that means something. All others answer `Hello world`.
static ROUTES: [Route; 9] = [
    Route {
        path: "/routes",
        allow: READ,
        about: "this list",
        respond: |_| {
            Box::pin(async { Ok::<Response<ResponseBody>, _>(words(StatusCode::OK, index())) })
        },
    },
    Route {
        path: "/json",
        allow: "POST, OPTIONS",
        about: "takes JSON, answers 201 with what was understood",
        respond: |call| Box::pin(json::respond(call)),
    },
    Route {
        path: "/upload",
        allow: "POST, PUT, OPTIONS",
        about: "counts a form or any body; --upload-dir keeps it",
        respond: |call| Box::pin(upload::respond(call)),
    },
    Route {
        path: "/slow",
        allow: READ,
        about: "?for=15s: answers after that time (1s)",
        respond: |call| Box::pin(slow::respond(call)),
    },
    Route {
        path: "/bytes/N",
        allow: READ,
        about: "a body of N bytes, such as 64KiB",
        respond: |call| Box::pin(bytes::respond(call)),
    },
    Route {
        path: "/chunks",
        allow: READ,
        about: "chunks, one by one:\n?count=10&size=1KiB&every=100ms&break_after=3",
        respond: |call| Box::pin(chunks::respond(call)),
    },
    Route {
        path: "/status/N",
        allow: READ,
        about: "answers with status N, 200 to 599",
        respond: |call| Box::pin(status::respond(call)),
    },
    Route {
        path: "/early-hints",
        allow: READ,
        about: "?for=100ms: 103 Early Hints at once, 200 after that",
        respond: |call| Box::pin(early_hints::respond(call)),
    },
    Route {
        path: "/echo",
        allow: "GET, HEAD, POST, PUT, OPTIONS",
        about: "the request's body as it comes, or else its head",
        respond: |call| Box::pin(echo::respond(call)),
    },
];

/// The route of a path, unless it means nothing.
pub(super) fn find(path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.has(path))
}

/// The routes: path, methods, what it does. As `GET /routes` answers and `hello
/// --help` prints.
#[must_use]
pub fn index() -> String {
    let mut list = String::new();
    for Route { path, allow, about, .. } in &ROUTES {
        // OPTIONS is everywhere, HEAD wherever GET is: neither tells routes apart.
        let methods = allow.replace(", OPTIONS", "").replace(", HEAD", "").replace(", ", "|");
        // Writing into a String cannot fail.
        let mut lines = about.lines();
        let _ = writeln!(list, "{path:13}{methods:14}{}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(list, "{:27}{line}", "");
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_as_a_whole_or_not_at_all() {
        let found = |path| find(path).map(|route| route.path);
        for path in ["/json", "/upload", "/slow", "/chunks", "/early-hints", "/echo", "/routes"] {
            assert_eq!(found(path), Some(path));
        }
        assert_eq!(found("/bytes/64KiB"), Some("/bytes/N"));
        assert_eq!(found("/status/"), Some("/status/N"));
        for path in ["/", "/bytes", "/bytes/1/2", "/json/", "/jsonx", "/js", "*", "", "//slow"] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn the_list_fits_a_terminal() {
        for line in index().lines() {
            assert!(line.len() <= 80, "{line}");
        }
    }
}
